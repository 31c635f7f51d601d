"""Files of ``KEY=VALUE`` lines, as shells and other tools write them. Nothing in them is run or replaced.

``export`` may stand before a name. In single quotes all is as it stands; in double quotes ``\\n``, ``\\t``, ``\\r`` are
line end, tab and carriage return, and a backslash takes the meaning from a quote, ``$``, backtick or backslash. Without
quotes a value ends at the line's end or at `` #``. The rule it keeps: no problem shows a value, for it may be a secret.
"""

from __future__ import annotations

import os
import re
import stat

from agenthost.config.process_kinds import Environment
from agenthost.errors import ConfigError

MAX_BYTES = 1024 * 1024

_LINE = re.compile(r"(?:export[ \t]+)?(?P<name>[^=\s\"'#]+)[ \t]*=[ \t]*(?P<value>.*)", re.DOTALL)
_SINGLE = re.compile(r"'([^']*)'[ \t]*(?:#.*)?")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?')
_ESCAPE = re.compile(r"\\(.)")
_MEANINGS = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "`": "`"}


def read_env_file(path: str, *, optional: bool = False) -> dict[str, str]:
    """Empty if it is ``optional`` and not there. ``ConfigError`` names file and line."""
    try:
        data = read_small_file(path, MAX_BYTES)
    except FileNotFoundError:
        if optional:
            return {}
        hint = f"make it, or write '{os.path.basename(path)}?' if it need not be there"
        raise ConfigError(f"cannot read {path}: it is not there", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"cannot read {path}:{line}: it is not UTF-8") from None
    return parse(text, path)


def parse(text: str, path: str) -> dict[str, str]:
    """The last line of a name counts."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        place = f"{path}:{number}"
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise ConfigError(f"cannot read {place}: there is no NAME= in it", hint="write it like PORT=8080")
        name = match["name"]
        if not re.fullmatch(Environment.PATTERN, name):
            ours = "it belongs to agenthost itself" if name.startswith("AGENTHOST_") else "that is no name"
            raise ConfigError(f"cannot set {name[:60]!r} in {place}: {ours} of a variable", hint="choose another name")
        if "\0" in match["value"]:
            raise ConfigError(f"cannot set {name} in {place}: a NUL character cannot be passed on", hint="remove it")
        found[name] = _value(match["value"], name, place)
    return found


def read_small_file(path: str, most_bytes: int) -> bytes:
    """All of a file. ``OSError``, also if it is none, or longer than ``most_bytes``."""
    # a FIFO would hold up whoever opens it until somebody writes
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(data) > most_bytes:
        raise OSError(0, f"it is longer than {most_bytes} bytes")
    return data


def _value(written: str, name: str, place: str) -> str:
    if written[:1] not in ("'", '"'):
        return re.split(r"(?:^|[ \t])#", written, maxsplit=1)[0].rstrip()
    single = written[0] == "'"
    match = (_SINGLE if single else _DOUBLE).fullmatch(written)
    if match is None:
        raise ConfigError(
            f"cannot set {name} in {place}: its quotes do not close, or something stands behind them",
            hint="a value takes one line; write \\n inside double quotes for a line end",
        )
    return match[1] if single else _ESCAPE.sub(lambda found: _MEANINGS.get(found[1], found[0]), match[1])
