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


class End(Wish, frozen=True, kw_only=True):
    """End something below the asker: climb the ladder, or KILL at once. Answered when its cell is empty; a map with
    ``path`` and ``text``, how far the ladder was climbed; with ``was_there`` False if there was nothing any more."""

    path: str
    how: Literal["stop", "kill"] = "stop"


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


WISHES: dict[str, type[Wish]] = {kind.__name__.lower(): kind for kind in (Begin, End, Monitor, Forget, Members)}


def read_wish(op: str, arguments: dict[str, Any]) -> Wish:
    """A Request's word and arguments. ``UsageError`` for a word or argument unknown."""
    return read_from(WISHES, op, arguments)
