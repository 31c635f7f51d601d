"""A message whose turn fails, at the door of its agent: what is decided, what the next attempt is given, who hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import pytest

from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.rungs import Ladder
from agenthost.errors import JournalFull
from agenthost.journal import ops, words
from agenthost.journal.clerk import Party
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say
from tests.journal.test_clerk import Office, packed

GARBAGE = Failure("crash", "ValueError", "crew:handle+3")
FULL = (
    on.Retry(1, 0.1),
    on.Vary({"temperature": 0.9}, {}, ("seed",)),
    on.Compact({"keep_last": 2}),
    on.Ask("go on?", 60.0),
    on.Dead_letter(),
)


def terms(*rungs: on.Rung, attempts: int = 20) -> Terms:
    return Terms(ladder=Ladder(rungs, attempts))


def begun(*rungs: on.Rung, attempts: int = 20) -> tuple[Office, Party]:
    office = Office()
    party = office.own("/a", 1, terms(*rungs, attempts=attempts))
    office.send("/a", packed("x"))
    return office, party


def take(office: Office, party: Party) -> say.Mail:
    office.pass_time(0)
    mail: say.Mail = office.ask(party, say.Take(1)).mail
    return mail


def fail(office: Office, party: Party, mail: say.Mail, failure: Failure = GARBAGE, **more: Any) -> words.Remedied:
    office.told.clear()
    assert office.ask(party, say.Fail(9, mail.message, mail.attempt, "no JSON", failure=failure, **more)) == say.Done(9)
    return next(one for one in office.told if isinstance(one, words.Remedied))


def test_each_attempt_is_given_the_next_rung_with_its_parameters() -> None:
    office, party = begun(*FULL)
    office.clerk.settling.chance = lambda: 41
    mail = take(office, party)
    assert (mail.attempt, mail.remedy) == (1, None)
    said = fail(office, party, mail)
    assert (said.rung, said.pause_ms, said.fingerprint) == ("retry", 100, "crash ValueError at crew:handle+3")
    assert (said.boot, said.n, said.why, said.reason) == (1, 1, "attempt 1 of 20", "no JSON")
    assert office.ask(party, say.Take(1)).mail is None
    office.pass_time(100)
    found = []
    for _ in range(3):
        mail = take(office, party)
        assert mail.remedy is not None
        found.append((mail.attempt, mail.remedy.rung, mail.remedy.word, msgpack.unpackb(mail.remedy.parameters)))
        fail(office, party, mail)
    assert found == [
        (2, "retry", "retry", {}),
        (3, "vary seed=random temperature=0.9", "vary", {"temperature": 0.9, "seed": 41}),
        (4, "compact keep_last=2", "compact", {"keep_last": 2}),
    ]
    assert office.ask(party, say.Take(1)).mail is None
    (parked,) = office.clerk.reader().parked()
    assert parked.due_ms == office.now_ms + 60_000


def test_a_remedy_that_cannot_be_applied_is_followed_by_the_next_at_once() -> None:
    office, party = begun(on.Compact(), on.Vary({"t": 1}), on.Dead_letter())
    fail(office, party, take(office, party))
    mail = take(office, party)
    said = skip(office, party, mail, "cannot compact")
    assert (said.rung, said.fingerprint) == ("vary t=1", "crash ValueError at crew:handle+3")
    assert (said.reason, said.why) == ("no JSON", "passed over: cannot compact; attempt 1 of 20")
    assert take(office, party).remedy.rung == "vary t=1"  # type: ignore[union-attr]


def skip(office: Office, party: Party, mail: say.Mail, why: str) -> words.Remedied:
    office.told.clear()
    assert office.ask(party, say.Fail(9, mail.message, mail.attempt, why, skipped=True)) == say.Done(9)
    return next(one for one in office.told if isinstance(one, words.Remedied))


def test_what_was_passed_over_costs_no_attempt_and_hides_no_failure() -> None:
    office, party = begun(on.Compact(), on.Roll_back(2), on.Vary({"t": 1}), on.Vary({"t": 2}), attempts=3)
    fail(office, party, take(office, party))
    skip(office, party, take(office, party), "cannot compact")
    assert skip(office, party, take(office, party), "cannot go back").rung == "vary t=1"
    mail = take(office, party)
    assert office.ask(party, say.Recall(8, mail.message)).why == "no JSON"
    said = fail(office, party, mail)
    assert (said.rung, said.why) == ("vary t=2", "attempt 2 of 3; the same failure for the 2nd time")
    waits = ask_of(office, "outlook", path="/a").result["messages"][0]
    assert (waits["failed"], waits["attempt"]) == (2, 4)
    said = fail(office, party, take(office, party))
    assert (said.rung, said.why) == ("dead_letter", "attempt 3 of 3 was the last")


def test_a_dead_letter_whose_last_rungs_were_passed_over_says_what_has_failed() -> None:
    office, party = begun(on.Compact(), on.Roll_back(2), on.Dead_letter())
    fail(office, party, take(office, party))
    skip(office, party, take(office, party), "cannot compact")
    said = skip(office, party, take(office, party), "cannot go back")
    assert (said.rung, said.reason) == ("dead_letter", "no JSON")
    assert said.why == "passed over: cannot go back; attempt 1 of 20"
    (set_aside,) = [one for one in office.told if isinstance(one, words.SetAside)]
    assert set_aside.why == "no JSON"


def test_what_the_agent_refuses_is_a_dead_letter_whatever_its_ladder() -> None:
    office, party = begun(*FULL)
    said = fail(office, party, take(office, party), Failure("refused"), final=True)
    assert said.rung == "dead_letter" and not said.escalates
    assert any(isinstance(one, words.SetAside) for one in office.told)


def ask_of(office: Office, what: str, **args: Any) -> words.Answer:
    number = next(office._ids)
    office.host(words.Ask(number, what, args))
    return next(one for one in office.told if isinstance(one, words.Answer) and one.id == number)


def asked(office: Office) -> list[dict[str, Any]]:
    return list(ask_of(office, "asked", prefix="", after=0, limit=10).result)


@pytest.mark.parametrize("text", ["", "use the other tool"])
def test_what_a_person_says_reaches_the_next_attempt_and_no_other_message_waits_for_it(text: str) -> None:
    office, party = begun(on.Ask("go on?"), on.Dead_letter())
    mail = take(office, party)
    fail(office, party, mail)
    (question,) = asked(office)
    assert (question["message"], question["receiver"], question["question"]) == (mail.message, "/a", "go on?")
    assert (question["reason"], question["until"]) == ("no JSON", 0)
    other = office.own("/b", 2)
    assert office.ask(other, say.Send(7, "/a", packed("y"), "k")) == say.Done(7)
    of_other = take(office, party)
    assert msgpack.unpackb(of_other.body) == "y"
    office.ask(party, say.Commit(8, of_other.message, of_other.attempt))
    answer = ask_of(office, "answer", message=mail.message, text=text, by="uid 1", yes=True)
    assert (answer.code, answer.result) == ("", "/a")
    again = take(office, party)
    assert again.remedy is not None
    assert (again.remedy.word, again.remedy.answer, again.remedy.by) == ("ask", text or "yes", "uid 1")
    assert asked(office) == []
    assert fail(office, party, again).rung == "dead_letter"  # it was asked once


def test_a_message_that_a_person_denies_is_set_aside() -> None:
    office, party = begun(on.Ask("go on?"))
    mail = take(office, party)
    fail(office, party, mail)
    office.told.clear()
    ask_of(office, "answer", message=mail.message, text="too dear", by="uid 1", yes=False)
    (dead,) = office.clerk.reader().dead_letters()
    assert office.clerk.reader().history(dead.id)[-1].reason == "no, says uid 1: too dear"
    assert any(isinstance(one, words.SetAside) for one in office.told)


@pytest.mark.parametrize("rung", [on.Ask("go on?"), on.Retry(1, 60.0)])
def test_who_is_free_hears_of_the_rest_of_a_line_whose_first_is_dropped(rung: on.Rung) -> None:
    office, party = begun(rung)
    mail = take(office, party)
    fail(office, party, mail)
    office.send("/a", packed("behind it"))
    assert office.ask(party, say.Take(2)).mail is None
    assert ask_of(office, "drop", message=mail.message, by="uid 1").code == ""
    assert say.Waiting() in party.out
    assert msgpack.unpackb(take(office, party).body) == "behind it"


def test_what_waits_for_nobody_cannot_be_answered() -> None:
    office, party = begun(*FULL)
    for number in (take(office, party).message, 999):
        answer = ask_of(office, "answer", message=number, text="", by="uid 1", yes=True)
        assert answer.code == "unknown_name" and "cannot answer" in answer.why


def test_a_question_that_nobody_answers_in_time_is_followed_by_the_next_rung() -> None:
    office, party = begun(on.Ask("go on?", 60.0), on.Vary({"t": 1}), on.Dead_letter())
    mail = take(office, party)
    fail(office, party, mail)
    office.pass_time(59_999)
    assert len(asked(office)) == 1
    office.told.clear()
    office.pass_time(1)
    (said,) = [one for one in office.told if isinstance(one, words.Remedied)]
    assert said.rung == "vary t=1" and said.why.startswith("nobody has answered in time; attempt 1 of 20")
    assert take(office, party).remedy.rung == "vary t=1"  # type: ignore[union-attr]


@pytest.mark.parametrize("store", [MemoryStore, None])
def test_after_a_question_that_nobody_answers_another_may_be_asked(store: Any, tmp_path: Path) -> None:
    rungs = (on.Ask("go on?", 60.0), on.Ask("really?", 60.0), on.Dead_letter())
    office = Office(MemoryStore() if store else SqliteStore(tmp_path / "journal"))
    party = office.own("/a", 1, terms(*rungs))
    office.send("/a", packed("x"))
    assert fail(office, party, take(office, party)).question == 1
    (first,) = asked(office)
    assert first["nth"] == 1
    office.told.clear()
    office.pass_time(60_000)
    (question,) = asked(office)
    assert (question["question"], question["reason"]) == ("really?", "no JSON; nobody has answered in time")
    assert (question["nth"], [one.question for one in office.told if isinstance(one, words.Remedied)]) == (2, [2])
    message = question["message"]
    late = ask_of(office, "answer", message=message, text="", by="uid 1", yes=True, nth=1)
    assert late.code == "unknown_name"
    assert late.why == f"cannot answer {message}: that question is over; now it asks 'really?'"
    assert late.hint == f"if that is meant, answer {message}.2"
    assert ask_of(office, "answer", message=message, text="", by="uid 1", yes=True, nth=3).code == "unknown_name"
    assert len(asked(office)) == 1, "what was meant for one question answers no other"
    office.told.clear()
    office.pass_time(60_000)
    assert asked(office) == []
    assert ask_of(office, "answer", message=message, text="", by="uid 1", yes=True, nth=2).code == "unknown_name"
    (set_aside,) = [one for one in office.told if isinstance(one, words.SetAside)]
    assert set_aside.why == "no JSON; nobody has answered in time"
    office.store.close()


def test_a_deadline_passes_though_the_journal_has_been_started_anew_and_knows_nobody() -> None:
    office, party = begun(on.Ask("go on?", 60.0), on.Dead_letter())
    fail(office, party, take(office, party))
    later = Office(office.store)
    later.now_ms = office.now_ms + 61_000
    later.clerk.opened(later.now_ms)
    later.pass_time(0)
    later.pass_time(2_000)  # the host has said meanwhile how /a is treated
    assert later.clerk.reader().parked() == ()
    (waits,) = later.clerk.reader().mailbox("/a")
    last = later.clerk.reader().history(waits.id)[-1]
    assert (last.what, last.reason, last.rung) == ("backed_off", "no JSON; nobody has answered in time", "retry")


def test_a_fall_back_gives_the_message_to_the_other_agent_with_its_history() -> None:
    office, party = begun(on.Fall_back("/b"), on.Dead_letter())
    mail = take(office, party)
    fail(office, party, mail)
    other = office.own("/b", 2, terms(on.Fall_back("/a"), on.Dead_letter(), attempts=3))
    moved = take(office, other)
    assert (moved.message, moved.attempt, moved.body) == (mail.message, 2, mail.body)
    assert moved.remedy is not None and moved.remedy.rung == "fall_back /b"
    assert fail(office, other, moved).rung == "fall_back /a"
    assert fail(office, party, take(office, party)).rung == "dead_letter"


@pytest.mark.parametrize("rung", [on.Escalate(), on.Dead_letter(escalates=True)])
def test_an_escalation_tells_the_host_whom_to_end(rung: on.Rung) -> None:
    office, party = begun(rung)
    said = fail(office, party, take(office, party))
    assert said.escalates and (said.path, said.boot, said.n) == ("/a", 1, 1)
    is_dead = isinstance(rung, on.Dead_letter)
    assert len(office.clerk.reader().dead_letters()) == is_dead
    assert office.ask(party, say.Take(1)).mail is None  # it is not for the one that is to be ended
    office.pass_time(1000)
    assert office.clerk.reader().open_count("/a") == (not is_dead)


def test_a_process_that_died_of_a_signal_climbs_for_that_signal() -> None:
    office, party = begun(on.Retry(1, 0.1), on.Vary({"t": 1}), on.Dead_letter())
    fail(office, party, take(office, party))
    office.pass_time(100)
    take(office, party)
    office.told.clear()
    word = words.Disown(77, "/a", 1, 1, "killed by SIGSEGV", party.terms, Failure("signal", "SIGSEGV"))
    office.host(word)
    (said,) = [one for one in office.told if isinstance(one, words.Remedied)]
    assert (said.rung, said.fingerprint, said.reason) == ("retry", "signal SIGSEGV", "killed by SIGSEGV")


def committed(office: Office, party: Party, value: int) -> None:
    office.send("/a", packed(value))
    mail = take(office, party)
    office.ask(party, say.Commit(5, mail.message, mail.attempt, packed({"n": value})))


def test_the_states_of_so_many_turns_ago_are_kept_for_who_rolls_back() -> None:
    office = Office()
    party = office.own("/a", 1, terms(on.Roll_back(2), on.Dead_letter()))
    for value in range(10):
        committed(office, party, value)
    found = [msgpack.unpackb(office.ask(party, say.Load(6, back=back)).state) for back in (1, 2)]
    assert found == [{"n": 8}, {"n": 7}]
    assert isinstance(office.ask(party, say.Load(6, back=3)), say.Refused)
    assert len(office.clerk.reader().checkpoints("/a")) == 3


def test_nothing_is_kept_for_who_does_not_roll_back() -> None:
    office = Office()
    party = office.own("/a", 1, terms(on.Retry(), on.Dead_letter()))
    for value in range(3):
        committed(office, party, value)
    assert office.clerk.reader().checkpoints("/a") == ()


@pytest.mark.parametrize(("path", "why"), [("/nobody", "there is no such agent"), ("/a", "it is itself what has")])
def test_where_there_is_nobody_to_fall_back_to_the_next_rung_is_taken(path: str, why: str) -> None:
    office, party = begun(on.Fall_back(path), on.Vary({"t": 1}), on.Dead_letter())
    mail = take(office, party)
    said = fail(office, party, mail)
    assert (said.rung, said.fingerprint) == ("vary t=1", "crash ValueError at crew:handle+3")
    assert said.why.startswith(f"passed over: cannot fall back to {path}: {why}") and said.reason == "no JSON"
    again = take(office, party)
    assert again.message == mail.message and again.remedy is not None and again.remedy.rung == "vary t=1"
    assert fail(office, party, again).rung == "dead_letter"


def test_nothing_falls_back_to_who_was_removed() -> None:
    """The store says so, where the host has not."""
    office, party = begun(on.Fall_back("/b"), on.Dead_letter())
    office.clerk.submit((ops.RemoveSession("/b"),), lambda answers, error: None, office.now_ms)
    said = fail(office, party, take(office, party))
    assert said.rung == "dead_letter" and "/b: it was removed" in said.why and said.reason == "no JSON"
    (letter,) = office.clerk.reader().dead_letters()
    assert letter.receiver == "/a"


class Sick(MemoryStore):
    """Refuses while it ``is_full``."""

    is_full = False

    def commit(self, batch: Any, now_ms: int) -> Any:
        if self.is_full:
            raise JournalFull("cannot write: no room")
        return super().commit(batch, now_ms)


def test_a_message_that_nobody_wants_any_more_is_dropped_though_the_disk_was_full_for_long() -> None:
    store = Sick()
    office = Office(store)
    party = office.own("/a", 1, terms(on.Retry(5, 0.1)))
    office.send("/a", packed("x"))
    mail = take(office, party)
    office.host(words.Ask(next(office._ids), "drop", {"message": mail.message, "by": "by ana", "in_hand": True}))
    store.is_full = True
    office.clerk.hear(party, say.Fail(9, mail.message, mail.attempt, "no JSON", failure=GARBAGE), office.now_ms)
    for _ in range(3):  # longer than anybody's patience
        office.now_ms += 20_000
        for outcome in office.writer.try_commit(office.now_ms):
            outcome.token(outcome.answers, outcome.error)
    assert isinstance(party.out[-1], say.Refused)
    store.is_full = False
    office.now_ms += 2_000
    again = office.ask(party, say.Take(10)).mail
    assert again.message == mail.message
    assert office.ask(party, say.Fail(11, mail.message, again.attempt, "no JSON", failure=GARBAGE)) == say.Done(11)
    kept = office.clerk.reader().message(mail.message)
    assert kept is not None and kept.status == "dropped"


def test_who_dies_while_it_is_asked_whether_there_is_another_to_fall_back_to_loses_nothing() -> None:
    office, party = begun(on.Fall_back("/b"), on.Vary({"t": 1}), on.Dead_letter())
    mail = take(office, party)
    office.told.clear()
    office.clerk.hear(party, say.Fail(9, mail.message, mail.attempt, "no JSON", failure=GARBAGE), office.now_ms)
    assert [one.path for one in office.told if isinstance(one, words.Knows)] == ["/b"]
    office.orders.hear(words.Disown(77, "/a", 1, 1, "killed by SIGKILL", party.terms), office.now_ms)
    office.commit()  # the host says that there is one
    other = office.own("/b", 2, party.terms)
    moved = take(office, other)
    assert (moved.message, moved.attempt) == (mail.message, 2)
    history = office.clerk.reader().history(mail.message)
    assert [(line.what, line.reason) for line in history] == [("moved", "no JSON")]
    assert office.clerk.reader().open_count("/a") == 0
