"""A test that leaves something behind fails and says what; the run leaves nothing either way.

Each case is a test file of its own, run by a pytest of its own with this project's ``conftest``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leftovers import read_process
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent


class Run:
    """A folder with our conftest, and one test file in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tests").mkdir()
        for name in ("__init__.py", "conftest.py", "leftovers.py", "places.py", "reaper.py", "waiting.py"):
            shutil.copy(ROOT / "tests" / name, folder / "tests")
        shutil.copy(ROOT / "pyproject.toml", folder)

    def start(self, source: str) -> subprocess.Popen[str]:
        (self.folder / "tests" / "test_case.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", str(self.folder / "tmp")]
        environment = os.environ | {"PYTHONPATH": f"{self.folder}:{ROOT}", "AGENTHOST_TEST_LEFT_S": "0.3"}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def result(self, source: str) -> tuple[int, str]:
        with self.start(source) as process:
            output = ended(process)
        return process.returncode, output


def ended(process: subprocess.Popen[str]) -> str:
    try:
        return process.communicate(timeout=60)[0]
    except subprocess.TimeoutExpired:
        process.kill()  # pytest below it gets SIGTERM from the kernel
        raise


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


CASES = {
    "a child": (
        "import subprocess\nglobal child\nchild = subprocess.Popen(['sleep', '60'])",
        r"process in state S pid \d+: sleep 60",
    ),
    "a daemon": (
        "import subprocess\nsubprocess.run(['sh', '-c', 'setsid sleep 61 & exit 0'])",
        r"process in state S pid \d+: sleep 61 \[started in tests/test_case.py::test_a_daemon",
    ),
    "a zombie": ("import os\nif os.fork() == 0: os._exit(0)", r"zombie \(nobody waited for it\) pid \d+"),
    "a descriptor": ("import os\nos.open('/dev/null', os.O_RDONLY)", r"descriptor \d+: /dev/null"),
    "a socket": ("import socket\nglobal kept\nkept = socket.socket()", r"descriptor \d+: socket:"),
    "a zmq context": (
        (
            "import atexit, zmq\nglobal context\ncontext = zmq.Context()\natexit.register(context.destroy)\n"
            "context.socket(zmq.PUB).bind('inproc://x')"
        ),
        r"thread \d+: ZMQbg",
    ),
    "a thread": (
        (
            "import threading\nglobal quiet\nquiet = threading.Event()\n"
            "threading.Thread(target=quiet.wait, args=(2,), name='straggler').start()"
        ),
        r"thread \d+: straggler",
    ),
    "a socket file": (
        (
            "import os, socket\nwith socket.socket(socket.AF_UNIX) as s:\n"
            "    s.bind(os.environ['AGENTHOST_RUNTIME_DIR'] + '/s')"
        ),
        r"socket /tmp/ah-\w+/\d+/run/s",
    ),
}


def name_of(what: str) -> str:
    return f"test_{what.replace(' ', '_')}"


@pytest.fixture(scope="module")
def all_cases(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of one run of all cases, each followed by an innocent test."""
    source = ""
    for what, (body, _) in CASES.items():
        indented = "\n".join(f"    {row}" for row in body.splitlines())
        source += f"def {name_of(what)}():\n{indented}\n\ndef {name_of(what)}_after(): pass\n\n"
    status, output = Run(tmp_path_factory.mktemp("cases")).result(source)
    assert status == 1, output
    return output


@pytest.mark.parametrize("what", CASES)
def test_what_is_left_fails_the_test_and_is_named(all_cases: str, what: str) -> None:
    name = name_of(what)
    _, found, report = all_cases.partition(f" ERROR at teardown of {name} _")
    assert found, all_cases
    report = report.partition("\n___")[0]
    assert re.search(rf"left behind:\n(.*\n)*?  {CASES[what][1]}", report), report


def test_the_test_after_it_is_not_blamed(all_cases: str) -> None:
    assert "_after" not in all_cases, all_cases
    assert re.search(rf"{2 * len(CASES)} passed, .*{len(CASES)} errors", all_cases), all_cases


def test_what_goes_by_itself_in_time_is_not_left(run: Run) -> None:
    source = "import subprocess\ndef test_case(): subprocess.run(['sh', '-c', 'setsid sleep 0.05 & exit 0'])\n"
    status, output = run.result(source)
    assert (status, "1 passed" in output) == (0, True), output


def test_an_orphan_is_reaped_as_pid_1_would(run: Run) -> None:
    source = """
import os, subprocess
from tests.waiting import wait_until
def test_case():
    shell = subprocess.run(['sh', '-c', 'setsid sleep 60 >&2 & echo $!'], stdout=subprocess.PIPE)
    pid = int(shell.stdout)
    os.kill(pid, 9)
    wait_until(lambda: not os.path.exists(f'/proc/{pid}'), what='the orphan is reaped')
"""
    status, output = run.result(source)
    assert (status, "1 passed" in output) == (0, True), output


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_pytest_itself_is_killed(run: Run, signum: signal.Signals) -> None:
    source = """
import os, pathlib, subprocess
def test_case():
    subprocess.run(['sh', '-c', 'setsid sleep 60 & echo $! > pid; wait'])
"""
    with run.start(source) as process:
        written = run.folder / "pid"
        daemon = int(
            wait_until(lambda: written.exists() and written.read_text().strip(), seconds=30, what="the daemon started")
        )
        init = process.pid
        pytest_pid = int(Path(f"/proc/{init}/task/{init}/children").read_text().split()[0])
        os.kill(init if signum == signal.SIGTERM else pytest_pid, signum)
        output = ended(process)
    assert process.returncode == 128 + signum, output
    assert re.search(rf"pid {daemon}: .*sleep 60", output), output
    assert read_process(daemon) is None


def test_the_summary_tells_which_tiers_were_tried(run: Run) -> None:
    source = """
def test_walk(record_tier): record_tier("walk")
def test_cgroup(record_tier): record_tier("cgroup", "no cgroup2 here")
"""
    status, output = run.result(source)
    assert status == 0
    assert "walk: ran" in output
    assert "cgroup: skipped: no cgroup2 here" in output
    assert "1 passed, 1 skipped" in output
