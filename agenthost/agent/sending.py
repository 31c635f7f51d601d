"""Code that travels: classes and functions as dill writes them, and who is to blame where that cannot be.

What can be imported in the child by its name goes by name; of anything else only what it refers to travels
(``recurse``). dill is imported with this module, which is imported when something is sent, or came as code.

Refused here though dill would write it: locks, open files and what belongs to this process alone. A copy of them is
another thing, and would be wrong in silence.
"""

from __future__ import annotations

import functools
import io
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import dill

from agenthost.agent.agent import Agent
from agenthost.agent.functions import agent_of, check_takes
from agenthost.errors import StartFailed, UsageError

_DEEPEST = 6
_SHOWN = 60
_THIS_PROCESS_ONLY: tuple[type, ...] = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.Barrier,
    threading.Thread,
    io.IOBase,
    types.FrameType,
    types.GeneratorType,
    types.CoroutineType,
)
_OURS = "agenthost.agent."


class _Refused(Exception):
    pass


class _Pickler(dill.Pickler):  # type: ignore[misc]  # dill ships no types
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if _is_refused(obj):
            raise _Refused(f"a {_kind(obj)} belongs to this process alone")
        super().save(obj, save_persistent_id)


def _is_refused(value: Any) -> bool:
    kind = type(value)
    if issubclass(kind, _THIS_PROCESS_ONLY):
        return True
    return kind.__module__.startswith(_OURS) and kind.__name__ in _CONTEXTUAL


_CONTEXTUAL = {
    name.removeprefix("-")
    for kind in "Context Child Scope Monitor Tool".split()
    for name in (kind, f"Async{kind}")
} | {"Group", "AsyncGroup", "Kin"}  # fmt: skip


def pack_code(what: Any, most_bytes: int) -> bytes:
    """A class or function as bytes; a ``UsageError`` names the variable that cannot travel, or is too large."""
    if not isinstance(what, type):
        check_takes(what)
    try:
        code = _pickled(what)
    except Exception as error:  # pickling raises whatever the objects' own methods raise
        raise _blame(what, error) from error
    if len(code) > most_bytes:
        raise _too_large(what, len(code), most_bytes)
    return code


def unpack_agent(code: bytes) -> type[Agent]:
    """The class; ``StartFailed`` if this process cannot make it of ``code``."""
    try:
        what = dill.loads(code)
        return what if isinstance(what, type) else agent_of(what)
    except Exception as error:  # what an import or an object's own method raises
        raise StartFailed(
            f"cannot load the code that was sent: {type(error).__name__}: {error}",
            permanent=True,
            hint="what it refers to must be importable in the child as well",
        ) from error


def _pickled(value: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file, protocol=dill.HIGHEST_PROTOCOL, recurse=True).dump(value)
    return file.getvalue()


def _can_travel(value: Any) -> bool:
    try:
        _pickled(value)
    except Exception:  # as in pack_code
        return False
    return True


# ---- who is to blame


def _blame(what: Any, error: Exception) -> UsageError:
    """The innermost named thing that cannot travel."""
    chain = list(_guilty(what))
    if not chain:
        return UsageError(f"cannot send {_place(what)}: {error}")
    words, inner = [], what
    for role, name, value in chain:
        words.append(f"{role} {name!r}")
        inner = value
    story = ", in it ".join(words)
    return UsageError(
        f"cannot send {_place(what)}: its {story} (a {_kind(inner)}) cannot be pickled", hint=_advice(inner)
    )


def _guilty(what: Any) -> Iterator[tuple[str, str, Any]]:
    """The way from ``what`` to what cannot travel, part by part."""
    for _ in range(_DEEPEST):
        if _is_refused(what):
            return
        for role, name, value in _parts(what):
            if not _can_travel(value):
                yield role, name, value
                what = value
                break
        else:
            return


def _parts(what: Any) -> Iterator[tuple[str, str, Any]]:
    if isinstance(what, types.MethodType):
        yield "object", "self", what.__self__
        yield "function", what.__func__.__name__, what.__func__
    elif isinstance(what, types.FunctionType):
        yield from _parts_of_function(what)
    elif isinstance(what, functools.partial):
        yield "function", getattr(what.func, "__name__", _kind(what.func)), what.func
        for number, value in enumerate(what.args):
            yield "argument", str(number), value
        for name, value in what.keywords.items():
            yield "argument", name, value
        yield from _attributes(what)
    elif isinstance(what, type):
        for name, value in vars(what).items():
            if name in ("__dict__", "__weakref__", "_abc_impl"):
                continue
            inner = getattr(value, "__func__", value)
            yield ("method" if isinstance(inner, types.FunctionType) else "attribute"), name, inner
    elif isinstance(what, dict):
        for key, value in what.items():
            yield "entry", str(key), value
    elif isinstance(what, list | tuple | set | frozenset):
        for number, value in enumerate(what):
            yield "item", str(number), value
    else:
        yield from _attributes(what)


def _attributes(what: Any) -> Iterator[tuple[str, str, Any]]:
    for name, value in getattr(what, "__dict__", {}).items():
        yield "attribute", name, value
    for kind in type(what).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            is_private = name.startswith("__") and not name.endswith("__")
            real = f"_{kind.__name__.lstrip('_')}{name}" if is_private else name
            if name not in ("__dict__", "__weakref__") and hasattr(what, real):
                yield "attribute", name, getattr(what, real)


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, str, Any]]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield "variable", name, cell.cell_contents
        except ValueError:
            continue  # not yet assigned
    positional = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    for name, value in zip(positional[len(positional) - len(defaults) :], defaults, strict=True):
        yield "default argument", name, value
    for name, value in (function.__kwdefaults__ or {}).items():
        yield "default argument", name, value
    for name in _global_names(code):
        if name in function.__globals__:
            yield "global variable", name, function.__globals__[name]
    for name, value in function.__dict__.items():
        yield "attribute", name, value


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _too_large(what: Any, size: int, most_bytes: int) -> UsageError:
    sizes = [(len(_pickled(value)), role, name, value) for role, name, value in _sized_parts(what)]
    words = ""
    if sizes:
        largest, role, name, value = max(sizes, key=lambda one: one[0])
        words = f"; the largest is its {role} {name!r} (a {_kind(value)}) with {largest} bytes"
    return UsageError(
        f"cannot send {_place(what)}: it is {size} bytes of code and data, at most {most_bytes} can be sent{words}",
        hint="send it in the first message, or write it to a file",
    )


def _sized_parts(what: Any) -> Iterator[tuple[str, str, Any]]:
    """Variables of a function, or of the methods of a class, and a class's attributes."""
    for role, name, value in _parts(what):
        if role == "method" or (isinstance(what, functools.partial) and role == "function"):
            yield from _parts(value)
        elif role != "function":
            yield role, name, value


def _advice(value: Any) -> str:
    if type(value).__module__.startswith(_OURS) and type(value).__name__ in _CONTEXTUAL:
        return "a handler gets a ctx of its own: def handler(message, ctx)"
    return "make it inside the function, or send what it is made of"


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _place(what: Any) -> str:
    if isinstance(what, functools.partial):
        return f"partial of {_place(what.func)}"
    function: Callable[..., Any] = getattr(what, "__func__", what)
    code = getattr(function, "__code__", None)
    if code is not None:
        name = "lambda" if code.co_name == "<lambda>" else getattr(function, "__qualname__", code.co_name)
        return f"{name} at {code.co_filename}:{code.co_firstlineno}"
    if isinstance(what, type):
        return f"class {what.__module__}.{what.__qualname__}"
    return repr(what)[:_SHOWN]
