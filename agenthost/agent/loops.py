"""Stops a turn that goes round in circles: counts what it calls and what fails, and refuses to go on (``core.loops``).

At the call that is one too many ``TurnLooped`` is raised, and the turn has failed, whatever the author's code makes of
that. If it calls on, nothing is called: it gets ``TurnLooped`` again, then ``TurnInterrupted``, which ``except
Exception`` does not swallow; and if it calls on and on, its process ends.

Only calls that are made count: not those whose outcome an earlier attempt has left. What was counted stays with the
session (``kept``), told with the end of each turn of mail; so neither a crash nor a restart is a way out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from agenthost.core.loops import Loops, Repeats
from agenthost.errors import AgenthostError, TurnInterrupted, TurnLooped
from agenthost.protocol.codec import pack_body

if TYPE_CHECKING:
    from agenthost.agent.attempt import Attempt
    from agenthost.core.remedy.failure import Failure
    from agenthost.protocol.mail import Mail

try:
    from _blake2 import blake2b  # as in tool_calls
except ImportError:  # another Python's
    from hashlib import blake2b

POLITE, PATIENT = 3, 1000
"""So many calls are refused by ``TurnLooped``, so many in all."""
SHORT_BYTES = 16
"""An answer of fewer bytes is a nod: it may be the same for ever."""
LOOPED = 1
"""Exit status of an agent that does not stop calling."""
LONG_BYTES = 1024
"""Arguments that are longer when packed are long: maps are equal in the same order only, and at first they are compared
by length and both ends. To hash 100 KB costs a good part of the call."""
_END_BYTES = 128
_SHAPED = 2000
"""Characters of an error's text that tell it from others."""

_in_order = msgspec.msgpack.Encoder(order="deterministic").encode
"""Equal maps alike, whatever their order."""
_FLAT = frozenset({str, bytes, int, float, bool, type(None)})
"""Packed alike as they are."""


class Brake:
    """Of one agent. ``found`` is what ends the turn in hand; ``on_end`` is called with it before the process ends."""

    __slots__ = ("_loops", "_on_end", "_refused", "_repeats", "_told", "found")

    def __init__(self, loops: Loops, on_end: Callable[[TurnLooped], None] = lambda found: None) -> None:
        self._loops, self._repeats, self._on_end = loops, Repeats(loops), on_end
        self.found: TurnLooped | None = None
        self._refused = 0
        self._told = b""

    # ---- the turn

    def begin(self) -> None:
        self._repeats.begin()
        self.found, self._refused = None, 0

    def attend(self, one: Mail, attempt: Attempt) -> None:
        """The turn is of mail: what its earlier attempts have called counts, and what it will."""
        if (calls := attempt.calls) is not None:
            calls.brake = self
            if calls.made:
                self._made_before(one.message, calls.made)

    def check(self) -> None:
        """Raises what was found: nothing more is called."""
        if self.found is not None:
            self._refuse(self.found)

    def end_turn(self) -> None:
        """The author's code has returned: raises what was found all the same."""
        if self.found is not None:
            raise self.found

    def call(self, tool: str, arguments: Any, packed: bytes | None = None) -> None:
        """Before it is made. ``packed`` are the arguments, where they are packed anyway. Python's own hash is enough
        for nearly all: a digest is made of what is near its bound (``core.loops``)."""
        if self.found is not None:
            self._refuse(self.found)
        if not self._loops.same_call:
            return
        if packed is None:
            try:
                packed = pack_body(arguments)
            except TypeError:
                return  # another's to refuse
        if len(packed) > LONG_BYTES:
            size, head, tail = len(packed), packed[:_END_BYTES], packed[-_END_BYTES:]
            count = self._repeats.long_call(
                hash((tool, size, head, tail)),
                lambda: _key(tool, b"%d %b%b" % (size, head, tail)),
                lambda: _key(tool, packed),
            )
        else:
            said = packed if type(arguments) in _FLAT else _sorted(arguments, packed)
            count = self._repeats.quick_call(hash((tool, said)), lambda: _key(tool, said))
        if count:
            self._stop_call(tool, count)

    def calls(self, wishes: Sequence[tuple[str, Any]], bodies: Sequence[tuple[str, bytes]]) -> None:
        """As ``call``, of several at once: (path, arguments), and (path, packed)."""
        for (path, arguments), (_, packed) in zip(wishes, bodies, strict=True):
            self.call(path, arguments, packed)

    def recorded(self, tool: str, digest: str) -> None:
        """As ``call``, of one that ``tool_calls`` writes down."""
        if self._loops.same_call and (count := self._repeats.call(bytes.fromhex(digest[:16]))):
            self._stop_call(tool, count)

    def failed(self, tool: str, error: AgenthostError) -> None:
        """A call has failed. Raises from the one on that is too many."""
        if isinstance(error, TurnLooped) or not self._loops.same_error:
            return
        from agenthost.core.remedy.shape import shape

        said = f"{tool} {error.code}: {shape(error.message[:_SHAPED])}"
        if count := self._repeats.error(_digest(said.encode("utf-8", "surrogatepass"))):
            text = f"cannot go on: {tool} has failed {count} times in the same way{self._within()}"
            self._stop(TurnLooped(f"{text}: {error.message}", by="same_error", tool=tool, hint=_hint("same_error")))

    def answered(self, answer: Any) -> None:
        """In a session. Raises at the one that is too many in a row."""
        if not self._loops.same_answer:
            return
        packed = pack_body(answer)
        if len(packed) >= SHORT_BYTES and (count := self._repeats.answer(_digest(packed))):
            text = f"cannot give this answer: that would be {count} times the same in a row"
            self._stop(TurnLooped(text, by="same_answer", hint=_hint("same_answer")))

    def failed_turn(self, failure: Failure, why: str) -> tuple[Failure, str]:
        """What the turn has failed of, and why in words; a loop, if it is one error too many."""
        from agenthost.core.remedy.fingerprint import fingerprint

        if failure.kind in ("loop", "refused", "unreadable", "interrupted") or not self._loops.same_error:
            return failure, why
        mark = fingerprint(msgspec.structs.replace(failure, text=why))
        count = self._repeats.error(_digest(mark.encode("utf-8", "surrogatepass")))
        if not count:
            return failure, why
        looped = msgspec.structs.replace(failure, kind="loop", type="same_error")
        return looped, f"{count} turns have failed in the same way{self._within()}: {why}"

    # ---- what survives

    def kept(self, of: Mail) -> bytes | None:
        """As the turn of ``of`` ends: None if it is what was told last."""
        self._repeats.told = of.message, of.attempt
        kept = self._repeats.kept()
        if kept == self._told:
            return None
        self._told = kept
        return kept

    def resume(self, kept: bytes) -> None:
        self._repeats.resume(kept)
        self._told = kept

    def _made_before(self, message: int, made: list[tuple[int, str]]) -> None:
        """Calls of earlier attempts, as (attempt, digest): of those that were cut off nobody has told."""
        told, attempt = self._repeats.told
        keys = [bytes.fromhex(digest[:16]) for number, digest in made if told != message or number > attempt]
        if keys:
            self._repeats.made_before(keys)

    # ---- the end

    def _stop_call(self, tool: str, count: int) -> NoReturn:
        text = f"cannot call {tool}: that would be {count} times with the same arguments{self._within()}"
        self._stop(TurnLooped(text, by="same_call", tool=tool, hint=_hint("same_call")))

    def _stop(self, found: TurnLooped) -> NoReturn:
        self.found = found
        raise found

    def _refuse(self, found: TurnLooped) -> NoReturn:
        self._refused += 1
        if self._refused > PATIENT:
            sys.stderr.write(f"{found}; it was told so {PATIENT} times and goes on: this process ends\n")
            sys.stderr.flush()
            self._on_end(found)
            os._exit(LOOPED)
        if self._refused > POLITE:
            raise TurnInterrupted(str(found))
        raise found

    def _within(self) -> str:
        across = self._loops.across
        return f" in this turn and the {across} before it" if across else " in this turn"


def after_loop(error: BaseException, brake: Brake | None) -> BaseException:
    """What a turn ends with that was found in a loop. A crash stays one."""
    if brake is None or brake.found is None or not isinstance(error, AgenthostError | TurnInterrupted):
        return error
    return brake.found


def _hint(name: str) -> str:
    return f"if that is meant, raise 'loops: {{{name}: ...}}' in the config"


def _sorted(arguments: Any, packed: bytes) -> bytes:
    try:
        return _in_order(arguments)
    except (TypeError, ValueError, OverflowError):  # what msgspec cannot sort: keys of several kinds, say
        return packed


def _key(tool: str, packed: bytes) -> bytes:
    return _digest(f"{tool}\0".encode("utf-8", "surrogatepass") + packed)


def _digest(said: bytes) -> bytes:
    return blake2b(said, digest_size=8).digest()
