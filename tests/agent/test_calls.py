"""Calls between real agents in real processes, and from a client."""

from __future__ import annotations

from pathlib import Path

import pytest

from agenthost.client import Client
from agenthost.errors import Down, HandlerFailed, NotRunning, Refuse, TimedOut, UnknownName
from agenthost.protocol import control
from tests.agent.fake_host import FakeHost
from tests.waiting import wait_until


def test_a_call_is_answered_with_what_the_handler_returns(host: FakeHost, client: Client, kind: str) -> None:
    host.start(kind)
    for value in (None, 1, "ä", b"\x00", [1, [2]], {"a": {"b": 1.5}}, {1: 2}):
        assert client.call("/it", ["echo", value]) == value


def test_a_callee_is_looked_up_once(host: FakeHost, client: Client, kind: str) -> None:
    it = host.start(kind)
    for number in range(5):
        assert client.call("/it", ["echo", number]) == number
    assert len(it.heard(control.Expecting)) == 1


def test_the_handler_is_told_who_calls_and_until_when(host: FakeHost, client: Client) -> None:
    host.start("Clerk")
    host.start("Clerk", "/front")
    told = client.call("/it", ["who"], timeout=7)
    assert told["sender"].startswith("client:")
    assert told["kind"] == "call"
    assert 6 < told["left_s"] <= 7
    told = client.call("/front", ["ask", "/it", ["who"]], timeout=20)
    assert told["sender"] == "/front"


def test_a_deadline_travels_with_the_call_and_is_never_extended(host: FakeHost, client: Client) -> None:
    host.start("Clerk")
    host.start("Clerk", "/front")
    told = client.call("/front", ["ask", "/it", ["who"], 60], timeout=5)
    assert 4 < told["left_s"] <= 5
    told = client.call("/front", ["ask", "/it", ["who"], 2], timeout=5)
    assert 1 < told["left_s"] <= 2


def test_a_call_without_an_answer_times_out(host: FakeHost, client: Client, kind: str, tmp_path: Path) -> None:
    it = host.start(kind)
    with pytest.raises(TimedOut, match="/it"):
        client.call("/it", ["wait_file", str(tmp_path / "go")], timeout=0.2)
    (tmp_path / "go").touch()
    assert client.call("/it", ["echo", "still here"]) == "still here"
    assert it.is_alive


def test_the_host_hears_of_a_callee_that_lets_a_deadline_pass(
    host: FakeHost, client: Client, kind: str, tmp_path: Path
) -> None:
    it = host.start(kind)
    with pytest.raises(TimedOut):
        client.call("/it", ["wait_file", str(tmp_path / "go")], timeout=0.2)
    [overdue] = wait_until(lambda: host.overdue, what="Overdue")
    assert (overdue.path, overdue.callee) == ("/it", it.inc)
    (tmp_path / "go").touch()
    assert client.call("/it", ["echo", 1]) == 1


def test_a_nested_call_times_out_where_it_waits(host: FakeHost, client: Client, kind: str, tmp_path: Path) -> None:
    host.start("Clerk")
    host.start(kind, "/front")
    outcome = client.call("/front", ["ask_safely", "/it", ["wait_file", str(tmp_path / "go")], 0.3])
    assert outcome["error"] == "TimedOut"
    assert 0.25 < outcome["took_s"] < 2
    (tmp_path / "go").touch()
    assert client.call("/it", ["echo", 1]) == 1


def test_a_call_to_an_agent_that_dies_ends_at_once_with_the_reason(host: FakeHost, client: Client, kind: str) -> None:
    host.reason = "killed: out of memory at 512 MiB"
    host.start("Clerk")
    host.start(kind, "/front")
    outcome = client.call("/front", ["ask_safely", "/it", ["die"], 25])
    assert outcome["error"] == "Down"
    assert "killed: out of memory at 512 MiB" in outcome["text"]
    assert outcome["took_s"] < 5
    wait_until(lambda: host.seen, what="Seen for Down")


def test_a_client_hears_of_a_death_too_and_finds_the_next_incarnation(host: FakeHost, client: Client) -> None:
    host.start("Clerk")
    with pytest.raises(Down) as raised:
        client.call("/it", ["die"])
    assert raised.value.path == "/it"
    assert raised.value.incarnation == "7.1"
    assert raised.value.reason == host.reason
    with pytest.raises(NotRunning):
        client.call("/it", ["echo", 1])
    host.start("Clerk")
    assert client.call("/it", ["echo", 2]) == 2


def test_an_unknown_name_is_refused(host: FakeHost, client: Client, kind: str) -> None:
    with pytest.raises(UnknownName, match="/nobody"):
        client.call("/nobody", None)
    host.start(kind, "/front")
    assert client.call("/front", ["ask_safely", "/nobody", None])["error"] == "UnknownName"
    assert client.call("/front", ["echo", 1]) == 1


def test_a_handler_that_refuses_goes_on(host: FakeHost, client: Client, kind: str) -> None:
    it = host.start(kind)
    with pytest.raises(Refuse, match="no such item"):
        client.call("/it", ["refuse"])
    assert client.call("/it", ["echo", 1]) == 1
    assert it.stderr() == ""


def test_a_handler_that_raises_answers_its_caller_and_crashes(host: FakeHost, client: Client, kind: str) -> None:
    it = host.start(kind)
    with pytest.raises(HandlerFailed, match="ValueError: wrong number") as raised:
        client.call("/it", ["raise"])
    assert "do_raise" in raised.value.trace
    assert host.wait_end(it) == 1
    assert "ValueError: wrong number" in it.stderr()


def test_a_reply_that_is_no_plain_data_is_a_crash_that_names_it(host: FakeHost, client: Client) -> None:
    it = host.start("Clerk")
    with pytest.raises(HandlerFailed, match=r"body\['parts'\]\[1\] of type set"):
        client.call("/it", ["unsendable"])
    assert host.wait_end(it) == 1


def test_a_handler_may_exit_with_a_status(host: FakeHost, client: Client) -> None:
    it = host.start("Clerk")
    with pytest.raises(HandlerFailed, match="SystemExit: 7"):
        client.call("/it", ["exit", 7])
    assert host.wait_end(it) == 7


def test_an_error_deep_down_travels_up(host: FakeHost, client: Client, kind: str) -> None:
    host.start("Clerk")
    host.start(kind, "/front")
    with pytest.raises(Refuse, match="/it: no such item"):
        client.call("/front", ["ask", "/it", ["refuse"]])


def test_an_agent_cannot_call_itself(host: FakeHost, client: Client, kind: str) -> None:
    host.start(kind)
    outcome = client.call("/it", ["ask_safely", "/it", ["echo", 1]])
    assert outcome["error"] == "UsageError"
    assert "would wait for itself" in outcome["text"]


def test_send_returns_when_the_message_is_in_the_mailbox(host: FakeHost, client: Client, kind: str) -> None:
    host.start("Clerk")
    host.start(kind, "/front")
    client.send("/it", ["note", "from outside"], durable=False)
    client.call("/front", ["tell", "/it", ["note", "from a neighbour"]])
    assert client.call("/it", ["notes"]) == ["from outside", "from a neighbour"]


def test_an_agent_may_send_to_itself(host: FakeHost, client: Client) -> None:
    host.start("Clerk")
    client.call("/it", ["tell", "/it", ["note", "later"]])
    assert client.call("/it", ["notes"]) == ["later"]


def test_two_agents_that_send_to_each_other_do_not_wait_for_each_other(
    host: FakeHost, client: Client, tmp_path: Path
) -> None:
    host.start("Clerk", "/a")
    host.start("Clerk", "/b")
    assert client.call("/a", ["ask", "/b", ["tell", "/a", ["note", "from b"]]]) is None
    assert client.call("/a", ["notes"]) == ["from b"]


def test_whereis_tells_the_incarnation(host: FakeHost, client: Client, kind: str) -> None:
    host.start("Clerk")
    host.start(kind, "/front")
    assert client.call("/front", ["whereis", "/it"]) == "7.1"
    assert client.call("/front", ["whereis", "/front"]) == "7.2"
    assert client.call("/front", ["whereis", "/nobody"]) is None


def test_gather_calls_several_at_once_and_keeps_their_order(host: FakeHost, client: Client, tmp_path: Path) -> None:
    host.start("Clerk", "/slow")
    host.start("Clerk", "/fast")
    host.start("Clerk", "/front")
    wishes = [
        ["/slow", ["wait_file", str(tmp_path / "go")]],
        ["/fast", ["echo", 1]],
        ["/nobody", None],
        ["/fast", ["refuse"]],
        ["/slow", ["echo", 2]],
    ]
    (tmp_path / "go").touch()
    replies = client.call("/front", ["gather", wishes])
    assert replies[0] == "waited" and replies[1] == 1 and replies[4] == 2
    assert replies[2].startswith("UnknownName") and replies[3].startswith("Refuse")


@pytest.mark.slow
@pytest.mark.parametrize("callee", ["Echo", "AsyncEcho"])
@pytest.mark.parametrize("credit", [1, 64])
def test_ten_thousand_pipelined_calls_are_answered_in_order(
    host: FakeHost, client: Client, kind: str, callee: str, credit: int
) -> None:
    host.start(callee, credit=credit)
    host.start(kind, "/front")
    assert client.call("/front", ["burst", "/it", 10_000], timeout=60) is True


def test_asyncio_gather_works(host: FakeHost, client: Client) -> None:
    host.start("Echo")
    host.start("AsyncClerk", "/front")
    assert client.call("/front", ["together", "/it", 500]) is True


def test_a_cancelled_call_that_has_not_begun_never_begins(host: FakeHost, client: Client, tmp_path: Path) -> None:
    host.start("Clerk")
    host.start("AsyncClerk", "/busy")
    host.start("Clerk", "/front")
    client.send("/it", ["wait_file", str(tmp_path / "go")], durable=False)
    assert client.call("/front", ["ask_safely", "/it", ["note", "too late"], 0.2])["error"] == "TimedOut"
    (tmp_path / "go").touch()
    assert client.call("/it", ["notes"]) == []
