"""`scripts/orphans.py`, under agenthost alone, and what README.md shows of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agenthost.containment import tiers

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"session", "daemon", "deaf", "stopped", "nomad"}
BEGIN, END = "<!-- written by scripts/orphans.py --write -->", "<!-- end of the written part -->"


def orphans(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts/orphans.py", *words],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(840)
def test_nothing_awkward_survives_in_any_tier_that_claims_it(places: Path) -> None:
    done = orphans("--only", "agenthost", "--json", "--patience", "20", TMPDIR=str(places))
    assert done.returncode == 0, done.stderr
    counts: list[dict[str, Any]] = json.loads(done.stdout)
    assert [count for count in counts if count["claimed"] and count["survivors"]] == []
    counted = {count["settings"].strip("`") for count in counts if count["claimed"]}
    assert counted >= {tier.name for tier in tiers.probe() if tier.available}
    # what is not claimed shows that the script sees survivors
    [unclaimed] = [count for count in counts if not count["claimed"]]
    assert unclaimed["situation"] == "guardian and host" and set(unclaimed["survivors"]) >= KINDS
    assert list(places.glob("orphans-*")) == []  # processes and cgroups: conftest.py looks for them after every test


@pytest.mark.slow
def test_without_a_registry_it_says_so_in_one_line(tmp_path: Path) -> None:
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    done = orphans("--only", "peers", "--peers", str(tmp_path / "peers"), **nowhere)
    assert done.returncode == 2 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("no rows of peers: cannot install circus and supervisor into")
    assert not (tmp_path / "peers").exists()


def test_the_readme_shows_zeros_wherever_agenthost_claims_them() -> None:
    _, _, rest = (ROOT / "README.md").read_text().partition(BEGIN)
    lines = [line.strip("| ").split(" | ") for line in rest.partition(END)[0].splitlines() if line.startswith("| ")]
    ours = [cells for cells in lines if cells[0].startswith("agenthost")]
    peers = [cells for cells in lines if cells[0].startswith(("circus", "supervisord"))]
    assert {"`cgroup`", "`pidns`", "`walk`"} <= {cells[1] for cells in ours} and len(peers) == 4
    for cells in ours:
        figures = " / ".join(cells[3:]).split(" / ")
        assert len(figures) == 5 and {figure for figure in figures if not figure.startswith("(")} == {"0"}, cells
    for cells in peers:
        assert all(int(figure) > 0 for figure in cells[3:]), cells
