"""Nothing escapes: awkward descendants, in every tier this machine offers, whatever ends their agent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from agenthost.containment import tiers
from agenthost.errors import AgenthostError
from tests.host.accounting import unaccounted
from tests.host.awkward import awkward_two, brood, family
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, is_alive, kill, tree
from tests.host.sharing import put_back
from tests.waiting import wait_until

probe = functools.lru_cache(maxsize=1)(tiers.probe)


FAST = [("cgroup", "auto"), ("pidns", "auto"), ("walk", "never")]
SLOW = [("cgroup", "never"), ("pidns", "never"), ("walk", "auto")]
"""The other walls in combination."""
WALLS = pytest.mark.parametrize(
    "walls",
    [*FAST, *(pytest.param(pair, marks=pytest.mark.slow) for pair in SLOW)],
    ids=[" ".join(pair) for pair in (*FAST, *SLOW)],
    scope="module",
)


def begin(walls: tuple[str, str], start: Start, record_tier: Callable[..., None]) -> Running:
    """A host whose agent ``/awkward`` and program ``/program`` have such descendants from their start on."""
    name, namespace = walls
    found = next(tier for tier in probe() if tier.name == name)
    record_tier(name, None if found.available else found.why)
    one = start(tree(agent("echo", "Echo"), *awkward_two(), intensity=1000), containment=name, namespace=namespace)
    assert one.host()["containment"] == name and one.host()["namespace"] == (namespace == "auto")
    for path in ("/awkward", "/program"):
        brood(one, path)
    return one


@pytest.fixture
def host(walls: tuple[str, str], share: Start, record_tier: Callable[..., None]) -> Iterator[Running]:
    host = begin(walls, share, record_tier)
    yield host
    put_back(host)


@pytest.fixture
def mortal(walls: tuple[str, str], start: Start, record_tier: Callable[..., None]) -> Running:
    """The same, for who kills the host."""
    return begin(walls, start, record_tier)


def gone(pids: set[int]) -> bool:
    return not any(map(is_alive, pids))


@WALLS
def test_after_a_stop_nothing_of_it_survives(host: Running) -> None:
    for path in ("/awkward", "/program"):
        members = family(host, path)
        host.ask("stop", path=path)
        # down is down: no waiting here
        assert gone(members), [pid for pid in members if is_alive(pid)]
        assert host.row(path)["pid"] is None
        assert not unaccounted(host)
    assert host.call("/echo", 1) == 1


@WALLS
def test_after_a_kill_nothing_of_it_survives(host: Running) -> None:
    for path in ("/awkward", "/program"):
        members = family(host, path)
        host.ask("kill", path=path)
        assert gone(members), [pid for pid in members if is_alive(pid)]
        host.wait_state(path, "ready")
    assert host.call("/echo", 1) == 1


@WALLS
def test_after_a_crash_nothing_of_it_survives_and_the_next_incarnation_starts_only_then(host: Running) -> None:
    members = family(host, "/awkward")
    with pytest.raises(AgenthostError):
        host.call("/awkward", {"do": "crash"})
    host.wait_event("agent.ready", "/awkward")
    assert gone(members), [pid for pid in members if is_alive(pid)]
    names = [one["name"] for one in host.events("agent", "/awkward")]
    assert names.index("agent.ended") < names.index("agent.starting")


@WALLS
def test_after_its_main_process_was_killed_from_outside_nothing_of_it_survives(host: Running) -> None:
    for path in ("/awkward", "/program"):
        members = family(host, path)
        kill(host.pid(path))
        host.wait_event("agent.ready", path)
        assert gone(members), [pid for pid in members if is_alive(pid)]


@WALLS
def test_after_the_host_was_killed_nothing_survives_and_it_is_started_again(mortal: Running) -> None:
    host = mortal
    members = family(host, "/awkward") | family(host, "/program")
    before = host.survivors().keys() - {host.guardian_pid} | members
    assert len(before) >= len(members) + 5
    [pid] = host.own_pids("host")
    host.hang_up()
    kill(pid)
    wait_until(lambda: gone(set(before)), PATIENCE_S, "all are gone")
    host.wait(lambda: host.host().get("state") == "ready", "it is ready again")
    host.wait_answers("/echo")


@WALLS
def test_after_the_guardian_was_killed_nothing_survives(mortal: Running) -> None:
    host = mortal
    host.hang_up()
    kill(host.guardian_pid)
    wait_until(lambda: not host.survivors(), PATIENCE_S, f"nothing survives: {host.survivors()}")


@WALLS
def test_chains_of_processes_that_fork_and_end_are_caught(host: Running) -> None:
    for verb in ("stop", "kill"):
        host.call("/awkward", {"do": "relay", "chains": 10})
        host.wait(lambda: "relay" in host.survivors().values(), "the chains run")
        host.ask(verb, path="/awkward")
        for _ in range(20):  # one look may miss who is between two processes
            assert "relay" not in host.survivors().values()
        assert host.call("/echo", verb) == verb
        host.ask("start", path="/awkward")
