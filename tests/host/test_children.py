"""Agents that start agents, with real processes: rights, refusals, and that nothing outlives what started it."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agenthost.containment import tiers
from agenthost.host.children import OPEN_BEGINS
from tests.host.conftest import Start
from tests.host.running import AGENTS, PATIENCE_S, Running, is_alive, kill, tree
from tests.host.sharing import put_back
from tests.waiting import wait_until

OWNERS = Path(__file__).with_name("owners.py")
probe = functools.lru_cache(maxsize=1)(tiers.probe)
TIERS = ("cgroup", *(pytest.param(tier, marks=pytest.mark.slow) for tier in ("pidns", "walk")))


def owner(name: str = "boss", kind: str = "Owner", **keys: Any) -> dict[str, Any]:
    return {"name": name, "agent": f"{OWNERS}:{kind}", **keys}


def echo(**keys: Any) -> dict[str, Any]:
    return {"agent": f"{AGENTS}:Echo", **keys}


def a(kind: str, **keys: Any) -> dict[str, Any]:
    return {"agent": f"{OWNERS}:{kind}", **keys}


def begin(host: Running, path: str, name: str, spec: dict[str, Any], **more: Any) -> Any:
    return host.call(path, {"do": "begin", "name": name, "spec": spec, **more})


def end(host: Running, path: str, below: str, how: str = "stop") -> Any:
    return host.call(path, {"do": "end", "path": below, "how": how})


def error(answer: Any) -> str:
    assert isinstance(answer, dict) and "error" in answer, answer
    return str(answer["error"])


@pytest.fixture
def host(share: Start) -> Iterator[Running]:
    """/boss, and /other. What a test leaves below /boss ends with it; then /boss is there again."""
    host = share(tree(owner(backoff="none"), {"name": "other", **echo()}, intensity=1000))
    yield host
    put_back(host)


# ---- starting and ending


def test_a_child_stands_below_its_owner_answers_everybody_and_is_ended_from_both_sides(host: Running) -> None:
    found = begin(host, "/boss", "sub", echo())
    rows = host.rows()
    assert found == {"path": "/boss/sub", "incarnation": rows["/boss/sub"]["incarnation"]}
    assert rows["/boss/sub"]["restart"] == "temporary"
    assert host.call("/boss/sub", 7) == 7
    assert [one["fields"]["by"] for one in host.events("command.add", "/boss/sub")] == ["/boss"]
    ended = end(host, "/boss", "/boss/sub")
    assert ended["path"] == "/boss/sub" and "/boss/sub" not in host.rows()
    assert end(host, "/boss", "/boss/sub")["text"] == "it had ended"
    # its name is free again; and an operator may end it as well
    begin(host, "/boss", "sub", echo())
    host.ask("stop", path="/boss/sub")
    assert "/boss/sub" not in host.rows()


def test_whatever_its_restart_type_a_child_that_its_owner_ends_is_gone(host: Running) -> None:
    for how in ("stop", "kill"):
        for restart in ("permanent", "transient", "temporary"):
            begin(host, "/boss", "sub", echo(restart=restart))
            pid = host.pid("/boss/sub")
            end(host, "/boss", "/boss/sub", how)
            assert "/boss/sub" not in host.rows() and not is_alive(pid)
    last = host.events("agent.ended", "/boss/sub")[-1]
    assert last["fields"]["reason"] == "killed: by /boss"


def test_a_permanent_child_is_restarted_and_its_owner_stays(host: Running) -> None:
    begin(host, "/boss", "sub", echo(restart="permanent"))
    before, boss = host.pid("/boss/sub"), host.pid("/boss")
    kill(before)
    host.wait(lambda: host.pid("/boss/sub") not in (None, before), "it is restarted")
    assert host.pid("/boss") == boss


def test_what_a_child_does_not_say_it_has_from_its_owner(start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    host: Running = start(tree(owner(env={"A": "1", "B": "2"}, cwd=str(tmp_path))))
    args = {"blob": b"\0\xff", "deep": [{"n": 1.5, "none": None}]}
    begin(host, "/boss", "sub", a("Told", env={"B": "3"}, args=args))
    asked = {"do": "where", "env": ["A", "B"]}
    assert host.call("/boss/sub", asked) == {"cwd": str(tmp_path), "env": {"A": "1", "B": "3"}, "args": args}


def test_code_that_is_sent_becomes_an_agent(host: Running) -> None:
    assert host.call("/boss", {"do": "begin_code", "name": "grown"})["path"] == "/boss/grown"
    assert host.call("/boss/grown", "hi") == ["hi", "/boss/grown"]
    said = host.call("/boss", {"do": "begin_code", "name": "other", "spec": {"command": ["x"]}})
    assert error(said) == "spec: cannot have 'command' beside code that is sent; keep one of them"


def test_a_program_and_a_supervisor_can_be_children_too(host: Running) -> None:
    assert begin(host, "/boss", "tool", {"command": ["sleep", "1000"]})["incarnation"]
    crew = {"strategy": "one_for_all", "children": [{"name": "a", **echo()}, {"name": "b", **echo()}]}
    assert begin(host, "/boss", "crew", crew) == {"path": "/boss/crew", "incarnation": ""}
    assert host.call("/boss/crew/b", 1) == 1
    pids = [host.pid(path) for path in ("/boss/tool", "/boss/crew/a", "/boss/crew/b")]
    end(host, "/boss", "/boss/crew", "kill")
    end(host, "/boss", "/boss/tool")
    assert not any(map(is_alive, pids))
    assert [path for path in host.rows() if path.startswith("/boss/")] == []


def test_a_child_is_killed_when_its_time_is_over(host: Running) -> None:
    begin(host, "/boss", "sub", echo(restart="permanent"), for_s=0.2)
    record = host.wait_event("agent.ended", "/boss/sub")
    assert record["fields"]["reason"] == "killed: its time of 0.2 s is over"
    host.wait(lambda: "/boss/sub" not in host.rows(), "it is forgotten, permanent or not")


def test_a_child_that_does_not_come_up_leaves_nothing(host: Running, tmp_path: Path) -> None:
    assert "no prices today" in error(begin(host, "/boss", "sub", {"agent": f"{AGENTS}:Raises"}))
    spec = {"agent": f"{AGENTS}:Slow", "args": {"until": str(tmp_path / "never")}, "start_timeout": "200ms"}
    assert "not ready within 0.2 s" in error(begin(host, "/boss", "sub", spec))
    assert "/boss/sub" not in host.rows()


def test_what_is_sent_may_be_as_long_as_a_message(host: Running) -> None:
    blob = b"x" * 200_000
    begin(host, "/boss", "sub", a("Told", args={"blob": blob}))
    assert host.call("/boss/sub", {"do": "where", "env": []})["args"] == {"blob": blob}


@pytest.mark.parametrize("whose", ["owner", "child"])
def test_limits_nest_whoever_of_the_two_has_them(start: Start, record_tier: Any, whose: str) -> None:
    """The child has the owner's above it, and its own below that; its siblings go on where it alone had too much."""
    record_tier("cgroup", _missing("cgroup"))
    limits = {"limits": {"memory": "150MiB"}}
    host: Running = start(tree(owner(**limits if whose == "owner" else {})), containment="cgroup")
    begin(host, "/boss", "sibling", echo())
    spec = {"agent": f"{AGENTS}:Doer", **(limits if whose == "child" else {})}
    begin(host, "/boss", "sub", spec)
    sibling = host.pid("/boss/sibling")
    host.client.send("/boss/sub", {"do": "leak"}, durable=False)
    host.wait_event("agent.ended", "/boss/sub")
    assert "out of memory" in host.events("agent.ended", "/boss/sub")[0]["fields"]["reason"]
    if whose == "child":
        assert host.pid("/boss/sibling") == sibling


def test_a_process_is_listed_once_with_the_innermost_that_it_belongs_to(host: Running) -> None:
    begin(host, "/boss", "sub", echo())
    begin(host, "/boss", "program", {"command": ["sh", "-c", "sleep 1000 & wait"]})
    rows = host.ask("status", members=True)["tree"]
    pids = {row["path"]: [one["pid"] for one in row["members"]] for row in rows if row["path"] != "/"}
    assert pids["/boss"] == [host.pid("/boss")] and pids["/boss/sub"] == [host.pid("/boss/sub")]
    everybody = [pid for those in pids.values() for pid in those]
    assert len(everybody) == len(set(everybody)) >= 3


def test_an_operator_sees_a_child_in_the_tree_and_stops_restarts_and_kills_it(host: Running) -> None:
    begin(host, "/boss", "sub", echo(restart="permanent"))
    assert list(below(host, "/boss")) == ["/boss", "/boss/sub"]
    first = host.pid("/boss/sub")
    assert host.ask("restart", path="/boss/sub")["state"] == "ready"
    second = host.pid("/boss/sub")
    assert second != first
    host.ask("kill", path="/boss/sub")
    host.wait(lambda: host.pid("/boss/sub") != second, "it is restarted")
    assert host.ask("stop", path="/boss/sub")["state"] == "down"
    assert begin(host, "/boss", "sub", echo())["error"] == "/boss/sub is there already"
    assert end(host, "/boss", "/boss/sub")["path"] == "/boss/sub"
    assert begin(host, "/boss", "sub", echo())["path"] == "/boss/sub"


def test_children_that_fail_too_often_end_their_owner_and_those_with_a_window_of_their_own_do_not(
    start: Start,
) -> None:
    host: Running = start(tree(owner()))
    boss = host.pid("/boss")
    eager = {"restart": "permanent", "backoff": "none"}
    begin(host, "/boss", "own", {"agent": f"{AGENTS}:Doer", **eager, "intensity": 1, "period": "1h"})
    begin(host, "/boss", "sub", {"agent": f"{AGENTS}:Doer", **eager})

    def crash(path: str, times: int) -> None:
        for _ in range(times):
            pid = host.pid(path)
            kill(pid)
            host.wait(lambda pid=pid: host.rows().get(path, {}).get("pid") != pid, f"{path} has ended")

    crash("/boss/own", 2)
    host.wait_state("/boss/own", "gave_up")
    assert host.pid("/boss") == boss
    crash("/boss/sub", 6)
    host.wait(lambda: host.pid("/boss") != boss, "the owner was ended and restarted")
    assert list(host.rows()) == ["/", "/boss"]
    record = host.events("agent.ended", "/boss")[-1]
    assert record["path"] == "/boss" and "gave up: its children: 6 restarts in" in record["fields"]["reason"]


# ---- what is refused


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"comand": ["x"]}, "spec: unknown key 'comand'; did you mean 'command'?"),
        ({"agent": "m:C", "limits": {"memory": 5}}, "spec.limits.memory: 5 has no unit; write 5MiB, 5GiB or 5B"),
        ({"agent": "m:C", "significant": True}, "the key 'significant' is not for here: nothing stops itself"),
        ({"agent": "nowhere.py:C"}, "spec.agent: cannot read "),
        ({"pool": {"command": ["x"]}}, "spec: an agent cannot start a pool"),
        ({"agent": "m:C", "env": {"A": b"x"}}, "spec.env.A: a bytes can stand in args only"),
    ],
)
def test_a_spec_that_is_off_is_refused_in_the_words_of_the_config(host: Running, spec: Any, said: str) -> None:
    assert said in error(begin(host, "/boss", "sub", spec))


def test_a_name_must_fit_and_be_free(host: Running) -> None:
    assert "name: cannot use '../x'" in error(begin(host, "/boss", "../x", echo()))
    begin(host, "/boss", "twice", echo())
    again = begin(host, "/boss", "twice", echo())
    assert (again["code"], again["error"]) == ("busy", "/boss/twice is running already")
    assert begin(host, "/boss", "x", echo(), for_s=-1.0)["code"] == "usage"


def test_an_agent_ends_only_what_is_below_it(host: Running) -> None:
    for path in ("/boss", "/other", "/bossy/x"):
        assert end(host, "/boss", path)["code"] == "not_permitted"
    assert host.call("/other", 1) == 1


def test_the_same_request_again_gets_the_same_answer_and_acts_once(host: Running) -> None:
    answer = host.call("/boss", {"do": "twice", "op": "begin", "args": {"name": "once", "spec": echo()}})
    assert answer["path"] == "/boss/once"
    assert len(host.events("command.add", "/boss/once")) == 1


def test_who_is_asked_to_end_starts_nothing_more(host: Running) -> None:
    file = host.folder / "answer"
    host.client.send(
        "/boss", {"do": "begin_when_stopping", "name": "late", "spec": echo(), "file": str(file)}, durable=False
    )
    host.wait((host.folder / "answer.began").exists, "its turn has begun")
    host.ask("stop", path="/boss")
    assert file.read_text() == "not_running cannot start 'late': /boss is ending"
    assert "/boss/late" not in host.rows()


@pytest.mark.slow
def test_thousands_of_starts_at_once_are_bounded_and_the_host_answers_others_meanwhile(host: Running) -> None:
    """Whoever is let in keeps one of 64 places for as long as it may take to start: in so many seconds, each place is
    taken at most once, and once more for each time that is over."""
    timeout_s = 3
    slow = {"agent": f"{AGENTS}:Slow", "args": {"until": "/nonexistent/file"}, "start_timeout": f"{timeout_s}s"}
    began = time.monotonic()
    counted = host.call("/boss", {"do": "begin_many", "name": "flood", "n": 2000, "spec": slow})
    rounds = 1 + (time.monotonic() - began) // timeout_s
    assert sum(counted.values()) == 2000, counted
    assert OPEN_BEGINS <= 2000 - counted["overloaded"] <= OPEN_BEGINS * rounds, counted
    assert host.call("/other", 1) == 1


# ---- rights


def test_a_program_is_what_is_run_and_not_how_it_is_written(start: Start, tmp_path: Path) -> None:
    may = {"start": ["sleep", "/opt/tools/*"]}
    (tmp_path / "sleep").symlink_to("/bin/sh")
    host: Running = start(tree(owner(may=may)))
    shell = error(begin(host, "/boss", "a", {"command": ["/opt/tools/../../bin/sh", "-c", "sleep 9"]}))
    assert "not permitted" in shell and "/opt/" not in shell.partition("asked for")[2]
    for more in ({}, {"protocol": "lines"}):
        other = {"command": ["sleep", "-c", "x"], "env": {"PATH": str(tmp_path)}, **more}
        assert f"asked for '{tmp_path}/sleep'" in error(begin(host, "/boss", "b", other))
    assert begin(host, "/boss", "c", {"command": ["sleep", "1000"], "env": {"A": "1"}})["path"] == "/boss/c"


def test_what_is_refused_by_number_or_depth_is_not_read(start: Start) -> None:
    host: Running = start(tree(owner(may={"children": 5, "depth": 2})))
    crowd = {"children": [{"name": "same", "command": "x"}] * 5000}
    assert "/boss may have 5 children" in error(begin(host, "/boss", "crowd", crowd))
    deep = {"children": [{"name": "in", "children": [{"name": "a", **echo()}]}]}
    assert "asked for a child 3 below /boss, which may have children 2 deep" in error(begin(host, "/boss", "d", deep))


def test_rights_are_kept_and_the_refusal_says_which(start: Start) -> None:
    may = {
        "start": ["owners.py:*", "sleep", "*/owners.py:*"],
        "children": 3,
        "depth": 2,
        "limits": {"memory": "512MiB", "processes": 300},
    }
    host: Running = start(tree(owner(may=may)))
    small = {"limits": {"memory": "100MiB", "processes": 60}}
    refused = error(begin(host, "/boss", "sub", {"command": ["sh", "-c", "sleep 9"], **small}))
    assert "not permitted: /boss may start ['owners.py:*'" in refused
    assert "asked for 'sh'; add it to may.start in the config" in refused
    assert "without limits.memory" in error(begin(host, "/boss", "sub", {"command": ["sleep", "9"]}))
    assert begin(host, "/boss", "sub", a("Owner", **small))["path"] == "/boss/sub"
    assert begin(host, "/boss/sub", "deep", a("Owner", **small))["path"] == "/boss/sub/deep"
    deeper = error(begin(host, "/boss/sub/deep", "er", a("Owner", **small)))
    assert "/boss/sub/deep asked for a child 1 below /boss/sub/deep, which may start none" in deeper
    # by way of a child neither: its own rights are at most what it was given
    assert "asked for 'sh'" in error(begin(host, "/boss/sub", "x", {"command": ["sh", "-c", "sleep 9"], **small}))
    large = {"limits": {"memory": "400MiB", "processes": 60}}
    too_much = error(begin(host, "/boss", "big", {"command": ["sleep", "1000"], **large}))
    assert "limits.memory of 512 MiB together; it has 200 MiB and was asked for 400 MiB more" in too_much
    assert begin(host, "/boss", "tool", {"command": ["sleep", "1000"], **small})["path"] == "/boss/tool"
    assert "may have 3 children" in error(begin(host, "/boss", "one-more", a("Owner", **small)))
    end(host, "/boss", "/boss/tool")
    assert begin(host, "/boss", "one-more", a("Owner", **small))["path"] == "/boss/one-more"


# ---- nothing outlives what started it


@pytest.fixture(params=TIERS)
def family(request: pytest.FixtureRequest, start: Start, record_tier: Any) -> Running:
    """/boss with a program, one that heeds no TERM, one with children of its own, and one whose processes fork on."""
    tier = request.param
    record_tier(tier, _missing(tier))
    host: Running = start(tree(owner(shutdown="10s")), containment=tier)
    begin(host, "/boss", "tool", {"command": ["sh", "-c", "sleep 1000 & sleep 1000"]})
    begin(host, "/boss", "stubborn", a("Stubborn", shutdown="1s"))
    begin(host, "/boss", "sub", a("Owner"))
    for name in ("x", "y"):
        begin(host, "/boss/sub", name, echo(restart="permanent"))
    begin(host, "/boss/sub", "forks", a("Forks"))
    return host


def _missing(tier: str) -> str | None:
    found = next(one for one in probe() if one.name == tier)
    return None if found.available else found.why


def below(host: Running, path: str) -> dict[str, Any]:
    return {at: row for at, row in host.rows(members=True).items() if at == path or at.startswith(f"{path}/")}


def pids_of(rows: dict[str, Any]) -> list[int]:
    return [one["pid"] for row in rows.values() for one in row.get("members", []) if one["pid"]]


def relays(host: Running) -> list[int]:
    return [pid for pid, name in host.survivors().items() if name == "relay"]


def test_an_owner_that_is_killed_takes_all_with_it_and_comes_back_without(family: Running) -> None:
    rows = below(family, "/boss")
    assert len(rows) == 7
    pids = pids_of(rows)
    kill(rows["/boss"]["pid"])
    family.wait(lambda: family.rows()["/boss"]["pid"] not in (None, rows["/boss"]["pid"]), "the owner is back")
    assert [pid for pid in pids if is_alive(pid)] == [], "gone before the new incarnation came"
    family.wait_state("/boss", "ready")
    assert list(below(family, "/boss")) == ["/boss"]
    wait_until(lambda: not relays(family), PATIENCE_S, "the chains have ended")
    order = [one["path"] for one in family.events("agent.ended", "/boss")]
    assert order[-1] == "/boss" and sorted(order) == sorted(rows), order
    assert begin(family, "/boss", "sub", echo())["path"] == "/boss/sub"


def test_an_owner_that_is_stopped_ends_its_children_in_reverse_order_and_then_has_ended(family: Running) -> None:
    rows = below(family, "/boss")
    pids = pids_of(rows)
    family.ask("stop", path="/boss", timeout_s=PATIENCE_S)
    assert [pid for pid in pids if is_alive(pid)] == []
    wait_until(lambda: not relays(family), PATIENCE_S, "the chains have ended")
    assert list(below(family, "/boss")) == ["/boss"]
    order = [one["path"] for one in family.events("agent.ended", "/boss")]
    assert order[-1] == "/boss" and set(order) == set(rows)
    assert order.index("/boss/sub") < order.index("/boss/tool")


def test_one_child_is_ended_without_its_siblings(family: Running) -> None:
    rows = below(family, "/boss")
    pids = pids_of(below(family, "/boss/sub"))
    assert end(family, "/boss", "/boss/sub", "kill")["path"] == "/boss/sub"
    assert [pid for pid in pids if is_alive(pid)] == []
    wait_until(lambda: not relays(family), PATIENCE_S, "the chains have ended")
    assert list(below(family, "/boss")) == ["/boss", "/boss/tool", "/boss/stubborn"]
    assert family.rows()["/boss/tool"]["pid"] == rows["/boss/tool"]["pid"]


@pytest.mark.parametrize("tier", TIERS)
def test_nothing_of_a_child_is_left_whose_owner_is_killed_in_the_middle_of_its_start(
    start: Start, tmp_path: Path, tier: str, record_tier: Any
) -> None:
    record_tier(tier, _missing(tier))
    host: Running = start(tree(owner()), containment=tier)
    slow = {"agent": f"{AGENTS}:Slow", "args": {"until": str(tmp_path / "never")}}
    host.call("/boss", {"do": "begin_only", "name": "slow", "spec": slow})
    host.wait(lambda: (host.rows().get("/boss/slow") or {}).get("pid"), "it is being born")
    child, boss = host.pid("/boss/slow"), host.pid("/boss")
    kill(boss)
    host.wait(lambda: host.rows()["/boss"]["pid"] not in (None, boss), "the owner is back")
    assert not is_alive(child)
    assert list(below(host, "/boss")) == ["/boss"]
    assert [one["path"] for one in host.events("agent.ended")] == ["/boss/slow", "/boss"]


@pytest.mark.parametrize("tier", TIERS)
def test_whenever_an_owner_is_killed_while_it_starts_many_nothing_of_them_is_left(
    start: Start, tier: str, record_tier: Any
) -> None:
    """Children of children too; after each kill, at another moment of their starts, only the owner is there again."""
    record_tier(tier, _missing(tier))
    host: Running = start(tree(owner(backoff="none"), intensity=1000), containment=tier)
    begin(host, "/boss", "warm", echo())  # brings the zygote of those
    end(host, "/boss", "/boss/warm")
    usual = len(host.survivors())
    for moment in range(10):
        host.wait_state("/boss", "ready")
        boss = host.pid("/boss")
        for name in ("a", "b"):
            begin(host, "/boss", name, a("Owner"))
            host.client.send(f"/boss/{name}", {"do": "begin_many", "name": "x", "n": 8, "spec": echo()}, durable=False)
        host.client.send(
            "/boss", {"do": "begin_many", "name": "y", "n": 8, "spec": echo(restart="permanent")}, durable=False
        )
        host.wait(lambda seen=2 * moment: len(host.rows()) >= 4 + seen, f"{2 * moment} of them are being born")
        kill(boss)
        host.wait(lambda boss=boss: host.rows()["/boss"]["pid"] not in (None, boss), "the owner is back")
        assert list(host.rows()) == ["/", "/boss"]
        host.wait(lambda: len(host.survivors()) <= usual, "no process is more than there was")
    ended = [one["path"] for one in host.events("agent.ended")]
    begun = [one["path"] for one in host.events("agent.starting") if one["path"] != "/boss"]
    assert sorted(path for path in ended if path != "/boss") == sorted(begun), "each start has its end"
