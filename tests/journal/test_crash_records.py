"""Records of what failed, in every cause of journal: attempts, ends of processes, and the two as one."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.failure import Failure
from agenthost.errors import JournalFull, UsageError
from agenthost.journal import crash_words, crashes, ops, outlook, words
from agenthost.journal.answers import Retained
from agenthost.journal.crash_words import CrashWords
from agenthost.journal.ops import Retention
from agenthost.journal.values import Crash
from tests.journal.desk import Desk
from tests.journal.test_clerk import Office
from tests.journal.test_settling import begun, fail, take, terms

DAY = 86_400_000


def failed(desk: Desk, body: bytes = b"", path: str = "/a") -> tuple[int, int]:
    """An attempt at a message that is noted as failed: (message, attempt)."""
    desk.takes(body, to=path)
    mail = desk.leased(path)
    desk.does(ops.DeadLetter(mail.id, mail.attempt, "why"))
    return mail.id, mail.attempt


def attempt(message: int, number: int, *, fatal: bool = False, path: str = "/a", details: bytes = b"") -> ops.Crash:
    return ops.Crash(
        path, (1, 1), "crash", "ValueError: no", "crash ValueError", message, number, "retry", "attempt 1 of 3",
        fatal=fatal, details=details,
    )  # fmt: skip


def end(path: str = "/a", n: int = 1, *, ended: str = "exit status 1", details: bytes = b"") -> ops.Crash:
    return ops.Crash(path, (1, n), "exit", ended=ended, details=details)


def test_an_attempt_that_failed_and_went_on_is_one_record_and_the_later_end_of_its_process_another(desk: Desk) -> None:
    message, number = failed(desk)
    desk.does(attempt(message, number))
    desk.now_ms += 5
    desk.does(end())
    newest, oldest = desk.read.crashes()
    assert oldest == Crash(
        1, "/a", (1, 1), 1000, "crash", "ValueError: no", "crash ValueError", message, number, "retry", "attempt 1 of 3"
    )
    assert newest == Crash(2, "/a", (1, 1), 1005, "exit", "", ended="exit status 1")


def test_an_attempt_and_the_end_that_it_led_to_are_one_whichever_is_heard_first(desk: Desk) -> None:
    message, number = failed(desk)
    desk.does(attempt(message, number, fatal=True))
    desk.does(end(details=b"lines"))
    assert desk.refuses(ops.Crash("/a", (1, 1), "crash", message=99, attempt=1)) == "unknown"
    second, number_ = failed(desk)
    desk.does(end(n=2, details=b"lines"))
    desk.does(ops.Crash("/a", (1, 2), "crash", "ValueError", "f", second, number_, "vary x=1", "why", fatal=True))
    later, first = desk.read.crashes()
    assert (first.message, first.ended, first.cause) == (message, "exit status 1", "crash")
    assert (later.message, later.ended, later.remedy, later.reason) == (
        second,
        "exit status 1",
        "vary x=1",
        "ValueError",
    )
    found = desk.read.crash(later.id)
    assert found is not None and found.details == b"lines"


def test_said_again_nothing_is_doubled_and_details_are_added(desk: Desk) -> None:
    message, number = failed(desk)
    for details in (b"", b"more", b""):
        desk.does(attempt(message, number, details=details))
        desk.does(end("/b", details=details))
    assert len(desk.read.crashes()) == 2
    assert {desk.read.crash(1).details, desk.read.crash(2).details} == {b"more"}  # type: ignore[union-attr]
    assert all(one.details == b"" for one in desk.read.crashes())


def test_an_attempt_that_did_not_fail_is_refused(desk: Desk) -> None:
    desk.takes(b"")
    mail = desk.leased()
    assert desk.refuses(attempt(mail.id, mail.attempt)) == "unknown"
    assert desk.read.crashes() == ()
    assert desk.refuses(end(details=bytes(300_000))) == "too_large"


def test_what_only_adds_makes_no_record(desk: Desk) -> None:
    message, number = failed(desk)
    assert desk.refuses(replace(attempt(message, number, details=b"d"), adds=True)) == "unknown"
    desk.does(attempt(message, number))
    desk.does(replace(attempt(message, number, details=b"d"), adds=True))
    (one,) = desk.read.crashes()
    assert desk.read.crash(one.id).details == b"d"  # type: ignore[union-attr]


def test_ends_of_incarnations_are_told_apart_by_path_and_number(desk: Desk) -> None:
    for path, n in (("/a", 1), ("/a", 2), ("/b", 1)):
        desk.does(end(path, n))
    assert [(one.path, one.incarnation) for one in desk.read.crashes()] == [
        ("/b", (1, 1)),
        ("/a", (1, 2)),
        ("/a", (1, 1)),
    ]


def test_they_are_found_by_path_by_time_and_page_by_page(desk: Desk) -> None:
    for n, path in enumerate(("/a", "/a/b", "/ab", "/a"), 1):
        desk.now_ms = n * 1000
        desk.does(end(path, n))
    read = desk.read
    assert [one.id for one in read.crashes("/a")] == [4, 2, 1]
    assert [one.id for one in read.crashes("/a", since_ms=2000)] == [4, 2]
    assert [one.id for one in read.crashes(limit=2)] == [4, 3]
    assert [one.id for one in read.crashes(before=3, limit=2)] == [2, 1]
    assert read.crash(9) is None


def test_old_ones_go_and_of_too_many_the_oldest(desk: Desk) -> None:
    for n in range(1, 6):
        desk.does(end("/a", n))
        desk.now_ms += 1000
    assert desk.store.retain(Retention(crashes_ms=DAY), 2000 + DAY) == Retained(crashes=2)
    assert [one.id for one in desk.read.crashes()] == [5, 4, 3]
    assert desk.store.retain(Retention(crashes=1), 6000, limit=1).crashes == 1
    assert desk.store.retain(Retention(crashes=1), 6000) == Retained(crashes=1)
    assert [one.id for one in desk.read.crashes()] == [5]
    desk.does(end("/a", 9))
    assert desk.read.crashes()[0].id == 6


def shown(office: Office) -> list[tuple[str, int, str, str]]:
    found = office.clerk.reader().crashes()
    return [(one.cause, one.attempt, one.remedy, one.why) for one in reversed(found)]


def test_an_attempt_that_fails_is_noted_with_the_decision_on_it_and_a_refusal_is_not() -> None:
    office, party = begun(on.Retry(1, 0.1), on.Compact(), on.Dead_letter())
    fail(office, party, take(office, party), Failure("error", "turn_failed", text="429"))
    office.pass_time(100)
    fail(office, party, take(office, party), Failure("error", "turn_failed", text="429"))
    fail(office, party, take(office, party), Failure("error"), skipped=True)  # no attempt: it could not be compacted
    office.pass_time(0)
    assert shown(office) == [
        ("error", 1, "retry", "attempt 1 of 20"),
        ("error", 2, "compact", "attempt 2 of 20; the same failure for the 2nd time"),
    ]
    office, party = begun(on.Dead_letter())
    fail(office, party, take(office, party), Failure("refused"), final=True)
    assert office.clerk.reader().crashes() == ()


def test_an_attempt_whose_process_ended_of_it_and_that_end_are_one_record() -> None:
    for end_first in (True, False):
        office, party = begun(on.Retry(3, 0.1), on.Dead_letter())
        mail = take(office, party)
        ended = words.Crashed(70, "/a", 1, 1, 1, 0, "signal", ended="killed by SIGKILL", details=b"d")
        left = words.Disown(71, "/a", 1, 1, "killed by SIGKILL", terms(on.Retry(3, 0.1)), Failure("signal", "SIGKILL"))
        for word in (ended, left) if end_first else (left, ended):
            office.host(word)
        (one,) = office.clerk.reader().crashes()
        assert (one.message, one.cause, one.reason, one.ended) == (
            mail.message,
            "signal",
            "killed by SIGKILL",
            "killed by SIGKILL",
        )


def test_what_the_host_adds_to_an_attempt_is_details_alone() -> None:
    office, party = begun(on.Ask("go on?", 60.0), on.Dead_letter())
    mail = take(office, party)
    said = fail(office, party, mail, Failure("error", "turn_failed", text="429"))
    assert said.failed
    office.told.clear()
    office.pass_time(60_000)  # nobody answers: decided anew
    again = next(one for one in office.told if isinstance(one, words.Remedied))
    assert not again.failed and again.rung == "dead_letter"
    late = {"reason": again.reason, "remedy": again.rung, "details": b"lines"}
    office.host(words.Crashed(70, "/a", 1, 1, 1, 0, "error", message=mail.message, attempt=1, **late))  # type: ignore[arg-type]
    (one,) = office.clerk.reader().crashes()
    assert (one.reason, one.remedy) == ("no JSON", "ask go on?")
    found = office.clerk.reader().crash(one.id)
    assert found is not None and found.details == b"lines"


def interrupted(number: int, *, details: bytes = b"") -> ops.Crash:
    """A turn of a call: neither an end, nor an attempt."""
    return ops.Crash("/a", (1, 1), "turn_timeout", "its turn took long", details=details, number=number)


def test_a_record_that_is_no_end_and_no_attempt_is_one_however_often_it_is_said(desk: Desk) -> None:
    for details in (b"", b"more", b""):
        desk.does(interrupted(1, details=details))
    desk.does(interrupted(2))
    second, first = desk.read.crashes()
    assert (first.number, second.number) == (1, 2)
    assert desk.read.crash(first.id).details == b"more"  # type: ignore[union-attr]


def test_what_is_no_end_leaves_the_end_of_that_incarnation_alone_and_the_other_way_round(desk: Desk) -> None:
    desk.does(replace(end(ended="killed by SIGSEGV"), number=1))
    desk.does(interrupted(2))
    desk.does(replace(end(ended="killed by SIGSEGV", details=b"lines"), number=1))
    late, crash = desk.read.crashes()
    assert (crash.ended, crash.reason, late.ended) == ("killed by SIGSEGV", "", "")
    assert desk.read.crash(crash.id).details == b"lines"  # type: ignore[union-attr]


def test_the_number_of_an_end_counts_in_its_boot_and_goes_with_an_attempt_that_it_joins(desk: Desk) -> None:
    message, number = failed(desk)
    desk.does(attempt(message, number, fatal=True))
    for _ in range(2):
        desk.does(replace(end(), number=1))
        desk.does(replace(end(), incarnation=(2, 1), number=1))
    later, joined = desk.read.crashes()
    assert (joined.message, joined.number, joined.ended) == (message, 1, "exit status 1")
    assert (later.incarnation, later.number) == ((2, 1), 1)


def test_it_failed_when_the_host_says_and_not_when_it_was_written(desk: Desk) -> None:
    desk.does(replace(end(), at_ms=77))
    assert desk.read.crashes()[0].at_ms == 77


def test_those_of_one_path_alone_are_found_whatever_fails_below_it(desk: Desk) -> None:
    desk.does(end("/a"))
    for n in range(1, 6):
        desk.does(end("/a/b", n))
    assert [one.path for one in desk.read.crashes("/a", limit=3, below=False)] == ["/a"]
    args = {"path": "/a", "before": 0, "since": 0.0, "limit": 3, "below": False}
    assert [one["path"] for one in crashes.look(desk.read, "crashes", args)] == ["/a"]


def test_of_too_many_bytes_the_oldest_go(desk: Desk) -> None:
    for n in range(1, 6):
        desk.does(end("/a", n, details=bytes(100)))
    policy = Retention(crashes_ms=None, crashes=None, crashes_bytes=250)
    assert desk.store.retain(policy, 5000, limit=1).crashes == 1
    assert desk.store.retain(policy, 5000) == Retained(crashes=2)
    assert [one.id for one in desk.read.crashes()] == [5, 4]


def test_what_comes_of_mail_is_told_without_its_bodies_and_dead_letters_of_others_do_not_count(desk: Desk) -> None:
    for path in ("/ab", "/a/b"):
        desk.does(ops.Own(path, (1, 1)))
    for path in ("/a", "/a", "/ab", "/a/b"):
        failed(desk, b"x" * 1000, path)
    desk.takes(b"y" * 1000, to="/a")
    (one,) = desk.read.glance("/a")
    assert (one.receiver, one.status, one.body, one.meta) == ("/a", "waiting", b"", b"")
    assert (desk.read.dead_count("/a"), desk.read.dead_count("/a", 1)) == (2, 1)
    told = outlook.look(desk.read, "outlook", {"path": "/a"})
    assert (told["open"], told["dead"], len(told["messages"])) == (1, 2, 1)


class Desks:
    """A disk that answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.did: list[int] = []
        self.it = CrashWords(self.submit, self.did.append)

    def submit(self, batch: Any, token: Any, now_ms: int, patience_ms: int) -> None:
        self.waiting.append((token, patience_ms))

    def says(self, number: int, size_bytes: int = 1) -> None:
        self.it.hear(words.Crashed(number, "/a", 1, number, number, 5, "exit", ended="x", details=bytes(size_bytes)), 0)


def test_a_word_is_kept_while_the_disk_is_full_and_no_longer_when_it_can_never_be_written() -> None:
    one = Desks()
    for number, error in ((1, JournalFull("full")), (2, UsageError("no")), (3, None)):
        one.says(number)
        token, patience_ms = one.waiting.pop()
        assert patience_ms > 365 * DAY
        token(None if error else [], error)
    assert one.did == [2, 3]


def test_of_more_than_may_wait_the_rest_stays_with_the_host(monkeypatch: Any) -> None:
    monkeypatch.setattr(crash_words, "WAITING_BYTES", 100)
    one = Desks()
    for number in (1, 2, 3):
        one.says(number, 60)
    assert len(one.waiting) == 1 and one.did == []
    one.waiting.pop()[0]([], None)
    one.says(4, 60)
    assert len(one.waiting) == 1 and one.did == [1]


def test_a_word_is_cut_to_what_a_record_takes() -> None:
    long = "\N{GRINNING FACE}" * 100_000
    word = words.Crashed(1, "/a", 1, 1, 1, 5, long, long, long, 0, 0, long, long, long)
    op = crashes.of_word(word)
    texts = (op.cause, op.reason, op.fingerprint, op.remedy, op.why, op.ended)
    assert sum(len(text.encode()) for text in texts) < 80_000
    assert (op.number, op.at_ms) == (1, 5)
