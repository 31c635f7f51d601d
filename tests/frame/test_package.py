"""What is installed is what is in the repository, with the versions that were tested."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agenthost.version import VERSION

ROOT = Path(__file__).resolve().parent.parent.parent
PINS = sorted((ROOT / "requirements").glob("*.txt"))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(*names: str) -> set[str]:
    lines = [line for name in names for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()]
    return {canonical(line.partition("==")[0]) for line in lines if not line.startswith("#")}


def wanted(requirements: list[str]) -> set[str]:
    return {canonical(re.split(r"[<>=!~\[ ]", requirement)[0]) for requirement in requirements}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


def test_the_wheel_holds_every_file_and_the_workers_under_their_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"agenthost-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    for folder, package in (("agenthost", "agenthost"), ("workers", "agenthost_workers")):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        missing = {f"{package}/{path.relative_to(ROOT / folder)}" for path in files} - packed
        assert missing == set()
    assert {"agenthost/py.typed", "agenthost_workers/py.typed"} <= packed
    assert not [name for name in packed if not name.startswith(("agenthost/", "agenthost_workers/"))]


def test_every_name_that_the_package_registers_can_be_loaded(project: dict[str, Any]) -> None:
    registered = [("agenthost", project["scripts"]["agenthost"], "console_scripts")]
    registered += [
        (name, value, "agenthost.agents") for name, value in project["entry-points"]["agenthost.agents"].items()
    ]
    for name, value, group in registered:
        assert callable(importlib.metadata.EntryPoint(name, value, group).load())


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.name)
def test_locked_versions_are_exact_and_name_no_place(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []


@pytest.mark.parametrize(
    ("part", "files"), [("runtime", ["runtime"]), ("chat", ["dev"]), ("model", ["model"]), ("dev", ["dev"])]
)
def test_everything_asked_for_is_locked(project: dict[str, Any], part: str, files: list[str]) -> None:
    asked = project["dependencies"] if part == "runtime" else project["optional-dependencies"][part]
    assert wanted(asked) - pinned(*files) == set()


def test_two_lists_never_lock_different_versions() -> None:
    versions: dict[str, set[str]] = {}
    for file in PINS:
        for line in file.read_text().splitlines():
            if not line.startswith("#"):
                name, _, version = line.partition("==")
                versions.setdefault(canonical(name), set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
