"""The examples of docs/programs.md come up as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.host.conftest import Start
from tests.host.running import ROOT

PAGE = (ROOT / "docs/programs.md").read_text(encoding="utf-8")
EXAMPLES = {config["name"]: config for config in map(yaml.safe_load, [
    part.partition("```")[0] for part in PAGE.split("```yaml\n")[1:]
])}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_page_comes_up(start: Start, places: Path, name: str) -> None:
    (places / "model.env").write_text("LEVEL=info\n")
    (places / "token.txt").write_text("a token\n")
    host = start(EXAMPLES[name]["tree"])
    children = [child["name"] for child in EXAMPLES[name]["tree"]["children"]]
    assert {host.state(f"/{child}") for child in children} == {"ready"}
    if name == "ready":
        assert host.row("/notify")["says"] == "3 models loaded"
    if name == "secrets":
        host.wait(lambda: host.printed("/model").split() == ["8080", "8"], "it has what it needs")
