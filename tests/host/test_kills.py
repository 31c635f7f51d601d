"""``kill -9`` of anything: nothing of what it started is left, what it was comes back by itself, calls work again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agenthost.errors import AgenthostError
from tests.host.accounting import assert_all_accounted
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, is_alive, kill, tree
from tests.waiting import wait_until

SLEEPER = ["/bin/sh", "-c", "sleep 1000 & setsid sleep 1000 & wait"]
QUICK = {"initial": "20ms", "max": "200ms"}


def crew() -> dict[str, object]:
    """Three agents and a program, which bear being killed often."""
    return tree(
        agent("echo", "Echo", backoff=QUICK),
        agent("doer", "Doer", backoff=QUICK),
        agent("async", "AsyncEcho", backoff=QUICK),
        {"name": "program", "command": SLEEPER, "backoff": QUICK},
        intensity=1000,
    )


def wait_whole(host: Running) -> None:
    """All that belongs to it is there, once, and answers."""
    host.hang_up()
    host.wait(lambda: host.host().get("state") == "ready", "the host answers and is ready")
    for path in ("/echo", "/doer", "/async", "/program"):
        host.wait_state(path, "ready")
    for path in ("/echo", "/async"):
        host.wait_answers(path)
    host.wait(lambda: all(len(host.own_pids(what)) == 1 for what in ("router", "logger", "host")), "its own are there")


def test_a_killed_agent_takes_all_it_started_along_and_is_back(share: Start) -> None:
    host = share(crew())
    born = host.call("/doer", {"do": "breed"})
    assert len(born) == 6
    members = {one["pid"] for one in host.row("/doer", members=True)["members"]}
    assert len(members) >= 7
    kill(host.pid("/doer"))
    host.wait(lambda: not any(map(is_alive, members)), "agent and descendants are gone")
    assert "SIGKILL" in host.wait_event("agent.exited", "/doer")["fields"]["reason"]
    wait_whole(host)
    assert_all_accounted(host)


def test_a_killed_program_takes_all_it_started_along_and_is_back(share: Start) -> None:
    host = share(crew())
    host.wait(lambda: len(host.row("/program", members=True)["members"]) == 3, "the program has its children")
    members = {one["pid"] for one in host.row("/program", members=True)["members"]}
    kill(host.pid("/program"))
    host.wait(lambda: not any(map(is_alive, members)), "the program and its children are gone")
    wait_whole(host)
    assert_all_accounted(host)


def test_a_killed_zygote_is_replaced_and_its_agents_do_not_notice(share: Start) -> None:
    host = share(crew())
    agents = {path: host.pid(path) for path in ("/echo", "/doer", "/async", "/program")}
    zygotes = host.own_pids("zygote")
    for pid in zygotes:
        kill(pid)
    host.wait(lambda: host.own_pids("zygote") and not set(zygotes) & set(host.own_pids("zygote")), "new zygotes")
    assert {path: host.pid(path) for path in agents} == agents
    for path in agents:
        assert host.ask("restart", path=path)["state"] == "ready"
    wait_whole(host)
    assert_all_accounted(host)


def test_zygotes_killed_with_births_in_flight_cost_no_agent(start: Start) -> None:
    many = [agent(f"a{number}", "Doer", backoff=QUICK) for number in range(30)]
    host = start(tree(*many, intensity=10_000))
    for _ in range(3):
        before = {path: row["incarnation"] for path, row in host.rows().items() if row["kind"] == "worker"}
        zygotes = host.own_pids("zygote of /")
        for path in before:
            kill(host.pid(path))
        for pid in zygotes:  # in the midst of thirty births
            kill(pid)

        def anew(before: dict[str, str] = before) -> bool:
            rows = host.rows()
            return all(rows[path]["state"] == "ready" and rows[path]["incarnation"] != before[path] for path in before)

        host.wait(anew, "all are ready anew")
    for number in range(30):
        assert host.call(f"/a{number}", {"do": "incarnation"}) == host.row(f"/a{number}")["incarnation"]
    assert_all_accounted(host)


def test_a_killed_router_is_replaced_and_calls_go_on_and_new_ones_find_their_way(share: Start) -> None:
    host = share(crew())
    assert host.call("/doer", {"do": "call", "path": "/echo", "body": 1})["reply"] == 1
    agents = {path: host.row(path)["incarnation"] for path in ("/echo", "/doer", "/async")}
    for _ in range(3):
        [router] = host.own_pids("router")
        host.client.send("/doer", {"do": "many", "path": "/echo", "n": 200}, durable=False)
        kill(router)
        # one that is looked up for the first time by this client, and one that is known to the agent
        with_new_look_up = host.call("/async", "over a new router")
        assert with_new_look_up == "over a new router"
        assert host.call("/doer", {"do": "call", "path": "/async", "body": 2})["reply"] == 2
        host.wait(lambda router=router: host.own_pids("router") not in ([], [router]), "a new router")
    wait_whole(host)
    assert {path: host.row(path)["incarnation"] for path in agents} == agents
    assert_all_accounted(host)


def test_a_killed_logger_is_replaced_and_what_is_printed_meanwhile_is_kept(share: Start) -> None:
    host = share(crew())
    agents = {path: host.row(path)["incarnation"] for path in ("/echo", "/doer", "/async")}
    for number in range(3):
        [logger] = host.own_pids("logger")
        kill(logger)
        host.call("/doer", {"do": "print", "text": f"line {number}"})
        host.wait(lambda number=number: f"line {number}" in host.printed("/doer"), "the line is kept")
    wait_whole(host)
    assert {path: host.row(path)["incarnation"] for path in agents} == agents
    assert_all_accounted(host)


def test_a_killed_host_leaves_nothing_and_is_started_again_with_its_tree(start: Start) -> None:
    host = start(crew())
    host.call("/doer", {"do": "breed"})
    before = host.survivors()
    assert len(before) >= 18, before  # guardian, init, host, router, logger, zygotes, agents, descendants
    boot = host.host()["boot"]
    [pid] = host.own_pids("host")
    kill(pid)
    wait_until(lambda: not any(is_alive(pid) for pid in before if pid != host.guardian_pid), PATIENCE_S, "all are gone")
    wait_whole(host)
    assert host.host()["boot"] == boot + 1
    assert is_alive(host.guardian_pid)
    assert_all_accounted(host)
    assert "starting it again (1 of 5 in 60 s)" in host.output()


@pytest.mark.parametrize("namespace", ["auto", "never"])
def test_a_killed_guardian_takes_everything_along(start: Start, namespace: str) -> None:
    host = start(crew(), namespace=namespace)
    host.call("/doer", {"do": "breed"})
    assert len(host.survivors()) >= 17
    host.hang_up()
    kill(host.guardian_pid)
    wait_until(lambda: not host.survivors(), PATIENCE_S, f"nothing survives: {host.survivors()}")
    assert host.wait_end() == -9


def test_guardian_and_host_killed_at_once_leave_nothing_and_the_next_host_removes_their_cgroups(
    start: Start, places: Path
) -> None:
    host = start(crew())
    host.call("/doer", {"do": "breed"})
    [pid] = host.own_pids("host")
    host.hang_up()
    kill(host.guardian_pid)
    kill(pid)
    wait_until(lambda: not host.survivors(), PATIENCE_S, f"nothing survives: {host.survivors()}")
    assert host.wait_end() == -9
    left = host.cgroups()
    again = start(crew(), name=host.name)
    wait_whole(again)
    assert not set(left) & set(again.cgroups())


@pytest.mark.slow
def test_without_a_namespace_what_survived_both_is_ended_by_the_next_host(start: Start) -> None:
    host = start(crew(), namespace="never")
    host.call("/doer", {"do": "breed"})
    [pid] = host.own_pids("host")
    host.hang_up()
    kill(host.guardian_pid)
    kill(pid)
    assert host.wait_end() == -9
    again = start(crew(), name=host.name)
    wait_whole(again)
    assert_all_accounted(again)
    wait_until(lambda: not host.survivors(), PATIENCE_S, f"nothing survives: {host.survivors()}")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3))
def test_after_thirty_random_kills_everything_is_whole_again(start: Start, seed: int) -> None:
    host = start(crew())
    chance = random.Random(seed)
    hosts_killed = 0
    for _ in range(30):
        rows = host.rows(members=True)
        members = [one["pid"] for row in rows.values() for one in row.get("members", [])]
        own = [(one["what"], one["pid"]) for one in host.ask("ps")]
        what, pid = chance.choice([*own, *(("member", pid) for pid in members)])
        if what == "host":
            if hosts_killed == 3:
                continue  # the guardian has a patience of five
            hosts_killed += 1
        if pid is not None:
            kill(pid)
        if chance.random() < 0.3 or what == "host":
            wait_whole(host)
        else:
            host.hang_up()
            host.wait(lambda: host.host(), "the host answers")
    wait_whole(host)
    for path in ("/doer", "/program"):  # a zygote that nobody needs need not be there, but comes when it is needed
        assert host.ask("restart", path=path)["state"] == "ready"
    assert_all_accounted(host)
    try:
        assert host.call("/doer", {"do": "call", "path": "/echo", "body": 3})["reply"] == 3
    except AgenthostError as error:
        pytest.fail(f"{error}\n{host.output()[-5000:]}")
