"""A message that fails again and again in a busy mailbox: the others wait for one attempt of it at most."""

from __future__ import annotations

import random

import msgpack
import pytest

from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.rungs import Ladder
from agenthost.journal import ops, words
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say
from tests.journal.desk import Desk
from tests.journal.test_clerk import TERMS, Office, packed

GARBAGE = Failure("crash", "ValueError", "crew:handle+3")
TURN_MS, POISON_MS = 100, 700
CUSTOMERS = 120


class Shop:
    """One agent, and customers who come at times that are drawn; each is a sender of its own. Time passes in turns
    alone, or until somebody comes."""

    def __init__(self, seed: int, pause_s: float) -> None:
        chance = random.Random(seed)
        self.office = Office()
        ladder = Ladder((on.Retry(12, pause_s, pause_s), on.Dead_letter()), 20)
        self.party = self.office.own("/a", 1, Terms(ladder=ladder))
        now_ms = self.office.now_ms
        times = sorted(now_ms + chance.randrange(8_000) for _ in range(CUSTOMERS))
        self.coming = [(now_ms, "poison"), *((at, f"m{n}") for n, at in enumerate(times))]
        self.waits: list[tuple[int, int]] = []
        """When each of the others had come, and when its turn began."""
        self.attempts: list[int] = []
        """When those of the poison began."""

    def run(self) -> None:
        while self.coming or self.office.clerk.reader().open_count("/a"):
            self.let_in()
            self.office.pass_time(0)
            mail = self.office.ask(self.party, say.Take(1)).mail
            if mail is None:
                self.pass_time(10)
                continue
            body = msgpack.unpackb(mail.body)
            if body["who"] == "poison":
                self.attempts.append(self.office.now_ms)
                self.pass_time(POISON_MS)
                self.office.ask(self.party, say.Fail(9, mail.message, mail.attempt, "no JSON", failure=GARBAGE))
            else:
                self.waits.append((body["at"], self.office.now_ms))
                self.pass_time(TURN_MS)
                self.office.ask(self.party, say.Commit(8, mail.message, mail.attempt))

    def pass_time(self, ms: int) -> None:
        for _ in range(ms // 10):
            self.office.pass_time(10)
            self.let_in()

    def let_in(self) -> None:
        while self.coming and self.coming[0][0] <= self.office.now_ms:
            at, who = self.coming.pop(0)
            number = next(self.office._ids)
            body = packed({"who": who, "at": at})
            self.office.host(words.Send(number, f"client:{who}", "/a", body, "", TERMS))


@pytest.mark.parametrize("pause_s", [0.05, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_poison_message_delays_nobody_by_more_than_one_running_attempt(seed: int, pause_s: float) -> None:
    shop = Shop(seed, pause_s)
    shop.run()
    assert len(shop.waits) == CUSTOMERS and len(shop.attempts) == 13
    (letter,) = shop.office.clerk.reader().dead_letters()
    assert letter.sender == "client:poison"
    for came, begun in shop.waits:
        met = [at for at in shop.attempts if at < begun and at + POISON_MS > came]
        assert len(met) <= 1, f"who came at {came} has waited for the attempts at {met}"
    longest = max(begun - came for came, begun in shop.waits)
    assert longest > 3 * POISON_MS, "the mailbox was never busy"


def test_who_comes_again_stands_behind_those_that_wait_in_other_lanes(desk: Desk) -> None:
    desk.takes(b"1", sender="/p")
    desk.takes(b"2", sender="/p")
    desk.takes(b"3", sender="/s")
    desk.takes(b"4", sender="/t")
    held = desk.leased()
    assert held.body == b"1"
    desk.does(ops.BackOff(held.id, 1, 1500, "no JSON"))
    desk.now_ms = 1500
    desk.asks(ops.Ripen())
    desk.takes(b"5", sender="/u")
    assert [desk.handles() for _ in range(6)] == [b"3", b"4", b"1", b"2", b"5", None]


def test_what_was_cut_off_by_no_fault_of_its_own_keeps_its_place(desk: Desk) -> None:
    desk.takes(b"1", sender="/p")
    desk.takes(b"2", sender="/s")
    desk.does(ops.Release(desk.leased().id, 1, "the host ended"))
    assert [desk.handles(), desk.handles()] == [b"1", b"2"]


def test_an_answer_brings_a_message_behind_those_that_wait(desk: Desk) -> None:
    desk.takes(b"1", sender="/p")
    desk.takes(b"2", sender="/s")
    desk.does(ops.Park(desk.leased().id, 1, "go on?"))
    desk.does(ops.Resume(1, "yes"))
    assert [desk.handles(), desk.handles()] == [b"2", b"1"]
