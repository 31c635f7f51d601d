"""The key ``cron`` of an agent: what is read from it, and what is refused where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from agenthost.config.load import load
from agenthost.core.birth import AgentBirth, Periodic
from agenthost.core.spec import WorkerSpec
from agenthost.errors import ConfigError

AGENT = "agenthost: 1\nname: t\ntree:\n  children:\n    - name: a\n      agent: echo\n      cron:\n"
POOL = "agenthost: 1\nname: t\ntree:\n  children:\n    - name: p\n      pool:\n        agent: echo\n        cron: {}\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "t.yaml"
    file.write_text(text)
    return file


def test_it_becomes_periodic_messages(tmp_path: Path) -> None:
    lines = '        b: {when: "30 2 * * *", zone: Europe/Berlin, body: {x: [1]}}\n        a: {when: "@hourly"}\n'
    (child,) = load(written(tmp_path, AGENT + lines)).tree.children
    assert isinstance(child, WorkerSpec) and isinstance(child.birth, AgentBirth)
    assert child.birth.cron == (
        Periodic("a", "@hourly", None),
        Periodic("b", "CRON_TZ=Europe/Berlin 30 2 * * *", {"x": [1]}),
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('        a: {when: "99 * * * *"}\n', "cron expression"),
        ('        a: {when: "CRON_TZ=UTC * * * * *"}\n', "write it as 'zone'"),
        ('        a: {when: "@hourly", zone: Mars/X}\n', "Mars/X"),
        ("        a: {zone: UTC}\n", "the key 'when' is missing"),
        ('        "a b": {when: "@hourly"}\n', "is no name"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, AGENT + line))
    assert words in str(caught.value) and "t.yaml:8:" in str(caught.value)


def test_members_of_a_pool_have_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="members come and go"):
        load(written(tmp_path, POOL))
