"""What an agent may say in ``Request.op``: children of its own, monitors, groups. As ``operations``, defined once.

An agent is known by its routing id; what it asks is about itself and what it has started. The rights behind it
(``may`` in the config) are the host's business.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agenthost.protocol.operations import read_from


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all. The word is the class name in lower case; the doc says what the result is."""


class Begin(Wish, frozen=True, kw_only=True):
    """Start a child below the asker, named ``name``. ``spec`` has the keys that a child has in the config, but for
    ``name``; ``restart`` is temporary unless it says otherwise. ``code``: a class or function as dill wrote it, instead
    of ``agent`` in ``spec``. After ``for_s`` seconds it is killed. Answered when it is ready: a map with ``path``
    and ``incarnation``. With ``monitor`` Down tells of the end of that incarnation, after the answer; if it has ended
    by then, the map has ``reason`` and ``well`` and no Down follows."""

    name: str
    spec: dict[str, Any] = {}
    code: bytes = b""
    for_s: float | None = None
    monitor: bool = False


class Run(Wish, frozen=True, kw_only=True):
    """Start the program ``argv`` below the asker, as ``Begin`` with ``monitor``: a tool, which the asker could fork
    itself, so ``may.start`` and ``may.depth`` do not matter. It is temporary. Its standard streams are those of the
    packet Streams with the number ``streams`` on the asker's birth socket, its environment is ``env`` and nothing
    else, for ``cwd`` and ``env`` are not read as a config is. ``limits`` as in the config. ``of_turn``: it belongs to
    the turn in hand, and is killed when that is interrupted. Answered as Begin; the map has ``code`` and ``signal`` as
    Down has if it has ended by then."""

    name: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    streams: int
    limits: dict[str, Any] = {}
    of_turn: bool = True
    for_s: float | None = None


class Reap(Wish, frozen=True, kw_only=True):
    """KILL what lives in the asker's own cell beside the asker, but not its children. Answered when that is done: an
    array of maps with ``pid``, as the host sees it, and ``name`` of each."""


class End(Wish, frozen=True, kw_only=True):
    """End something below the asker: climb the ladder, or KILL at once. Answered when its cell is empty; a map with
    ``path`` and ``text``, how far the ladder was climbed; with ``was_there`` False if there was nothing any more."""

    path: str
    how: Literal["stop", "kill"] = "stop"


class Interrupt(Wish, frozen=True, kw_only=True):
    """End the turn in hand of an agent below the asker, not the agent. ``reason`` is recorded. Answered when that is
    over: a map with ``path`` and ``text``; refused with ``not_running`` if no turn is in hand."""

    path: str
    reason: str = ""


class Monitor(Wish, frozen=True, kw_only=True):
    """Hear of the end of the incarnation that is at ``path`` now, by Down, once. A map with ``incarnation``; if none
    runs that is "", and ``reason`` says why; then no Down follows."""

    path: str


class Forget(Wish, frozen=True, kw_only=True):
    """No Down for this incarnation any more. Nil."""

    path: str
    incarnation: str


class Members(Wish, frozen=True, kw_only=True):
    """Who of ``group`` is ready: an array of maps with ``path``, ``incarnation`` and ``busy`` (a turn of 50 ms or
    more is in hand), in start order."""

    group: str


WISHES: dict[str, type[Wish]] = {
    kind.__name__.lower(): kind for kind in (Begin, Run, End, Interrupt, Monitor, Forget, Members, Reap)
}


def read_wish(op: str, arguments: dict[str, Any]) -> Wish:
    """A Request's word and arguments. ``UsageError`` for a word or argument unknown."""
    return read_from(WISHES, op, arguments)
