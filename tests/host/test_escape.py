"""Nothing escapes: awkward descendants, in every tier this machine offers, whatever ends their agent."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from agenthost.containment import tiers
from agenthost.errors import AgenthostError
from tests.host.agents import KINDS
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, is_alive, kill, tree
from tests.waiting import wait_until

probe = functools.lru_cache(maxsize=1)(tiers.probe)


FAST = [("cgroup", "auto"), ("pidns", "auto"), ("walk", "never")]
SLOW = [("cgroup", "never"), ("pidns", "never"), ("walk", "auto")]
"""The other walls in combination."""


@pytest.fixture(
    params=[*FAST, *(pytest.param(pair, marks=pytest.mark.slow) for pair in SLOW)],
    ids=[" ".join(pair) for pair in (*FAST, *SLOW)],
)
def host(request: pytest.FixtureRequest, start: Start, record_tier: Callable[..., None]) -> Running:
    """A host whose agent ``/awkward`` and program ``/program`` have such descendants from their start on."""
    name, namespace = request.param
    found = next(tier for tier in probe() if tier.name == name)
    record_tier(name, None if found.available else found.why)
    script = "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &) ; echo born; wait"
    one = start(
        tree(
            agent("echo", "Echo"),
            agent("awkward", "AwkwardParent", shutdown="500ms", backoff="none"),
            {"name": "program", "command": ["/bin/sh", "-c", script], "ready": {"line": "born"}, "shutdown": "500ms",
             "backoff": "none"},
            intensity=100,
        ),
        containment=name,
        namespace=namespace,
    )  # fmt: skip
    assert one.host()["containment"] == name and one.host()["namespace"] == (namespace == "auto")
    one.wait(lambda: len(brood(one, "/awkward")) >= len(KINDS), "the descendants are there")
    one.wait(lambda: len(brood(one, "/program")) >= 3, "the program's are there")
    return one


def brood(host: Running, path: str) -> set[int]:
    """Living descendants of the agent, by what they were born into: an environment names their incarnation only for
    programs, so whatever is a member of its cell counts, and it must be seen from outside as well."""
    row = host.row(path, members=True)
    return {one["pid"] for one in row["members"] if one["pid"]} - {row["pid"]}


def gone(pids: set[int]) -> bool:
    return not any(map(is_alive, pids))


def test_after_a_stop_nothing_of_it_survives(host: Running) -> None:
    for path in ("/awkward", "/program"):
        members = brood(host, path) | {host.pid(path)}
        others = host.survivors().keys() - members
        host.ask("stop", path=path)
        # down is down: no waiting here
        assert gone(members), [pid for pid in members if is_alive(pid)]
        assert host.row(path)["pid"] is None
        own = {one["pid"] for one in host.ask("ps")}  # a zygote may have come only now
        left = {pid: what for pid, what in host.survivors().items() if pid not in others | own}
        assert not left, left
    assert host.call("/echo", 1) == 1


def test_after_a_kill_nothing_of_it_survives(host: Running) -> None:
    for path in ("/awkward", "/program"):
        members = brood(host, path) | {host.pid(path)}
        host.ask("kill", path=path)
        assert gone(members), [pid for pid in members if is_alive(pid)]
        host.wait_state(path, "ready")
    assert host.call("/echo", 1) == 1


def test_after_a_crash_nothing_of_it_survives_and_the_next_incarnation_starts_only_then(host: Running) -> None:
    members = brood(host, "/awkward") | {host.pid("/awkward")}
    with pytest.raises(AgenthostError):
        host.call("/awkward", {"do": "crash"})
    host.wait_event("agent.ready", "/awkward", count=2)
    assert gone(members), [pid for pid in members if is_alive(pid)]
    names = [one["name"] for one in host.events("agent", "/awkward")]
    assert names.index("agent.ended") < names.index("agent.starting", 1)


def test_after_its_main_process_was_killed_from_outside_nothing_of_it_survives(host: Running) -> None:
    for path in ("/awkward", "/program"):
        members = brood(host, path) | {host.pid(path)}
        kill(host.pid(path))
        host.wait_event("agent.ready", path, count=2)
        assert gone(members), [pid for pid in members if is_alive(pid)]


def test_after_the_host_was_killed_nothing_survives_and_it_is_started_again(host: Running) -> None:
    members = brood(host, "/awkward") | brood(host, "/program")
    before = host.survivors().keys() - {host.guardian_pid} | members
    assert len(before) >= len(members) + 5  # two at least are born anew at this time: shells that start a sleep
    [pid] = host.own_pids("host")
    host.hang_up()
    kill(pid)
    wait_until(lambda: gone(set(before)), PATIENCE_S, "all are gone")
    host.wait(lambda: host.host().get("state") == "ready", "it is ready again")
    host.wait_answers("/echo")


def test_after_the_guardian_was_killed_nothing_survives(host: Running) -> None:
    host.hang_up()
    kill(host.guardian_pid)
    wait_until(lambda: not host.survivors(), PATIENCE_S, f"nothing survives: {host.survivors()}")


def test_chains_of_processes_that_fork_and_end_are_caught(host: Running) -> None:
    for verb in ("stop", "kill"):
        host.call("/awkward", {"do": "relay", "chains": 10})
        host.wait(lambda: "relay" in host.survivors().values(), "the chains run")
        host.ask(verb, path="/awkward")
        for _ in range(20):  # one look may miss who is between two processes
            assert "relay" not in host.survivors().values()
        assert host.call("/echo", verb) == verb
        host.ask("start", path="/awkward")
