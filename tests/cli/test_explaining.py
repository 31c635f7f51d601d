"""What the host knows of a path, in sentences: what it is, what happened, what comes, and what one can do about it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from agenthost.cli.explaining import whole

NOW = time.time()
ABOVE = {
    "path": "/team", "state": "ready", "is_agent": False, "is_pool": False, "strategy": "one_for_one",
    "otp_strict": False, "intensity": 5, "period_s": 30.0, "used": 0, "own": False, "group_waits_for": None,
    "in_hand": None, "is_next": False,
}  # fmt: skip
WORKER = {
    "kind": "worker", "state": "ready", "since": NOW - 12, "reason": "", "restart": "permanent", "restarts": 0,
    "attempt": 0, "held": False, "restarts_in_s": None, "wanted": [], "program": False, "incarnation": "7.4",
    "turn": None, "frozen_s": None, "frozen_above": None, "deadlines": {}, "interrupted": "", "asked": "",
    "hibernates_s": None, "gives_up_alone": False,
}  # fmt: skip
NO_POOL = {"is_pool": False, "asleep": None, "window": {"intensity": 5, "period_s": 30.0, "used": 2}}
MESSAGE = {
    "message": 9, "sender": "client:0", "status": "backing_off", "attempt": 2, "sent": NOW - 60, "due": NOW + 4.4,
    "failed": 2,
    "last": {
        "attempt": 2, "at": NOW - 1, "reason": "no JSON", "fingerprint": "error", "remedy": "compact",
        "why": "attempt 2 of 7",
    },
}  # fmt: skip


def told(mail: dict[str, Any] | None = None, above: dict[str, Any] | None = None, **node: Any) -> str:
    """Of an agent ``/team/a``; ``node`` is what is different from one that is well."""
    facts = {
        "path": "/team/a", "now": NOW, "is_there": True, "is_own": False, "near": "", "can_be_woken": False,
        "node": {**WORKER, **node}, "above": {**ABOVE, **(above or {})}, "attempts": 7, "records": [], "crashes": [],
        "mail": {"open": 0, "messages": [], "dead": 0, "session": True, "removed": 0, **(mail or {})},
        "journal": "", "halting": False, "budgets": [], "host": None,
    }  # fmt: skip
    return "\n".join(whole(facts))


def turn(busy_s: float, **more: Any) -> dict[str, Any]:
    usual = {"message": 0, "attempt": 0, "timeout_s": None, "progress_s": None, "still_s": 0.0}
    return {"busy_s": busy_s, **usual, **more}


def gone(**facts: Any) -> str:
    usual = {
        "path": "/x",
        "now": NOW,
        "is_there": False,
        "is_own": False,
        "near": "",
        "can_be_woken": False,
        "node": None,
        "above": None,
    }
    usual |= {"attempts": 0, "records": [], "crashes": [], "journal": "", "halting": False, "budgets": [], "host": None}
    mail = {"open": 0, "messages": [], "dead": 0, "session": False, "removed": 0}
    return "\n".join(whole({**usual, "mail": mail, **facts}))


def test_one_that_is_well_is_told_in_a_line_with_what_would_happen_if_it_ended() -> None:
    text = told(turn=turn(3.2))
    assert "/team/a is an agent; it is ready, for 12 s now, incarnation 7.4." in text
    assert "Its turn in hand has taken 3.2 s so far." in text
    assert (
        "Should it end, it is restarted at once (permanent); 0 of 5 restarts in 30 s are used (those of /team)." in text
    )


def test_a_turn_in_hand_is_told_with_its_message_and_when_it_is_interrupted() -> None:
    bounded = turn(12.0, message=17, attempt=2, timeout_s=60.0, progress_s=30.0, still_s=8.0)
    text = told(turn=bounded)
    assert "Its turn in hand, attempt 2 at message 17, has taken 12 s so far." in text
    assert "Its turn is interrupted in 48 s, when it will have taken 60 s." in text
    so_long = "it has not got on for 8.0 s, and 30 s are allowed"
    assert f"Its turn is interrupted in 22 s unless it gets on: {so_long}." in text
    assert "when it will have taken" not in told(turn=bounded, interrupted="by uid 0", deadlines={"interrupt": 1.0})
    assert "is interrupted" not in told(turn=turn(12.0))


def test_the_next_attempt_is_told_with_its_number_its_rung_and_when() -> None:
    text = told({"open": 1, "messages": [MESSAGE]})
    assert "Message 9 of client:0: attempt 3 of 7: compact, in 4.4 s." in text
    assert "Attempt 2 failed at " in text and ": no JSON. Chosen because: attempt 2 of 7." in text


def test_who_waits_for_a_person_says_for_what_and_how_to_answer() -> None:
    asks = {**MESSAGE, "status": "parked", "question": "go on?", "nth": 1, "due": 0.0}
    text = told({"open": 1, "messages": [asks]})
    assert "Message 9 of client:0 waits for a person: 'go on?'." in text
    assert "Say: agenthost approve 9, deny 9, or answer 9 TEXT." in text
    again = told({"open": 1, "messages": [{**asks, "nth": 2}]})
    assert "Say: agenthost approve 9.2, deny 9.2, or answer 9.2 TEXT." in again


def test_a_back_off_tells_when_and_how_much_patience_is_left() -> None:
    text = told(state="waiting", incarnation=None, restarts_in_s=2.04, reason="exit status 1", above={"used": 3})
    assert "it is down, and waits to be restarted, for 12 s now." in text
    assert "It last ended: exit status 1." in text
    assert "It restarts in 2.0 s; 3 of 5 restarts in 30 s are used (those of /team)." in text
    assert "Not at all: agenthost stop /team/a." in text
    text = told(state="waiting", restarts_in_s=2.0, above={"used": 5, "group_waits_for": "a"})
    assert "It restarts in 2.0 s, and its group with it;" in text
    assert "5 of 5 restarts in 30 s are used (those of /team): with one more /team gives up." in text
    assert "with one more it is given up" in told(above={"used": 5, "own": True})


@pytest.mark.parametrize(
    ("node", "above", "sentence"),
    [
        ({"state": "gave_up"}, {}, "It stays down until somebody starts it: agenthost start /team/a."),
        ({"state": "down", "held": True}, {}, "It was stopped by hand and stays down until somebody starts it"),
        ({"state": "down"}, {"state": "gave_up"}, "It is down with its supervisor /team, which is given up"),
        ({"state": "down"}, {"state": "starting", "is_next": True, "in_hand": "b"}, "in /team, after b."),
        ({"state": "done", "restart": "transient"}, {}, "It is transient and ended well, so it is not restarted."),
        ({"state": "asleep"}, {}, "It wakes when somebody wants something of it"),
        ({"state": "stuck"}, {}, "KILL is repeated; it is not started again before its cell is empty."),
        ({"restart": "temporary"}, {}, "It is temporary: when it ends, nothing of it is kept."),
        ({"restart": "transient", "attempt": 2}, {}, "it is restarted after a pause unless it ends well"),
        ({"frozen_s": 5.0}, {}, "It stands still, for 5.0 s now, until somebody thaws it"),
        ({"frozen_above": "/team"}, {}, "It stands still with /team, which has started it: agenthost thaw /team."),
        ({"interrupted": "it took too long", "deadlines": {"interrupt": 3.0}}, {}, "come back within 3.0 s, it is end"),
        ({"state": "starting", "deadlines": {"start": 20.0}}, {}, "It must be ready within 20 s, else it is killed."),
        ({"state": "asked", "asked": "lunch", "deadlines": {"kill": 4.0}}, {}, "(lunch); KILL comes in 4.0 s."),
        ({"deadlines": {"doze": 40.0}}, {}, "It falls asleep in 40 s if nothing comes."),
    ],
)
def test_each_state_says_what_comes_and_what_can_be_done(node: dict[str, Any], above: Any, sentence: str) -> None:
    assert sentence in told(above=above, **node)


def test_mail_is_counted_and_the_telling_ones_are_told() -> None:
    listed = [{**MESSAGE, "status": "leased"}, {**MESSAGE, "message": 10, "status": "waiting", "last": None}]
    text = told({"open": 41, "messages": listed, "dead": 1})
    assert "Message 9 of client:0 is in hand: attempt 3 of 7: compact." in text
    assert "40 more messages wait for it." in text
    assert "1 dead letter: agenthost dead-letters ls /team/a." in text
    assert "2 messages wait for it." in told({"open": 2, "messages": [], "dead": 0})


def test_what_happened_is_told_oldest_first_with_crashes_of_an_earlier_host() -> None:
    crash = {
        "path": "/x",
        "number": 4,
        "at": NOW - 900,
        "message": 7,
        "attempt": 2,
        "reason": "no JSON",
        "remedy": "retry",
        "ended": "",
    }
    records = [
        {"at": NOW - 9, "name": "command.stop", "path": "/x", "text": "stop, by uid 1000"},
        {"at": NOW - 8, "name": "supervisor.regrouping", "path": "/", "text": "restarts /x, /y together: /y failed"},
    ]
    lines = gone(records=records, crashes=[crash, {**crash, "number": 5, "at": NOW - 5}]).splitlines()
    start = lines.index("Lately:")
    assert lines[0] == "There is no /x any more."
    assert [line.split("  ", 2)[-1] for line in lines[start + 1 : start + 4]] == [
        "attempt 2 of message 7 failed: no JSON; retry",
        "stop, by uid 1000",
        "/: restarts /x, /y together: /y failed",
    ]
    assert lines[start + 4].endswith("the last: agenthost crashes show 5.")


def test_an_end_is_told_with_what_was_raised() -> None:
    exited = {"at": NOW - 9, "name": "agent.exited", "path": "/x", "text": "exit status 1"}
    records = [{**exited, "incarnation": "1.3"}]  # the clock was set between the two
    crash = {"number": 4, "at": NOW - 70, "message": 0, "attempt": 0, "reason": "ValueError: no", "remedy": ""}
    crash |= {"incarnation": "1.3", "path": "/x"}
    text = gone(records=records, crashes=[{**crash, "ended": "exit status 1"}])
    assert "  exit status 1: ValueError: no\n" in text


def test_what_is_not_there_is_explained_as_well() -> None:
    assert "There is no /x, and nothing is known of one.\nDid you mean /y?" in gone(near="/y")
    assert "a process of the host's own" in gone(path="/.system/journal", is_own=True)
    assert "as soon as somebody wants something of it" in gone(can_be_woken=True)
    removed = {"open": 0, "messages": [], "dead": 0, "session": False, "removed": NOW}
    assert "There is no /x: its session was removed at " in gone(mail=removed)


def test_where_the_journal_does_not_say_that_is_said() -> None:
    text = gone(mail=None, crashes=None, journal="it has not answered for 6 s")
    assert "What the journal knows of it is left out: it has not answered for 6 s." in text


def test_a_supervisor_names_the_children_that_are_not_well() -> None:
    node = {"kind": "supervisor", "state": "ready", "since": NOW - 3600 * 5, "reason": "", "strategy": "one_for_all"}
    node |= {"children": 4, "unwell": [["/team/b", "waiting"]], "restarts_in_s": None, "held": False, **NO_POOL}
    text = gone(path="/team", node={**WORKER, **node}, above={**ABOVE, "path": "/"})
    assert "/team is a supervisor (one_for_all) of 4 children; it is ready, for 5 h now." in text
    assert "/team/b is down, and waits to be restarted." in text
    assert "Of what is below it, 2 of 5 restarts in 30 s are used: with 4 more it gives up." in text


def test_a_pool_counts_its_members_and_says_how_to_get_one() -> None:
    node = {**WORKER, "kind": "supervisor", "strategy": "one_for_one", "children": 1, "unwell": [], **NO_POOL}
    text = gone(path="/pool", node={**node, "is_pool": True, "asleep": 3}, above=ABOVE)
    assert "/pool is a pool: 1 member there, 3 asleep; it is ready, for 12 s now." in text
    assert "as soon as somebody wants something of it: agenthost call /pool/NAME." in text
    assert "1 member there; it is" in gone(path="/pool", node={**node, "is_pool": True}, above=ABOVE)


def test_a_budget_that_is_used_up_says_what_that_means_and_how_to_grant_more() -> None:
    bound = {"scope": "agent", "meter": "cost", "used": 5.02, "of": 5.0, "granted": 0.0, "at_limit": "stop"}
    sheets = [{"path": "/team/a", "bounds": [{**bound, "state": "stopped"}]}]
    sheets += [{"path": "/team", "bounds": [{**bound, "meter": "tool_calls", "used": 90, "of": 100, "state": ""}]}]
    text = gone(path="/team/a", node=WORKER, above=ABOVE, budgets=sheets)
    assert "Its budget of cost is used up (5.02 of 5): no new turn begins, and mail waits" in text
    assert "More: agenthost budget grant /team/a --cost AMOUNT." in text
    assert "The budget of tool_calls of /team is nearly used up: 90 of 100." in text


def test_the_root_tells_of_the_host_and_of_a_life_of_it_that_was_cut_off() -> None:
    node = {**WORKER, "kind": "supervisor", "strategy": "one_for_one", "children": 1, "unwell": [], **NO_POOL}
    host = {"name": "crew", "boot": 9, "since": NOW - 60, "before": None}
    text = gone(path="/", node=node, host=host)
    assert "This is boot 9 of the host crew, for 60 s now." in text and "cut off" not in text
    before = {"boot": 8, "ended": "host killed by SIGKILL", "at": NOW - 61}
    text = gone(path="/", node=node, host={**host, "before": before})
    assert "Boot 8 was cut off at 20" in text and ": host killed by SIGKILL. All that it had started ended" in text
    assert "What was decided before: agenthost replay --boot 8." in text
    assert "Boot 8 was cut off: host" in gone(path="/", node=node, host={**host, "before": {**before, "at": None}})
