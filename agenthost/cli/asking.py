"""Reaching the host, and naming things in it.

A path is itself; ``*`` and ``?`` stay within one name of a path, ``**`` stands for any number of names. The leading
``/`` may be left out.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.errors import AgenthostError, UnknownName, UsageError
from agenthost.observe.printable import printable

if TYPE_CHECKING:
    from agenthost.client.client import Client


@dataclass(slots=True)
class Where:
    """Which host: the global options."""

    socket: str | None = None
    host: str | None = None


WHERE = Where()


def client() -> Client:
    """``NoHost`` with a hint if there is none, or more than one."""
    from agenthost.transport.places import find_endpoint

    endpoint = find_endpoint(WHERE.socket, WHERE.host)
    from agenthost.client.client import Client  # ZeroMQ is loaded when there is somebody to talk to

    asked = Client(endpoint)
    asked.on_delay = _Told()
    return asked


class _Told:
    """Once, on stderr: what it is that takes so long."""

    def __init__(self) -> None:
        self._is_told = False

    def __call__(self, why: str) -> None:
        if not self._is_told:
            self._is_told = True
            print(f"agenthost: still waiting; {printable(why)}", file=sys.stderr, flush=True)


def normal(path: str) -> str:
    return "/" + path.strip("/")


def look(asked: Client, patterns: list[str] | None, *, members: bool = False) -> dict[str, Any]:
    """The host's ``status``, with the nodes that ``patterns`` name and all below them; everything without patterns.

    ``UnknownName`` with the nearest path if one of them names nothing.
    """
    wanted = [normal(pattern) for pattern in patterns or ()]
    plain = not any(_is_glob(pattern) for pattern in wanted)
    found: dict[str, Any] = asked.request("status", {"paths": wanted if plain else [], "members": members})
    rows = found["tree"]
    known = {row["path"] for row in rows}
    if plain and known.issuperset(wanted):
        return found
    if plain:
        known = {row["path"] for row in asked.request("status")["tree"]}
    tops = set(chosen(wanted, known))
    found["tree"] = [row for row in rows if row["path"] in tops or any(above in tops for above in _above(row["path"]))]
    return found


def paths_of(asked: Client, patterns: list[str]) -> list[str]:
    """What ``patterns`` name, in the order of the tree, without what stands below another of them."""
    rows = look(asked, patterns)["tree"]
    found = set(chosen([normal(pattern) for pattern in patterns], [row["path"] for row in rows]))
    return [row["path"] for row in rows if row["path"] in found and not found.intersection(_above(row["path"]))]


def new_members(asked: Client, patterns: list[str]) -> list[str]:
    """Paths among ``patterns`` that are not there, below a pool: it can have them."""
    rows = {row["path"]: row for row in asked.request("status")["tree"]}
    wanted = [normal(pattern) for pattern in patterns if not _is_glob(pattern)]
    return [path for path in wanted if path not in rows and rows.get(path.rpartition("/")[0], {}).get("pool")]


def known(asked: Client, path: str) -> str:
    """``path``, if it is there or was: a session, a record or a crash of it is known too. ``UnknownName`` with the
    nearest path."""
    where = normal(path)
    if where == "/" or where.startswith("/.system"):
        return where
    if _is_glob(where):
        raise UnknownName(f"there is no {where}", hint="name one path; no glob is taken here")
    facts = asked.request("explain", {"path": where})
    if not is_known(facts):
        raise unknown(facts)
    return where


def is_known(facts: dict[str, Any]) -> bool:
    """``facts`` are those of ``explain``. Where the journal does not say, it may be."""
    if any(facts[name] for name in ("is_there", "is_own", "can_be_woken", "records", "crashes")):
        return True
    mail = facts["mail"]
    return mail is None or bool(mail.get("session") or mail.get("removed") or mail.get("open") or mail.get("dead"))


def unknown(facts: dict[str, Any]) -> UnknownName:
    hint = f"did you mean {facts['near']}?" if facts["near"] else "see: agenthost status -o name"
    return UnknownName(f"there is no {facts['path']}, and nothing is known of one", hint=hint)


def chosen(patterns: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those of ``known`` that ``patterns`` name. ``UnknownName`` for a pattern that names none."""
    listed, found = list(known), dict[str, None]()
    there = set(listed)
    for pattern in patterns:
        names = _names(pattern)
        hits = [pattern] if pattern in there else []
        if not hits and _is_glob(pattern):
            hits = [path for path in listed if _matches(names, _names(path))]
        if not hits:
            raise UnknownName(f"there is no {pattern}", hint=_hint(pattern, listed))
        found.update(dict.fromkeys(hits))
    return list(found)


def complete_path(ctx: typer.Context, incomplete: str) -> list[str]:
    """For the shell: paths that begin so. Says nothing if there is no host."""
    where = ctx.find_root().params
    WHERE.socket, WHERE.host = where.get("socket"), where.get("host")
    try:
        with client() as asked:
            asked.patience_s, asked.on_delay = 1.0, lambda why: None
            tree: list[dict[str, Any]] = asked.request("status", timeout=1.0)["tree"]
    except AgenthostError:
        return []
    paths = [row["path"] for row in tree]
    if incomplete and not incomplete.startswith("/"):
        paths = [path[1:] for path in paths]  # the shell takes what begins as it was typed
    return [path for path in paths if path.startswith(incomplete)]


def seconds(text: str | float) -> float:
    """A length of time on the command line: ``10``, ``2.5``, and what the config takes: ``250ms``, ``1m30s``."""
    from agenthost.config.problem import Refused
    from agenthost.config.units import duration_s

    if isinstance(text, float) or re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        return duration_s(text)
    except Refused as refused:
        raise typer.BadParameter(f"{refused.what}; {refused.hint}") from None


def moment(text: str) -> float:
    """A time of the clock, in seconds since 1970: as in ISO 8601, or only the hours and minutes of the next day that
    has them. Without a zone it is local. ``UsageError``."""
    from datetime import datetime, timedelta

    now = datetime.now().astimezone()
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text):
            clock = datetime.strptime(text, "%H:%M:%S" if text.count(":") > 1 else "%H:%M").time()  # noqa: DTZ007
            found = datetime.combine(now, clock)
            if found.astimezone() <= now:
                found += timedelta(days=1)
        else:
            found = datetime.fromisoformat(text)
        at = found.astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f"cannot read {text!r} as a time", hint="write it like 18:30 or 2027-01-31T08:00") from None
    if at <= now:
        raise UsageError(f"cannot send at {at:%Y-%m-%d %H:%M:%S %Z}: that has passed")
    return at.timestamp()


Timeout = Annotated[
    float | None,
    typer.Option(metavar="TIME", parser=seconds, help="How long to wait, such as 10 or 1m30s; then exit status 124."),
]


def _is_glob(pattern: str) -> bool:
    return bool(set(pattern) & set("*?["))


def _names(path: str) -> list[str]:
    return path.strip("/").split("/") if path != "/" else []


def _above(path: str) -> list[str]:
    names = _names(path)
    return ["/" + "/".join(names[:count]) for count in range(len(names))]


def _matches(patterns: list[str], names: list[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_matches(patterns[1:], names[skipped:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], patterns[0]) and _matches(patterns[1:], names[1:])


def _hint(pattern: str, known: list[str]) -> str:
    near = difflib.get_close_matches(pattern, known, n=1, cutoff=0.5)
    if not near:  # the last name is what people remember
        last = {path.rsplit("/", 1)[1]: path for path in known}
        near = [last[name] for name in difflib.get_close_matches(pattern.rsplit("/", 1)[1], last, n=1, cutoff=0.6)]
    return f"did you mean {near[0]}?" if near else "see: agenthost status -o name"
