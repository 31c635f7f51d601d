"""What the host tells the journal of what failed: at once, again when there is more, never of what was wanted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from agenthost.core.reason import Reason
from agenthost.host import recording
from agenthost.host.autopsy import Autopsy
from agenthost.host.awaiting import Awaiting
from agenthost.host.private_values import NOTHING, Private
from agenthost.host.recording import Recording
from agenthost.host.turns import TurnInHand
from agenthost.journal.words import Remedied
from agenthost.observe.names import log_name
from agenthost.protocol.birth import CallFailed, Crashed

CRASHED = {"kind": "exit", "reason": "exit status 1"}


class Process:
    """As much of an incarnation as is looked at."""

    n, exited, born, began_at = 4, False, None, 0.0
    ended_as = Reason("exit", 1)
    private = NOTHING
    path = "/a"
    crash = Crashed(trace="Traceback:\n  x = y\nValueError: no", type="ValueError", place="crew:handle+3")

    def __init__(self) -> None:
        self.turn = TurnInHand()

    class cell:
        @staticmethod
        def own_members() -> list[int]:
            return []

        @staticmethod
        def cpu_s() -> float:
            return 0.25


class Heard:
    def __init__(self, folder: Path, *, is_there: bool = True) -> None:
        self.words: list[dict[str, Any]] = []
        self._said = asyncio.Event()
        self.process: Any = Process()
        present = self.process if is_there else None
        self.it = Recording(boot=7, logs=str(folder), present=lambda path: present, say=self.say)

    def say(self, path: str, boot: int, n: int, cause: str, details: bytes = b"", **more: Any) -> None:
        unpacked = msgspec.msgpack.decode(details) if details else {}
        self.words.append({"path": path, "n": n, "cause": cause, **more, "details": unpacked})
        self._said.set()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.words) < count:
                self._said.clear()
                await self._said.wait()


def heard(folder: Path, deed: Callable[[Heard], Awaitable[None]], *, is_there: bool = True) -> list[dict[str, Any]]:
    async def all_of_it() -> list[dict[str, Any]]:
        one = Heard(folder, is_there=is_there)
        try:
            await deed(one)
            return one.words
        finally:
            one.it.close()

    return asyncio.run(all_of_it())


def printed(folder: Path, path: str, *lines: str) -> None:
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6]
    text = "".join(f"{stamp}Z 7.4 out|{line}\n" for line in lines)
    (folder / log_name(path)).write_text(text)


def autopsy(kind: str = "no_progress", *, is_end: bool = True, stack: str = "here", **turn: int) -> Autopsy:
    usual: Any = {"path": "/a", "boot": 7, "n": 4, "at_ms": 1, "reason": "no progress"}
    return Autopsy(**usual, kind=kind, is_end=is_end, stack=stack, **turn)


def remedied(fingerprint: str = "error turn_failed", **more: Any) -> Remedied:
    told = {"path": "/a", "boot": 7, "n": 4, "message": 9, "attempt": 2, "rung": "retry", "why": "w", "reason": "r"}
    return Remedied(**{**told, "fingerprint": fingerprint, **more})  # type: ignore[arg-type]


def test_an_end_is_told_at_once_and_again_with_its_last_lines(tmp_path: Path) -> None:
    printed(tmp_path, "/a", "one", "two")

    async def deed(one: Heard) -> None:
        one.it.exited("/a", 4, CRASHED)
        assert len(one.words) == 1
        await one.wait(2)

    first, second = heard(tmp_path, deed)
    assert (first["cause"], first["ended"], first["reason"]) == ("crash", "exit status 1", "ValueError: no")
    assert first["fingerprint"] == "crash ValueError at crew:handle+3"
    assert first["details"]["trace"] == Process.crash.trace
    assert first["details"]["usage"]["cpu_s"] == 0.25
    assert "lines" not in first["details"] and second["details"]["lines"] == ["one", "two"]


def test_what_was_wanted_and_tools_of_a_turn_are_not_told(tmp_path: Path) -> None:
    async def deed(one: Heard) -> None:
        for kind in ("shutdown", "killed", "ignore", "asleep", "normal"):
            one.it.exited("/a", 4, {"kind": kind, "reason": ""})
        one.it.exited("/a/t", 4, {**CRASHED, "of_turn": True})
        one.it.system_exited("/.system/router", {"kind": "shutdown", "incarnation": 3})

    assert heard(tmp_path, deed) == []


def test_of_an_attempt_only_one_that_its_process_survives_is_told_and_once(tmp_path: Path) -> None:
    printed(tmp_path, "/a", "thinking")

    async def deed(one: Heard) -> None:
        one.it.remedied(remedied("crash ValueError at crew:handle+3"))  # its end will be told
        one.it.remedied(remedied("refused"))
        one.it.remedied(remedied(boot=6))
        one.it.remedied(remedied(failed=False))  # decided anew: nobody has answered, say
        one.it.remedied(remedied(escalates=True))
        one.it.remedied(remedied())
        await one.wait(1)

    (told,) = heard(tmp_path, deed)
    assert (told["cause"], told["message"], told["attempt"], told["remedy"]) == ("error", 9, 2, "retry")
    assert told["details"] == {"lines": ["thinking"]}
    assert heard(tmp_path, deed=_nothing_after(remedied("signal SIGKILL")), is_there=False) == []


def _nothing_after(word: Remedied) -> Callable[[Heard], Awaitable[None]]:
    async def deed(one: Heard) -> None:
        one.it.remedied(word)

    return deed


def test_what_was_seen_before_the_end_goes_with_it_whichever_is_heard_first(tmp_path: Path) -> None:
    async def before(one: Heard) -> None:
        one.it.examined(autopsy())
        one.it.exited("/a", 4, {"kind": "no_progress", "reason": "killed: no progress"})

    async def after(one: Heard) -> None:
        one.it.exited("/a", 4, {"kind": "no_progress", "reason": "killed: no progress"})
        one.it.examined(autopsy())

    for deed in (before, after):
        told = heard(tmp_path, deed)[-1]
        assert told["details"]["autopsy"]["stack"] == "here"
        assert told["ended"] == "killed: no progress"


def interrupted(kind: str = "turn_timeout", **turn: Any) -> Autopsy:
    return autopsy(kind, is_end=False, **turn)


def stacks(told: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Of each record the message and the stack, as they were told first."""
    first = {one["number"]: one for one in reversed(told)}
    return [(one.get("message", 0), one["details"].get("autopsy", {}).get("stack", "")) for one in first.values()][::-1]


def test_each_of_two_interrupted_turns_has_a_record_with_what_was_seen_of_that_turn(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(recording, "LOOK_AGAIN_S", 0.02)

    async def two_calls(one: Heard) -> None:
        one.it.examined(interrupted(turn=1, stack="first"))
        one.it.examined(interrupted(turn=2, stack="second"))
        await one.wait(2)

    async def a_call_and_mail(one: Heard) -> None:
        one.it.examined(interrupted(turn=1, stack="call"))
        one.it.examined(interrupted(turn=2, stack="mail", message=9, attempt=2))
        one.it.examined(interrupted(turn=3, stack="another call"))
        one.it.remedied(remedied("turn_timeout"))
        await one.wait(3)

    async def a_call_and_mail_that_failed_otherwise(one: Heard) -> None:
        one.it.examined(interrupted(turn=1, stack="call"))
        one.it.remedied(remedied())
        await one.wait(1)

    async def a_call_and_the_end_of_a_later_turn(one: Heard) -> None:
        one.it.examined(interrupted(turn=1, stack="call"))
        one.it.exited("/a", 4, CRASHED)

    assert stacks(heard(tmp_path, two_calls)) == [(0, "first"), (0, "second")]
    assert sorted(stacks(heard(tmp_path, a_call_and_mail))) == [(0, "another call"), (0, "call"), (9, "mail")]
    (told,) = heard(tmp_path, a_call_and_mail_that_failed_otherwise)
    assert (told["cause"], told["details"]["autopsy"]["stack"]) == ("turn_timeout", "call")
    first, end = heard(tmp_path, a_call_and_the_end_of_a_later_turn)[:2]
    assert first["details"]["autopsy"]["stack"] == "call" and "autopsy" not in end["details"]


def test_what_was_seen_of_a_turn_goes_with_the_end_that_came_in_it(tmp_path: Path) -> None:
    async def deed(one: Heard) -> None:
        one.it.examined(interrupted(turn=3))
        one.process.turn.begin(3, 0.0)
        one.process.turn.cut()
        one.it.exited("/a", 4, CRASHED)

    (told,) = heard(tmp_path, deed)
    assert (told["ended"], told["details"]["autopsy"]["stack"]) == ("exit status 1", "here")


def test_while_an_interrupted_turn_has_not_come_back_nothing_is_told_of_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(recording, "LOOK_AGAIN_S", 0.01)

    async def deed(one: Heard) -> None:
        one.process.turn.begin(3, 0.0)
        one.it.examined(interrupted(turn=3))
        one.it.examined(interrupted(turn=2, stack="over"))
        await one.wait(1)
        one.process.turn.end()
        await one.wait(2)
        one.it.examined(interrupted("interrupted", turn=4))  # by an operator
        one.it.examined(interrupted(turn=5))  # after that it would be told
        await one.wait(3)

    assert [stack for _, stack in stacks(heard(tmp_path, deed))] == ["over", "here", "here"]


def test_a_rejected_answer_of_a_call_is_told_and_many_that_are_alike_are_told_once(tmp_path: Path) -> None:
    printed(tmp_path, "/a", "thinking")

    async def deed(one: Heard) -> None:
        for number in range(50):
            one.it.call_failed(one.process, CallFailed(kind="rejected", type="check", why=f"{number} lines too long"))
        one.it.call_failed(one.process, CallFailed(kind="loop", type="same_call", tool="/b", why="20 times"))
        await one.wait(4)

    told = heard(tmp_path, deed)
    assert [one["number"] for one in told] == [1, 2, 1, 2]
    assert (told[0]["cause"], told[0]["reason"]) == ("rejected", "0 lines too long")
    assert told[0]["fingerprint"] == "rejected check: # lines too long"
    assert told[1]["fingerprint"] == "loop same_call of /b"
    assert told[2]["details"]["lines"] == ["thinking"]


def test_of_more_than_can_be_looked_into_the_rest_is_told_without_lines(tmp_path: Path) -> None:
    async def deed(one: Heard) -> None:
        for n in range(recording.LOOKED_INTO + 3):
            one.it.exited(f"/a{n}", n, CRASHED)

    words = heard(tmp_path, deed)
    assert len(words) == recording.LOOKED_INTO + 3
    assert words[-1]["details"]["lines_missing"] == f"{recording.LOOKED_INTO} others were being looked into"


class Poor(Process):
    """Of a host that is out of descriptors."""

    private = Private(env=(("MODE", "Traceback"),), secrets=((b"KEY", b"hunter2-value"),))
    crash = Crashed(trace="Traceback:\nValueError: bad key hunter2-value", type="ValueError", place="crew:handle+3")

    class cell:
        @staticmethod
        def own_members() -> list[int]:
            raise OSError(24, "Too many open files")

        @staticmethod
        def cpu_s() -> float:
            raise OSError(24, "Too many open files")


def of_poor(folder: Path, deed: Callable[[Heard], Awaitable[None]]) -> list[dict[str, Any]]:
    async def all_of_it() -> list[dict[str, Any]]:
        one = Heard(folder)
        poor: Any = Poor()
        one.it = Recording(boot=7, logs=str(folder), present=lambda path: poor, say=one.say)
        try:
            await deed(one)
            return one.words
        finally:
            one.it.close()

    return asyncio.run(all_of_it())


def test_an_end_is_told_though_descriptors_are_out_and_no_text_shows_what_was_declared_secret(tmp_path: Path) -> None:
    printed(tmp_path, "/a", "got hunter2-value")

    async def deed(one: Heard) -> None:
        one.it.exited("/a", 4, {**CRASHED, "reason": "exit status 1: hunter2-value"})
        await one.wait(2)

    first, second = of_poor(tmp_path, deed)
    assert (first["reason"], first["ended"]) == ("ValueError: bad key ***", "exit status 1: ***")
    assert "usage" not in first["details"] and first["details"]["trace"].startswith("Traceback:")
    assert second["details"]["lines"] == ["got ***"]
    assert "hunter2" not in str(first) + str(second)


def test_all_words_of_one_record_have_its_number_and_its_time(tmp_path: Path) -> None:
    printed(tmp_path, "/a", "one")

    async def deed(one: Heard) -> None:
        one.it.exited("/a", 4, CRASHED)
        one.it.system_exited("/.system/router", {"kind": "exit", "reason": "exit status 1", "incarnation": 3})
        await one.wait(3)

    first, other, again = heard(tmp_path, deed)
    assert (first["number"], other["number"], again["number"]) == (1, 2, 1)
    assert first["at_ms"] == again["at_ms"] and abs(first["at_ms"] / 1000 - time.time()) < 60


def test_who_did_not_stop_in_time_is_told_with_what_was_seen_of_it(tmp_path: Path) -> None:
    async def deed(one: Heard) -> None:
        one.it.examined(autopsy("killed"))
        one.it.exited("/a", 4, {"kind": "killed", "late": True, "reason": "killed: did not stop within 5 s"})

    (told,) = heard(tmp_path, deed)
    assert (told["cause"], told["details"]["autopsy"]["stack"]) == ("killed", "here")


def test_what_waits_for_its_other_half_is_bounded_in_number_bytes_and_time() -> None:
    now = [0.0]
    held: Awaiting[int, str] = Awaiting(3, 100, 10.0, lambda: now[0])
    for key in range(5):
        held.put(key, "x", 10)
    assert [held.get(key) for key in range(5)] == [None, None, "x", "x", "x"]
    held.put(5, "large", 95)
    assert (len(held), held.size_bytes) == (1, 95)
    now[0] = 11.0
    held.put(6, "new", 1)
    assert (held.get(5), held.pop(6), held.size_bytes) == (None, "new", 0)
