"""The tables of SPEC.md, made from the code. ``python -m agenthost.protocol.tables`` prints them; with the name of a
file it writes them there, between the lines ``<!-- tables -->`` and ``<!-- end of tables -->``. A test compares.
"""

from __future__ import annotations

import inspect
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agenthost.errors import BY_CODE
from agenthost.protocol import birth, control, data, limits, mail, sessions
from agenthost.protocol.codec import encode
from agenthost.protocol.operations import OPERATIONS
from agenthost.protocol.wishes import WISHES

BEGIN, END = "<!-- tables -->\n", "<!-- end of tables -->\n"

_DIRECTIONS: tuple[tuple[str, Any], ...] = (
    ("Control plane, peer to host", control.FromPeer),
    ("Control plane, host to peer", control.FromHost),
    ("Data plane, caller to callee", data.FromCaller),
    ("Data plane, callee to caller", data.FromCallee),
    ("Birth socket, process to host", birth.FromProcess),
    ("Birth socket, host to process", birth.ToProcess),
)

_STREAMS: tuple[tuple[str, Any], ...] = (
    ("Doors, agent to journal", mail.FromAgent),
    ("Doors, journal to agent", mail.FromJournal),
    ("Sessions, reader to journal", sessions.FromReader),
    ("Sessions, journal to reader", sessions.ToReader),
)
"""Arrays: their fields stand in the order of the table, after the word."""

_BODIES = ("call", "cast", "reply")

_WORDS = {
    int: "integer",
    str: "string",
    bytes: "binary",
    float: "float",
    bool: "boolean",
    Any: "any",
    type(None): "nil",
}


def tables() -> str:
    """All of them as Markdown."""
    parts = [_messages(title, kinds) for title, kinds in _DIRECTIONS]
    return "\n".join([*parts, *_requests(), *_streams(), _errors(), _limits(), _example()])


def with_tables(text: str) -> str:
    """``text`` of SPEC.md with its tables made anew. ``ValueError`` if its markers are not there, once each."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"cannot find the lines {BEGIN.strip()} and {END.strip()}, once each")
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def _messages(title: str, kinds: Any) -> str:
    rows = ["| `t` | key | type | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for kind in typing.get_args(kinds):
        word = str(kind.__struct_config__.tag)
        meaning = _doc(kind)
        if word in _BODIES and kinds in (data.FromCaller, data.FromCallee) and "ody frame" not in meaning:
            raise ValueError(f"cannot describe {word!r}: its doc does not tell of the body frame")
        rows += _rows(kind, word, meaning)
    return f"### {title}\n\n" + "\n".join(rows) + "\n"


def _streams() -> list[str]:
    parts, nested = list[str](), dict[type[msgspec.Struct], None]()
    for title, kinds in _STREAMS:
        rows = ["| word | field | type | default | meaning |", "| --- | --- | --- | --- | --- |"]
        for kind in typing.get_args(kinds):
            rows += _rows(kind, str(kind.__struct_config__.tag), _doc(kind))
            nested |= dict.fromkeys(_nested(kind))
        parts.append(f"### {title}\n\n" + "\n".join(rows) + "\n")
    rows = ["| value | field | type | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for kind in nested:
        is_array = kind.__struct_config__.array_like
        rows += _rows(kind, kind.__name__, f"{'An array' if is_array else 'A map'}. {_doc(kind)}")
    return [*parts, "### Values in messages of doors\n\n" + "\n".join(rows) + "\n"]


def _nested(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """The structs that its fields have, and those in them."""
    found = list[type[msgspec.Struct]]()
    for hint in typing.get_type_hints(kind).values():
        for one in (hint, *typing.get_args(hint)):
            if isinstance(one, type) and issubclass(one, msgspec.Struct):
                found += [one, *_nested(one)]
    return found


def _requests() -> list[str]:
    return [
        _words_of_request("Operations of a client's Request", OPERATIONS),
        _words_of_request("Wishes: an agent's Request", WISHES),
    ]


def _words_of_request(title: str, kinds: Mapping[str, type[msgspec.Struct]]) -> str:
    rows = ["| `op` | argument | type | default | what, and its result |", "| --- | --- | --- | --- | --- |"]
    for word, kind in kinds.items():
        rows += _rows(kind, word, _doc(kind))
    return f"### {title}\n\n" + "\n".join(rows) + "\n"


def _errors() -> str:
    rows = ["| `code` | exit status | meaning |", "| --- | --- | --- |"]
    rows += [f"| `{code}` | {kind.exit_code} | `errors.{kind.__name__}` |" for code, kind in BY_CODE.items()]
    return "### Codes of Refused and Error\n\n" + "\n".join(rows) + "\n"


def _limits() -> str:
    rows = ["| limit | value |", "| --- | --- |"]
    for name, value in vars(limits).items():
        if name.isupper():
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value:,.10g}"
            rows.append(f"| {name.lower()} | {shown} |")
    return "### Limits\n\n" + "\n".join(rows) + "\n"


def _example() -> str:
    frame = encode(control.Lookup(id=7, path="/team/coder"))
    lines = [frame[at : at + 16].hex(" ") for at in range(0, len(frame), 16)]
    title = '### One message, byte by byte\n\n`Lookup(id=7, path="/team/coder")`:\n\n'
    return f"{title}```text\n" + "\n".join(lines) + "\n```\n"


def _rows(kind: type[msgspec.Struct], word: str, meaning: str) -> list[str]:
    hints = typing.get_type_hints(kind)
    fields = [
        (field.encode_name, _type(hints[field.name]), _default(field)) for field in msgspec.structs.fields(kind)
    ] or [("", "", "")]
    rows = []
    for number, (key, of_type, default) in enumerate(fields):
        first = number == 0
        cells = [f"`{word}`" if first else "", f"`{key}`" if key else "", of_type, default, meaning if first else ""]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _type(hint: Any) -> str:
    if hint in _WORDS:
        return _WORDS[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_type, arguments))
    if origin is typing.Literal:
        return " or ".join(f'"{one}"' for one in arguments)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"`{hint.__name__}`"
    if origin is list or (origin is tuple and arguments[1:] == (...,)):
        return f"array of {_type(arguments[0])}"
    if origin is tuple:
        return f"array: {', '.join(map(_type, arguments))}"
    if origin is dict:
        return f"map of {_type(arguments[0])} to {_type(arguments[1])}"
    raise ValueError(f"cannot describe the type {hint!r}: give it a word in tables.py")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT:
        return "empty"  # made by a factory: a map or an array
    if field.default in (b"", ()):
        return "empty"
    return "nil" if field.default is None else f"`{json.dumps(field.default)}`"


def _doc(kind: type) -> str:
    """The doc as one line; of the base class it says nothing."""
    doc = kind.__doc__ or ""
    return " ".join(inspect.cleandoc(doc).replace("``", "`").split()).replace("|", "\\|")


def main() -> None:
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(tables())


if __name__ == "__main__":
    main()
