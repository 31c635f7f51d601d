"""Budgets in a running host: what is counted survives everybody, and who has used it up does no more of his own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import BudgetExhausted
from tests.host.running import Running, tree

SPENDERS = Path(__file__).resolve().parent / "spenders.py"
Start = Callable[..., Running]
EUR = {"currency": "EUR", "models": {"big": {"in": 1_000_000, "out": 0}}}
"""One a token."""


def spender(name: str, budget: dict[str, Any] | None, kind: str = "Spender", **keys: Any) -> dict[str, Any]:
    bound = {} if budget is None else {"budget": budget}
    return {"name": name, "agent": f"{SPENDERS}:{kind}", "args": {"model": "big"}, **bound, **keys}


def used(host: Running, path: str) -> dict[str, Any]:
    sheet: dict[str, Any] = host.ask("budgets", path=path)[-1]["used"]
    return sheet


def mailbox(host: Running, path: str) -> int:
    return int(host.row(path)["mailbox"])


def assert_mail_waits(host: Running, path: str, body: dict[str, Any]) -> None:
    """The one message there. Who is called after it was sent refuses: by then it would have been given the mail."""
    host.client.send(path, body)
    with pytest.raises(BudgetExhausted, match="cannot begin a turn"):
        host.call(path)
    assert mailbox(host, path) == 1


def test_who_has_used_it_up_does_nothing_more_until_somebody_grants_more(start: Start) -> None:
    ask = {"session": {"cost": 5}, "at_limit": "ask"}
    fall = {"session": {"cost": 5}, "at_limit": {"fall_back": {"model": "small"}}}
    host = start(
        tree(
            spender("a", {"session": {"cost": 5}}),
            spender("b", {"session": {"cost": 5}}, "AsyncSpender"),
            spender("asks", ask),
            spender("falls", fall),
            spender("free", None),
        ),
        prices=EUR,
    )
    client = host.client
    for path in ("/a", "/b"):  # a call: its caller hears of it, and so do those that come later
        assert host.call(path, {"tokens": {"big": 4}}) == {"model": "big"}
        with pytest.raises(BudgetExhausted, match=f"the budget of {path} is used up: cost 5 of 5 EUR"):
            host.call(path, {"tokens": {"big": 1}, "end": "sleep"})
        with pytest.raises(BudgetExhausted, match="cannot begin a turn"):
            host.call(path)
    assert_mail_waits(host, "/a", {"cost": [1]})
    host.ask("grant", path="/a", meter="cost", amount=2.0)
    host.wait(lambda: mailbox(host, "/a") == 0, "what waited was handled")
    assert host.call("/a") == {"model": "big"}
    assert [one["fields"]["by"] for one in host.events("budget.granted", "/a")] == [f"uid {os.getuid()}"]

    client.send("/asks", {"cost": [6], "end": "sleep"})
    (question,) = host.wait(lambda: host.ask("asked"), "a person is asked")
    assert "cost 6 of 5 EUR; go on with as much again?" in question["question"]
    host.ask("answer", message=question["message"], yes=False)
    assert_mail_waits(host, "/asks", {"cost": [1]})
    (question,) = host.wait(lambda: host.ask("asked"), "the next one asks")
    host.ask("answer", message=question["message"], yes=True)
    host.wait(lambda: mailbox(host, "/asks") == 0, "what waited was handled")

    assert host.call("/falls", {"cost": [5], "end": "again"}) == {"model": "small"}, "in the turn in hand, too"
    assert host.call("/falls") == {"model": "small"}
    host.ask("grant", path="/falls", meter="cost", amount=5.0)
    host.wait(lambda: host.call("/falls") == {"model": "big"}, "it has its own args again")

    host.call("/free", {"runs": 1})
    assert not any(used(host, "/free").values()), "an agent without a budget is left alone"
    host.call("/free", {"cost": [2.5]})
    host.wait(lambda: used(host, "/free")["cost"] == 2.5, "what it says is kept all the same")
    assert {one["path"] for one in host.events("agent.exited")} == {"/free/true-1"}


def test_an_agent_that_computes_for_ever_and_one_that_runs_too_much_are_interrupted(start: Start) -> None:
    turn = {"turn": {"cpu": "200ms", "tool_calls": 3}}
    team = {"name": "team", "budget": {"wall": "1500ms"}, "children": [spender("one", None), spender("two", None)]}
    host = start(tree(spender("a", turn), team))
    for body in ({"end": "compute"}, {"runs": 200}, {}):
        host.client.send("/a", body)
    host.client.send("/team/one", {"end": "sleep"})
    host.wait_event("mail.dead_letter", "/a", 2)
    host.wait(lambda: mailbox(host, "/a") == 0, "the last one was handled")
    letters = [one for one in host.ask("letters") if one["receiver"] == "/a"]
    assert [one["history"][-1]["reason"].partition(": ")[2].rsplit(" of ")[1] for one in letters] == ["200 ms", "3"]
    assert used(host, "/a")["tool_calls"] == used(host, "/a")["processes"] < 200
    assert used(host, "/a")["cpu_s"] >= 0.2
    host.wait_event("mail.dead_letter", "/team/one")
    assert_mail_waits(host, "/team/two", {})
    assert used(host, "/team")["wall_s"] >= 1.5
    assert not {"/a", "/team/one"} & {one["path"] for one in host.events("agent.exited")}


def test_meters_survive_the_agent_and_the_journal(start: Start, tmp_path: Path) -> None:
    quick: dict[str, Any] = {"mail": {"initial": "1ms"}, "backoff": {"initial": "1ms", "max": "5ms"}}
    host = start(tree(spender("a", {"session": {"cost": 1000, "restarts": 50}}, **quick), intensity=99), prices=EUR)
    terms = {"cost": [7], "end": "die"}
    host.client.send("/a", terms)
    host.wait_event("mail.dead_letter", "/a")
    host.wait(lambda: used(host, "/a")["restarts"] == 3, "there were three attempts, and all are counted")
    assert used(host, "/a")["cost"] == 21
    (journal,) = host.own_pids("journal")
    goes_on = tmp_path / "goes_on"
    host.client.send("/a", {"cost": [1], "end": "hold", "until": str(goes_on)})
    host.wait(lambda: used(host, "/a")["cost"] == 22, "it was counted")
    os.kill(journal, signal.SIGKILL)
    host.wait(lambda: host.own_pids("journal") not in ([], [journal]), "there is another journal")
    goes_on.touch()
    host.client.send("/a", {"cost": [1]})
    host.wait(lambda: mailbox(host, "/a") == 0, "it goes on")
    found = used(host, "/a")
    assert (found["cost"], found["tokens_out"]) == (23, 6), "nothing is counted twice"


@pytest.mark.slow
def test_meters_survive_the_host(start: Start) -> None:
    host = start(tree(spender("a", {"session": {"cost": 10}})), prices=EUR)
    host.call("/a", {"cost": [9], "runs": 5})
    host.wait(lambda: used(host, "/a")["processes"] == 5, "they were counted")
    (pid,) = host.own_pids("host")
    os.kill(pid, signal.SIGKILL)
    host.wait_ready()
    host.hang_up()
    host.wait_state("/a", "ready")
    assert (used(host, "/a")["cost"], used(host, "/a")["processes"]) == (9, 5)
    with pytest.raises(BudgetExhausted):
        host.call("/a", {"cost": [1], "end": "sleep"})
