"""What an agent asks of the host, message by message: children, scopes, monitors, groups, over a real ROUTER."""

from __future__ import annotations

import pytest

from agenthost.client import Client
from agenthost.errors import Down, NotRunning
from agenthost.protocol import control, wishes
from tests.agent.fake_host import FakeHost, Hosted
from tests.waiting import wait_until

both = pytest.mark.parametrize("kind", ["Parent", "AsyncParent"])


def parent(host: FakeHost, kind: str = "Parent", path: str = "/p") -> Hosted:
    return host.start(f"tests.agent.parents:{kind}", path)


def wait_childless(host: FakeHost) -> None:
    wait_until(lambda: not host.family.children("/p"), what="no children")


def said(host: FakeHost, kind: type) -> list[wishes.Wish]:
    return [wish for wish in host.family.log if type(wish) is kind]


@both
def test_a_class_goes_by_name_and_a_child_is_named_after_it(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    assert client.call("/p", ["start"]) == ["/p/echo-1", "7.2", "hello"]
    assert client.call("/p", ["start"])[0] == "/p/echo-2"
    assert client.call("/p", ["start", "mine"])[0] == "/p/mine"
    begin = said(host, wishes.Begin)[0]
    assert isinstance(begin, wishes.Begin)
    assert begin.spec == {"agent": "tests.agent.cast:Echo"} and begin.code == b"" and begin.for_s is None


@both
def test_requests_are_repeated_until_they_are_answered_and_done_once(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    host.deaf_to[control.Request] = 3
    assert client.call("/p", ["scope", 2]) == [0, 1]
    assert len(said(host, wishes.Begin)) == 2
    assert host.family.children("/p") == []


@both
def test_children_are_gone_when_the_block_is_left_also_many(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    assert client.call("/p", ["scope", 5], timeout=60) == [0, 1, 2, 3, 4]
    assert host.family.children("/p") == []
    assert {wish.how for wish in said(host, wishes.End) if isinstance(wish, wishes.End)} == {"stop"}


@both
def test_a_refusal_is_raised_and_nothing_is_ended_for_it(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    host.family.refuse["mine"] = "not_permitted"
    assert client.call("/p", ["start_safely", "mine"]) == ["not_permitted", "may not start mine"]
    assert said(host, wishes.End) == []


@both
def test_a_child_that_is_not_ready_in_time_is_ended(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    host.family.slow.add("mine")
    code, text = client.call("/p", ["start_safely", "mine", 0.5])
    assert code == "timed_out" and "/p/mine" in text
    assert host.family.children("/p") == []


def test_a_start_that_is_interrupted_leaves_nothing(host: FakeHost, client: Client) -> None:
    parent(host)
    host.family.slow.add("mine")
    assert client.call("/p", ["interrupted", "mine"]) == "interrupted"
    assert host.family.children("/p") == []


def test_a_begin_that_is_lost_is_not_repeated_after_its_end(host: FakeHost, client: Client) -> None:
    parent(host)
    host.deaf_to[control.Request] = 2
    code, _ = client.call("/p", ["start_safely", "mine", 0.1])
    assert code == "timed_out"
    assert client.call("/p", ["start", "other"])[0] == "/p/other"
    assert [wish.name for wish in said(host, wishes.Begin) if isinstance(wish, wishes.Begin)] == ["other"]


def test_giving_up_a_start_whose_name_is_taken_does_not_end_who_has_it(host: FakeHost, client: Client) -> None:
    parent(host)
    assert client.call("/p", ["reuse", "mine"], timeout=20) == ["usage", "still here"]
    assert said(host, wishes.End) == []


def test_a_lambda_travels_as_code(host: FakeHost, client: Client) -> None:
    it = parent(host)
    path, body, pid = client.call("/p", ["code"])
    assert path == "/p/lambda-1" and body == 5 and pid != it.process.pid


def test_what_is_too_large_is_named(host: FakeHost, client: Client) -> None:
    parent(host)
    text = client.call("/p", ["too_large"])
    assert "the largest is its variable 'large' (a bytes)" in text
    assert "300" in text
    assert "longer than" in client.call("/p", ["large_args"])
    assert "'text'" in client.call("/p", ["strange_args"]) or "object" in client.call("/p", ["strange_args"])
    assert said(host, wishes.Begin) == []


def test_a_scope_is_entered_first(host: FakeHost, client: Client) -> None:
    parent(host)
    assert "with ctx.scope()" in client.call("/p", ["unentered"])


def test_what_a_block_catches_is_not_raised_again(host: FakeHost, client: Client) -> None:
    parent(host)
    first, second = client.call("/p", ["after_error"])
    assert "no such item" in first
    assert "no such item" in second
    wait_childless(host)


def test_a_crash_that_a_call_has_told_of_fails_no_scope(host: FakeHost, client: Client) -> None:
    parent(host)
    assert client.call("/p", ["survives_crash"]) == ["handler_failed", 1]


def test_what_is_not_ready_in_time_is_gone_though_the_block_goes_on(host: FakeHost, client: Client) -> None:
    parent(host)
    host.family.slow.add("mine")
    assert client.call("/p", ["slow_in_scope", "mine"]) == ["timed_out", "", "well"]


def test_a_child_with_the_name_of_one_that_has_ended_is_another(host: FakeHost, client: Client) -> None:
    parent(host)
    assert client.call("/p", ["name_again"]) == ["handler_failed", "down", True]


def test_a_cancelled_scope_is_over(host: FakeHost, client: Client) -> None:
    parent(host)
    assert "it is over" in client.call("/p", ["cancel"])
    assert host.family.children("/p") == []


def test_all_tasks_in_a_scope_hear_of_its_failure_when_all_children_are_gone(host: FakeHost, client: Client) -> None:
    parent(host, "AsyncParent")
    outcomes = client.call("/p", ["two_tasks_fail"])
    assert len(outcomes) == 2
    assert all(one.startswith("Down: ") and "/p/clerk-3" in one for one in outcomes)
    assert host.family.children("/p") == []


@both
def test_an_end_that_the_host_puts_off_is_asked_for_again(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    host.family.overloaded = 4
    assert client.call("/p", ["scope", 3]) == [0, 1, 2]
    assert host.family.children("/p") == []
    assert len(said(host, wishes.End)) == 7


def test_a_child_that_is_stopped_is_stopped_though_the_host_puts_it_off(host: FakeHost, client: Client) -> None:
    parent(host)
    host.family.overloaded = 2
    assert client.call("/p", ["stop_child"]) is None
    assert host.family.children("/p") == []


def test_a_start_whose_task_is_cancelled_leaves_no_child_in_the_block(host: FakeHost, client: Client) -> None:
    parent(host, "AsyncParent")
    host.family.slow.add("mine")
    assert client.call("/p", ["cancelled_start", "mine"]) == [True, "", "well"]


def test_a_child_that_has_ended_before_the_block_fails_it(host: FakeHost, client: Client) -> None:
    parent(host)
    code, text = client.call("/p", ["fail_late"])
    assert code == "down" and "/p/it has ended (killed by the test)" in text


def test_who_waits_for_one_of_many_calls_is_woken_for_its_own(host: FakeHost, client: Client) -> None:
    parent(host, "AsyncParent")
    is_right, looks = client.call("/p", ["many_calls", 200], timeout=60)
    assert is_right and looks < 200 * 4


# ---- monitors


def test_begin_asks_to_hear_of_the_end_and_a_late_monitor_has_the_reason(host: FakeHost, client: Client) -> None:
    parent(host)
    incarnation, *ends = client.call("/p", ["start_die_monitor"], timeout=60)
    assert ends == [["/p/clerk-1", incarnation, "killed by the test", False]] * 2
    begin = said(host, wishes.Begin)[0]
    assert isinstance(begin, wishes.Begin) and begin.monitor
    assert len(said(host, wishes.Monitor)) == 1  # the path's


@both
def test_a_down_that_comes_before_the_answer_to_its_monitor_counts(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    host.start("Clerk")
    host.family.early_down.add("/it")
    inc, ended = client.call("/p", ["monitor", "/it"])
    assert (inc, ended) == ("7.2", ["/it", "7.2", "early", False])
    client.call("/p", ["echo", 1])
    assert client.call("/p", ["downs"]) == []  # the turn has looked at it


@both
def test_down_that_nobody_asked_for_is_a_turn_of_on_down_once(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    it = host.start("Clerk")
    assert client.call("/p", ["monitor", "/it"]) == ["7.2", None]
    host.deaf_to[control.Seen] = 2  # so it is said three times
    host.kill(it)
    wait_until(lambda: client.call("/p", ["downs"]), what="on_down")
    wait_until(lambda: host.seen, what="Seen at last")
    assert client.call("/p", ["downs"]) == [["/it", "7.2", "killed by the test", False]]


def test_an_agent_without_on_down_has_no_such_turn(host: FakeHost, client: Client) -> None:
    parent(host, "Plain")
    it = host.start("Clerk")
    client.call("/p", ["monitor", "/it"])
    host.kill(it)
    wait_until(lambda: host.seen, what="Seen")
    assert client.call("/p", ["echo", 1]) == 1


@both
def test_nothing_there_is_an_end_at_once(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    inc, ended = client.call("/p", ["monitor", "/nobody"])
    assert inc == "" and ended[2].startswith("not running: ")


# ---- groups


@both
def test_the_next_member_is_tried_where_the_first_never_had_the_message(
    host: FakeHost, client: Client, kind: str
) -> None:
    parent(host, kind)
    gone = host.start("Clerk", "/gone")
    host.start("Clerk", "/there")
    host.kill(gone)
    host.wait_end(gone)
    host.family.groups["crew"] = {"/gone": None, "/there": False}  # type: ignore[dict-item]  # None: it still stands there
    assert client.call("/p", ["group", "call", ["echo", 1]]) == 1
    assert client.call("/p", ["group", "send", ["note", "x"]]) == "/there"
    assert client.call("/p", ["group", "send_all", ["note", "y"]]) == 1


@both
def test_a_call_that_a_member_has_had_is_not_given_to_another(host: FakeHost, client: Client, kind: str) -> None:
    parent(host, kind)
    for path in ("/a", "/b"):
        host.start("Clerk", path)
    host.family.groups["crew"] = {"/a": False, "/b": False, "/p": False}
    with pytest.raises(Down):
        client.call("/p", ["group", "call", ["die"]])
    wait_until(lambda: sum(one.is_alive for one in host.agents) == 2, what="one has died")
    # a handler's own error looks like a refusal of its host, and is none
    with pytest.raises(NotRunning):
        client.call("/p", ["group", "call", ["ask", "/a", None]])
