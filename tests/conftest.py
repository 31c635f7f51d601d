"""What holds for every test: a place of its own, a time limit, and nothing left behind.

``reaper`` makes pytest the child of a small init; ``leftovers`` knows what can be left. A test that needs a containment
tier says so through ``record_tier``, so that the end of the run tells which tiers were really tried.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import reaper
from tests.leftovers import Snapshot
from tests.places import place
from tests.waiting import wait_until

LEFT_S = float(os.environ.get("AGENTHOST_TEST_LEFT_S", "30"))
"""How long what a test has ended may take to be gone."""

END_S = 30
"""How long the interpreter may take to end after the last test."""

_TIERS = pytest.StashKey[dict[str, set[str]]]()

# A slow machine is no failure of a property. In CI a run is repeatable; elsewhere every run looks somewhere new.
settings.register_profile(
    "agenthost",
    deadline=None,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("agenthost")


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    if reaper.init_pid or config.option.collectonly:
        return None
    return reaper.fork_below_init()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TIERS] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["tiers"] = {tier: sorted(said) for tier, said in session.config.stash[_TIERS].items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended: its tiers are told with all others."""
    tiers = node.config.stash[_TIERS]
    for tier, said in getattr(node, "workeroutput", {}).get("tiers", {}).items():
        tiers.setdefault(tier, set()).update(said)


def pytest_unconfigure() -> None:
    """A ZeroMQ context that a failed test left open would hang the interpreter at its end; SIGALRM then ends it."""
    if reaper.init_pid:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(END_S)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with ``run`` and ``state``, which the environment names."""
    with place(monkeypatch) as folder:
        yield folder


@pytest.fixture(autouse=True)
def nothing_left(places: Path) -> Iterator[None]:
    """Fails a test after which something is still there, and names it; left processes are then killed."""
    before = Snapshot.take(reaper.init_pid or os.getpid())
    yield
    runtime = places / "run"
    if not before.left(runtime):
        return
    gc.collect()  # sockets in a cycle close when it is collected; that is soon enough
    try:
        wait_until(lambda: not before.left(runtime), LEFT_S)
    except AssertionError:
        left = before.left(runtime)
    else:
        return
    for process in before.new_processes():
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # gone, or the init reaps it
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
def record_tier(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``record_tier("cgroup")``: this test runs on that tier; ``record_tier("cgroup", "why not")`` skips the test."""
    tiers = request.config.stash[_TIERS]

    def record(tier: str, skipped: str | None = None) -> None:
        tiers.setdefault(tier, set()).add(f"skipped: {skipped}" if skipped else "ran")
        if skipped:
            pytest.skip(f"tier {tier}: {skipped}")

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tiers = config.stash[_TIERS]
    if not tiers:
        return
    terminalreporter.section("containment tiers")
    for tier in sorted(tiers):
        terminalreporter.line(f"{tier}: {'; '.join(sorted(tiers[tier]))}")
