"""The life of a tree with real processes: order, stop, restart types, what does not come up."""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path

import pytest

from agenthost.errors import Busy, Down, HandlerFailed, NotRunning, StartFailed, UnknownName
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, agent, is_alive, kill, tree
from tests.waiting import wait_until

SLEEPER = ["/bin/sh", "-c", "while :; do sleep 1000 & wait; done"]


def steps(text: str) -> list[str]:
    """The words of "asked 0 s, TERM 400 ms, KILL 1 s, empty 1.01 s"."""
    return [step.split()[0] for step in text.split(", ")]


def notes(file: Path) -> list[str]:
    return file.read_text().split("\n")[:-1]


def test_an_agent_answers_and_a_planned_end_leaves_nothing_and_status_0(start: Start) -> None:
    host = start(tree(agent("echo", "Echo"), agent("async", "AsyncEcho")))
    assert host.call("/echo", {"a": [1, None]}) == {"a": [1, None]}
    assert host.call("/async", "b") == "b"
    assert host.stop() == 0
    host.assert_nothing_left()


def test_children_start_in_order_each_after_the_one_before_is_ready_and_stop_in_reverse(
    start: Start, places: Path
) -> None:
    file, go = places / "notes", places / "go"
    host = Running(
        places,
        tree(
            agent("a", "Noter", args={"file": str(file)}),
            agent("slow", "Slow", args={"until": str(go)}),
            {"name": "in", **tree(agent("b", "Noter", args={"file": str(file)}))},
            agent("c", "Noter", args={"file": str(file)}),
        ),
    )
    try:
        host.start()
        host.wait(lambda: host.host().get("state") == "starting", "the host answers while it starts")
        host.wait_state("/slow", "starting")
        assert host.state("/in/b") == "down"
        assert notes(file) == ["start /a"]
        go.touch()
        host.wait_ready()
        assert host.stop() == 0
        assert notes(file) == ["start /a", "start /in/b", "start /c", "stop /c", "stop /in/b", "stop /a"]
    finally:
        host.end()


def test_a_stop_says_how_far_it_had_to_climb(start: Start) -> None:
    host = start(
        tree(
            agent("good", "Echo", shutdown="20s"),
            agent("deaf", "Deaf", shutdown="1s"),
            agent("brutal", "Noter", shutdown="kill", args={"file": "/dev/null"}),
            {"name": "program", "command": SLEEPER, "shutdown": "20s"},
            {"name": "polite", "command": ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"],
             "shutdown": "1s", "ready": {"line": "deaf"}},
        )
    )  # fmt: skip
    assert steps(host.ask("stop", path="/good")["text"]) == ["asked", "empty"]
    deaf = host.ask("stop", path="/deaf")
    assert deaf["state"] == "down"
    assert steps(deaf["text"]) == ["asked", "TERM", "KILL", "empty"]
    asked, exited = host.wait_event("agent.asked", "/deaf"), host.wait_event("agent.exited", "/deaf")
    assert exited["at"] - asked["at"] >= 0.99  # the grace, and no less
    assert steps(host.ask("stop", path="/brutal")["text"]) == ["KILL", "empty"]
    assert steps(host.ask("stop", path="/program")["text"]) == ["asked", "empty"]
    assert steps(host.ask("stop", path="/polite")["text"]) == ["asked", "TERM", "KILL", "empty"]
    rows = host.rows()
    assert rows["/good"]["reason"].startswith("stopped")
    assert rows["/program"]["reason"].startswith("stopped")
    assert rows["/deaf"]["reason"].startswith("killed: did not stop within 1")
    assert {path: rows[path]["state"] for path in rows} == {path: "ready" if path == "/" else "down" for path in rows}
    assert all(rows[path]["held"] for path in rows if path != "/")
    assert host.ask("start", path="/good")["state"] == "ready"
    assert host.call("/good", 1) == 1


def test_restart_types_decide_who_comes_back(start: Start) -> None:
    host = start(
        tree(
            *(
                agent(f"{kind}-{end}", "Doer", restart=kind)
                for kind in ("permanent", "transient", "temporary")
                for end in ("well", "badly")
            ),
            intensity=10,
        )
    )
    before = {path: row["incarnation"] for path, row in host.rows().items()}
    for path in before:
        if path != "/":
            with contextlib.suppress(Down):  # it may be gone before it has said that it took the message
                host.client.send(path, {"do": "exit", "status": 0 if path.endswith("-well") else 3}, durable=False)
    host.wait_event("agent.exited", count=6)
    for path in ("/permanent-well", "/permanent-badly", "/transient-badly"):
        host.wait(lambda path=path: host.row(path)["incarnation"] not in (None, before[path]), f"{path} comes back")
        assert host.wait_state(path, "ready")["restarts"] == 1
    assert host.wait_state("/transient-well", "done")["reason"] == "ended normally"
    host.wait(lambda: not {"/temporary-well", "/temporary-badly"} & host.rows().keys(), "temporary ones are forgotten")
    reasons = {one["path"]: one["fields"]["reason"] for one in host.events("agent.exited")}
    assert {reasons[path] for path in reasons if path.endswith("badly")} == {"exit status 3"}
    assert {reasons[path] for path in reasons if path.endswith("well")} == {"ended normally"}


def test_the_first_restart_is_at_once_and_the_next_ones_wait_longer_and_longer(start: Start) -> None:
    backoff = {"initial": "200ms", "factor": 2, "jitter": 0, "calm": "60s"}
    host = start(tree(agent("a", "Doer", backoff=backoff), intensity=10))
    for count in range(1, 4):
        host.client.send("/a", {"do": "crash"}, durable=False)
        host.wait_event("agent.restarting", count=count)
        host.wait(lambda count=count: len(host.events("agent.ready")) == count + 1, "it is back")
    assert [one["fields"]["delay_s"] for one in host.events("agent.restarting")] == [0.0, 0.2, 0.4]
    events = host.events("agent")
    waited = [
        after["at"] - before["at"]
        for before, after in itertools.pairwise(events)
        if before["name"] == "agent.restarting" and after["name"] == "agent.starting"
    ]
    assert waited[1] > 0.19 and waited[2] > 0.39, waited  # by the clock of the records, which may be set


def test_one_for_all_restarts_all_with_new_processes_in_order(start: Start, places: Path) -> None:
    file = places / "notes"
    children = [agent(name, "Noter", args={"file": str(file)}) for name in "abc"]
    host = start(tree({"name": "all", **tree(*children, strategy="one_for_all")}, agent("beside", "Echo")))
    before = {path: row["pid"] for path, row in host.rows().items()}
    kill(before["/all/b"])
    host.wait(lambda: len(notes(file)) == 8, "the group has started again")
    assert notes(file) == [f"start /all/{one}" for one in "abc"] + ["stop /all/c", "stop /all/a"] + [
        f"start /all/{one}" for one in "abc"
    ]
    host.wait_state("/all", "ready")
    after = {path: row["pid"] for path, row in host.rows().items()}
    assert after["/beside"] == before["/beside"]
    assert not {after[f"/all/{one}"] for one in "abc"} & {before[f"/all/{one}"] for one in "abc"}
    assert not any(is_alive(before[f"/all/{one}"]) for one in "abc")


def test_rest_for_one_restarts_what_stands_behind_and_nothing_before(start: Start, places: Path) -> None:
    file = places / "notes"
    children = [agent(name, "Noter", args={"file": str(file)}) for name in "abcd"]
    host = start(tree(*children, strategy="rest_for_one"))
    before = {path: row["pid"] for path, row in host.rows().items()}
    kill(before["/b"])
    host.wait(lambda: len(notes(file)) == 9, "the rest has started again")
    assert notes(file)[4:] == ["stop /d", "stop /c", "start /b", "start /c", "start /d"]
    host.wait_state("/", "ready")
    after = {path: row["pid"] for path, row in host.rows().items()}
    assert after["/a"] == before["/a"]
    assert not {after[f"/{one}"] for one in "bcd"} & {before[f"/{one}"] for one in "bcd"}


def test_too_many_restarts_end_the_supervisor_then_its_supervisor_and_then_the_host_with_status_1(
    start: Start,
) -> None:
    inner = tree(agent("a", "Doer", backoff="none"), agent("b", "Echo"), intensity=1, period="60s")
    host = start(tree({"name": "in", "backoff": "none", **inner}, agent("c", "Echo"), intensity=1, period="60s"))

    for _ in range(3):  # a restart of a, one of in, one of a again; the next is one too many for both
        incarnation = host.wait_state("/in/a", "ready")["incarnation"]
        with pytest.raises((Down, HandlerFailed)):
            host.call("/in/a", {"do": "crash"})
        host.wait(
            lambda incarnation=incarnation: host.row("/in/a")["incarnation"] not in (None, incarnation), "it is back"
        )
    host.wait_state("/in/a", "ready")
    host.client.send("/in/a", {"do": "crash"}, durable=False)
    assert host.wait_end() == 1
    last = [line for line in host.output().splitlines() if " host.failed " in line][-1]
    assert "gave up" in last and "/in" in last and "exit status 1" in last, last
    host.assert_nothing_left()


def test_a_module_that_does_not_import_sets_its_agent_aside_and_its_siblings_serve(start: Start, places: Path) -> None:
    (places / "broken.py").write_text(
        "from agenthost import Agent\n"
        "import no_such_module_at_all\n"
        "class A(Agent):\n    def handle(self, message, ctx): return 1\n"
    )
    host = start(tree({"name": "broken", "agent": "broken.py:A"}, agent("echo", "Echo")))
    assert host.call("/echo", 1) == 1
    row = host.row("/broken")
    assert row["state"] == "gave_up" and row["pid"] is None
    assert row["reason"].startswith("cannot be loaded: ") and "no_such_module_at_all" in row["reason"]
    record = host.wait_event("agent.gave_up", "/broken")
    assert "Traceback" in record["fields"]["trace"] and "broken.py" in record["fields"]["trace"]
    with pytest.raises(NotRunning, match="no_such_module_at_all"):
        host.call("/broken", 1)
    (places / "broken.py").write_text(
        "from agenthost import Agent\nclass A(Agent):\n    def handle(self, message, ctx): return 'mended'\n"
    )
    assert host.ask("start", path="/broken")["state"] == "ready"
    assert host.call("/broken") == "mended"


@pytest.mark.parametrize(
    ("child", "why"),
    [
        ({"name": "x", "command": ["/no/such/program"]}, "/no/such/program"),
        ({"name": "x", "command": ["no-such-program-in-path"]}, "no such file in PATH"),
        ({"name": "x", "command": ["/bin/sh"], "cwd": "/no/such/folder"}, "/no/such/folder"),
        (agent("x", "Raises"), "LookupError: no prices today"),
        (agent("x", "Slow", args={"until": "/no/such/file"}, start_timeout="500ms"), "not ready within 0.5 s"),
        ({"name": "x", "command": SLEEPER, "ready": {"tcp": "127.0.0.1:1", "timeout": "500ms"}}, "not ready within"),
        ({"name": "x", "command": ["/bin/true"], "ready": {"line": "never"}}, "before it was ready"),
    ],
    ids=["no file", "not in path", "no cwd", "on_start raises", "slow agent", "slow program", "ends before"],
)  # fmt: skip
def test_what_cannot_start_ends_the_start_of_the_tree_with_status_1_and_the_reason(
    places: Path, child: dict[str, object], why: str
) -> None:
    host = Running(places, tree(agent("first", "Echo"), child))
    try:
        assert host.start().wait_end() == 1
        last = [line for line in host.output().splitlines() if " host.failed " in line][-1]
        assert "cannot start /x" in last and why in last, last
        host.assert_nothing_left()
    finally:
        host.end()


def test_what_fails_to_start_later_is_tried_again_and_an_operator_is_told_why(start: Start, places: Path) -> None:
    file = places / "there"
    file.touch()
    args = {"until": str(file)}
    host = start(tree(agent("a", "RaisesUntil", args=args, backoff={"initial": "50ms", "max": "50ms"}), intensity=1000))
    file.unlink()
    with pytest.raises((StartFailed, NotRunning), match="LookupError: not yet"):
        host.ask("restart", path="/a")
    host.wait_event("agent.exited", "/a", count=10)
    for record in host.events("agent.exited", "/a")[1:]:  # each time, also when its end is noticed at once
        assert "LookupError: not yet" in record["fields"]["reason"], record
        assert "Traceback" in record["fields"]["trace"], record
    file.touch()
    host.wait_state("/a", "ready")
    assert host.call("/a", {"do": "incarnation"}) == host.row("/a")["incarnation"]


def test_agents_with_nothing_to_do_are_not_missed(start: Start) -> None:
    idle = [agent(f"i{number}", "NothingToDo") for number in range(20)]  # many: what is said last must not be late
    host = start(tree(*idle, agent("echo", "Echo")))
    for number in range(20):
        row = host.wait_state(f"/i{number}", "down", "done")
        assert row["reason"] == "had nothing to do" and row["restarts"] == 0
    assert host.call("/echo", 1) == 1


def test_a_program_is_ready_when_it_says_so(start: Start, places: Path) -> None:
    go = places / "go"
    script = f"until [ -e {go} ]; do sleep 0.05; done; echo listening on 7; exec sleep 1000"
    host = Running(
        places,
        tree({"name": "p", "command": ["/bin/sh", "-c", script], "ready": {"line": "listening on [0-9]+"}},
             agent("after", "Echo")),
    )  # fmt: skip
    try:
        host.start()
        host.wait(lambda: host.host().get("state"), "the host answers")
        host.wait_state("/p", "starting")
        go.touch()
        host.wait_ready()
        assert host.call("/after", 1) == 1
        assert host.stop() == 0
    finally:
        host.end()


def test_an_agent_that_crashes_over_a_call_is_back_for_the_next_one_with_a_clean_state(start: Start) -> None:
    host = start(tree(agent("a", "Doer"), intensity=100, period="1s"))
    began = time.monotonic()
    for _ in range(3):
        incarnation = host.call("/a", {"do": "incarnation"})
        with pytest.raises((HandlerFailed, Down), match=r"crash on demand|exit status 1"):
            host.call("/a", {"do": "crash"})
        host.wait(lambda incarnation=incarnation: host.row("/a")["incarnation"] != incarnation, "the next incarnation")
        host.wait_state("/a", "ready")
    assert time.monotonic() - began < PATIENCE_S
    assert "RuntimeError: crash on demand" in host.printed("/a")
    segv = host.pid("/a")
    with contextlib.suppress(Down):  # it may be gone before it has said that it took the message
        host.client.send("/a", {"do": "segv"}, durable=False)
    wait_until(lambda: not is_alive(segv), PATIENCE_S, "the process is gone")
    host.wait(lambda: [one for one in host.events("agent.exited") if "SIGSEGV" in one["fields"]["reason"]], "told")


@pytest.mark.slow
def test_commands_on_what_is_not_there_or_on_its_way_are_refused_in_words(start: Start) -> None:
    host = start(tree(agent("deaf", "Deaf", shutdown="2s"), agent("echo", "Echo")))
    with pytest.raises(UnknownName, match="did you mean /echo"):
        host.ask("stop", path="/ecko")
    host.ask("stop", path="/deaf", wait=False)
    with pytest.raises(Busy, match="is ending"):
        host.ask("start", path="/deaf")
    host.wait_state("/deaf", "down")
    with pytest.raises(NotRunning, match="no process"):
        host.ask("kill", path="/deaf")
    assert steps(host.ask("kill", path="/echo")["text"]) == ["KILL", "empty"]
    host.wait_state("/echo", "ready")
