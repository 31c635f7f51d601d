"""What the core begins with, and its events, as bytes and read again: for whoever keeps them, and for ``replay``.

What an author gave (``args``, the body of a periodic message) may hold what msgpack has no word for; of that the text
is kept, as the core does not look into it. The rule it keeps: what is read decides as what was written did.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Sequence
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, ProgramBirth
from agenthost.core.spec import ChildSpec, SupervisorSpec, WorkerSpec
from agenthost.errors import StateError

_encode = msgspec.msgpack.Encoder(enc_hook=repr).encode
_EVENTS: dict[str, type[on.Event]] = {kind.__name__: kind for kind in get_args(on.Event)}


def write_beginning(spec: SupervisorSpec, seed: int) -> bytes:
    return _encode({"spec": spec, "seed": seed})


def read_beginning(data: bytes) -> tuple[SupervisorSpec, int]:
    """``StateError`` if it cannot be read."""
    try:
        found = msgspec.msgpack.decode(data)
        spec = _spec(found["spec"])
        assert isinstance(spec, SupervisorSpec), "it begins with a worker"
        return spec, int(found["seed"])
    except (msgspec.MsgspecError, KeyError, TypeError, AssertionError) as error:
        raise _unreadable("what the core began with", error) from None


def write_event(event: on.Event) -> bytes:
    return _encode(event)


def read_event(data: bytes) -> on.Event:
    """``StateError`` if it cannot be read."""
    try:
        found: dict[str, Any] = msgspec.msgpack.decode(data)
        kind: Any = _EVENTS[found.pop("event")]
        if kind in _WITH_SPEC:
            spec = found.pop("spec")
            event: on.Event = kind(**found, spec=None if spec is None else _spec(spec))
        else:
            event = msgspec.convert(found, kind)
        return event
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable("an event of the core", error) from None


def digest(effects: Sequence[do.Effect]) -> int:
    """A CRC-32 of what was decided: the same effects have the same."""
    return zlib.crc32(_encode(effects))


_WITH_SPEC = (on.Add, on.Restore, on.Reload)
"""msgspec reads no union of dataclasses: it could not tell one from the other."""


def _spec(found: dict[str, Any]) -> ChildSpec:
    if "strategy" in found:
        template = found["template"]
        children = tuple(_spec(child) for child in found["children"])
        return _built(SupervisorSpec, found, children=children, template=None if template is None else _spec(template))
    birth: Any = found["birth"]
    if isinstance(birth, dict):
        birth = msgspec.convert(birth, AgentBirth if "agent" in birth else ProgramBirth)
    return _built(WorkerSpec, found, birth=birth)


T = TypeVar("T")


def _built(kind: type[T], found: dict[str, Any], **own: Any) -> T:
    """Of what was written of a dataclass; ``own`` are fields that are read already."""
    hints = _hints(kind)  # type: ignore[arg-type]  # a class can be hashed
    rest = {name: msgspec.convert(found[name], hint) for name, hint in hints.items() if name not in own}
    return kind(**rest, **own)


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _unreadable(what: str, error: Exception) -> StateError:
    return StateError(
        f"cannot read {what} from the journal: {type(error).__name__}: {error}",
        hint="it was written by another version of agenthost; replay it with that one",
    )
