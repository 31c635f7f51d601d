"""Records of what failed, as a person reads them: a list, and a page for each; also of a host that does not run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from agenthost.cli.main import app
from agenthost.host.autopsy import Autopsy, Process
from agenthost.journal import ops
from agenthost.journal.sqlite.store import SqliteStore

TRACE = "Traceback (most recent call last):\n  File crew.py, line 9\nValueError: no JSON\n"


def process(pid: int, ppid: int, name: str, *argv: str) -> Process:
    return Process(
        pid=pid, ppid=ppid, name=name, state="running", cpu_s=1.5, memory_bytes=2 << 20, age_s=3.0, threads=1,
        argv=[*argv],
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Message 1 of /a: an attempt that crashed it. /tool: ended by the host, which has looked first."""
    autopsy = Autopsy(
        path="/tool", boot=3, n=7, at_ms=1, kind="no_progress", reason="no progress for 60 s", is_end=True,
        turn_s=75.0, stack='Thread "main"\n  crew.py:12 wait', stack_means="faulthandler",
        processes=[process(10, 1, "python", "python", "crew.py"), process(11, 10, "rg")], processes_in_all=5,
        killed=["rg (pid 11)"],
    )  # fmt: skip
    crash = {"trace": TRACE, "lines": ["got 4", *TRACE.splitlines()], "usage": {"lived_s": 90.0, "cpu_s": 0.5}}
    with SqliteStore(tmp_path / "journal.db") as store:
        store.commit(
            [ops.Own("/a", (3, 4)), ops.Accept("/a", "/s", b""), ops.Lease("/a", (3, 4), 9)], 1_700_000_000_000
        )
        mark = ops.Mark("crash ValueError at crew:handle+3", "retry", b"")
        store.commit([ops.BackOff(1, 1, 5, "ValueError: no JSON", mark)], 1_700_000_000_000)
        told = ("ValueError: no JSON", mark.fingerprint, 1, 1, "retry", "attempt 1 of 3")
        store.commit([ops.Crash("/a", (3, 4), "crash", *told, fatal=True)], 1_700_000_000_000)
        end = ops.Crash("/a", (3, 4), "exit", ended="exit status 1", details=msgspec.msgpack.encode(crash))
        looked = {"autopsy": msgspec.to_builtins(autopsy), "lines": ["thinking", "\x1b[31mstill"]}
        killed = ops.Crash("/tool", (3, 7), "no_progress", ended="killed: no progress for 60 s", details=packed(looked))
        store.commit([end, killed], 1_700_000_100_000)
    return tmp_path / "journal.db"


@pytest.fixture
def left(file: Path, places: Path) -> Path:
    """The same, of a host "solo" that does not run."""
    (places / "state" / "solo").mkdir()
    return Path(shutil.copy(file, places / "state" / "solo" / "journal.db"))


def packed(details: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(details)


def crashes(*words: str) -> Result:
    return CliRunner().invoke(app, ["--no-color", "crashes", *words])


def test_the_list_has_what_failed_newest_first_with_its_remedy(file: Path) -> None:
    lines = crashes("ls", "--file", str(file)).stdout.splitlines()
    assert lines[0].split() == ["NUMBER", "AT", "AGENT", "MESSAGE", "ATTEMPT", "ENDED", "REMEDY", "REASON"]
    assert lines[1].split()[0] == "2" and lines[1].endswith("killed: no progress for 60 s")
    assert lines[2].split()[3:] == ["/a", "1", "1", "yes", "retry", "ValueError:", "no", "JSON"]
    assert [one["number"] for one in json.loads(crashes("ls", "/a", "--file", str(file), "-o", "json").stdout)] == [1]
    assert crashes("ls", "/", "-n", "1", "--file", str(file), "-o", "name").stdout == "2\n"
    assert len(crashes("ls", "--since", "1d", "--file", str(file)).stdout.splitlines()) == 1


def test_a_page_tells_what_failed_what_was_decided_and_the_traceback_once(file: Path) -> None:
    page = crashes("show", "1", "--file", str(file)).stdout
    for line in (
        "what:         ValueError: no JSON",
        "process:      ended: exit status 1",
        "fingerprint:  crash ValueError at crew:handle+3",
        "message:      1, attempt 1",
        "remedy:       retry (attempt 1 of 3)",
        "usage:        lived 90 s, cpu 500 ms",
        "last lines:\n  got 4\n",
    ):
        assert line in page
    assert page.startswith("crash 1 of /a, incarnation 3.4, 2023-11-1")
    assert page.count("ValueError: no JSON") == 2  # what, and in the traceback


def test_a_page_has_stack_and_processes_of_what_was_looked_at_before_its_end(file: Path) -> None:
    page = crashes("show", "2", "--file", str(file)).stdout
    assert "process:      ended of it" in page
    assert "looked at:    because: no progress for 60 s, 75 s into its turn" in page
    assert "killed:       rg (pid 11)" in page
    assert "  10 python crew.py (running, cpu 1.5 s, 2.0 MiB)\n    11 rg (running" in page
    assert "  and 3 more\n" in page
    assert 'stack (faulthandler):\n  Thread "main"\n    crew.py:12 wait\n' in page
    assert "last lines:\n  thinking\n  \\x1b[31mstill\n" in page


def test_what_there_is_not_is_said(file: Path) -> None:
    done = crashes("show", "9", "--file", str(file))
    assert str(done.exception) == "cannot show crash 9: there is no such record; see: agenthost crashes ls"


def test_without_a_host_its_journal_is_read_and_that_is_said(left: Path) -> None:
    done = crashes("ls", "/a")
    assert done.exit_code == 0 and "ValueError: no JSON" in done.stdout
    assert done.stderr == f"agenthost: no host answers; this is what its journal has: {left}\n"
    assert crashes("show", "2").stdout.startswith("crash 2 of /tool")
    assert CliRunner().invoke(app, ["--host", "solo", "crashes", "ls", "-o", "name"]).stdout == "2\n1\n"
    unknown = crashes("ls", "/tol").exception
    assert str(unknown) == "there is no /tol, and nothing is known of one; did you mean /tool?"


def test_where_no_journal_is_known_either_it_is_said_how_to_start_a_host(places: Path) -> None:
    assert str(crashes("ls").exception).startswith("cannot reach a host: none runs for this user; start one with")
    done = CliRunner().invoke(app, ["explain", "/a"])
    assert str(done.exception).startswith("cannot reach a host: none runs")


def test_without_a_host_the_past_of_an_agent_is_explained(left: Path) -> None:
    done = CliRunner().invoke(app, ["--no-color", "explain", "/a"])
    assert done.exit_code == 0
    assert done.stdout.startswith("/a does not run, for its host does not. Whether there is such a path only a host")
    assert "attempt 1 of message 1 failed: ValueError: no JSON; retry\n" in done.stdout
    assert "Once its host runs again:\n  Message 1 of /s: attempt 2: retry, at once." in done.stdout
    assert "/tool: killed: no progress" in CliRunner().invoke(app, ["explain", "/"]).stdout
    unknown = CliRunner().invoke(app, ["explain", "/tol"]).exception
    assert str(unknown) == "there is no /tol, and nothing is known of one; did you mean /tool?"
