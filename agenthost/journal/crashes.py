"""Records of what failed, between those who know of it and those who look: a failed attempt as an operation that goes
with the decision on it, a process's end as the host tells it, and a record as plain data.

How they are kept is the store's; what stands in the details is the host's (``host.recording``). The rule it keeps: the
record of an attempt is true with the commit that notes its failure, or not at all.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.core.budget.amounts import FIELDS, Amounts
from agenthost.core.remedy.failure import Failure
from agenthost.errors import UnknownName
from agenthost.journal import ops, words
from agenthost.journal.remedies import Verdict
from agenthost.journal.store import Reader
from agenthost.journal.values import Crash, Mail

LOOKS = frozenset({"crashes", "crash"})
PAGE = 100
REASON_CHARS, NAME_CHARS = 4096, 256


def of_attempt(path: str, held: Mail, failure: Failure | None, verdict: Verdict, *, ended: bool) -> list[ops.Crash]:
    """None for what was no attempt, or was refused on purpose. ``ended``: its process has, of that."""
    if failure is None or failure.kind == "refused":
        return []
    return [
        ops.Crash(
            path,
            held.incarnation or (0, 0),
            failure.kind,
            failure.text[:REASON_CHARS],
            verdict.fingerprint[:NAME_CHARS],
            held.id,
            held.attempt,
            verdict.remedy.label[:REASON_CHARS],
            verdict.remedy.why[:REASON_CHARS],
            fatal=ended or verdict.escalates or failure.kind == "crash",
        )
    ]


def of_word(word: words.Crashed) -> ops.Crash:
    return ops.Crash(
        word.path,
        (word.boot, word.n),
        word.cause[:NAME_CHARS],
        word.reason[:REASON_CHARS],
        word.fingerprint[:NAME_CHARS],
        word.message,
        word.attempt,
        word.remedy[:REASON_CHARS],
        word.why[:REASON_CHARS],
        word.ended[:REASON_CHARS],
        details=word.details,
        adds=bool(word.message),  # its record was written with the decision on it
        number=word.number,
        at_ms=word.at_ms,
    )


def look(reader: Reader, what: str, args: dict[str, Any]) -> Any:
    """``UnknownName`` for a number that no record has."""
    if what == "crash":
        found = reader.crash(int(args["number"]))
        if found is None:
            why = f"cannot show crash {args['number']}: there is no such record"
            raise UnknownName(why, hint="see: agenthost crashes ls")
        spent = reader.spent(found.message) if found.message else Amounts()
        return {**shown(found), "spent": {name: used for name in FIELDS if (used := getattr(spent, name))}}
    since_ms, limit = round(float(args["since"]) * 1000), min(int(args["limit"]), PAGE)
    path, before, below = str(args["path"]), int(args["before"]), bool(args.get("below", True))
    return [listed(one) for one in reader.crashes(path, before, since_ms, limit, below=below)]


def listed(one: Crash) -> dict[str, Any]:
    """Without its details."""
    boot, n = one.incarnation
    return {
        "number": one.id,
        "path": one.path,
        "incarnation": f"{boot}.{n}",
        "at": one.at_ms / 1000,
        "kind": one.cause,
        "reason": one.reason or one.ended,
        "ended": one.ended,
        "fingerprint": one.fingerprint,
        "message": one.message,
        "attempt": one.attempt,
        "remedy": one.remedy,
        "why": one.why,
    }


def shown(one: Crash) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if one.details:
        try:
            details = msgspec.msgpack.decode(one.details, type=dict[str, Any])
        except msgspec.DecodeError:
            details = {"unreadable": f"{len(one.details)} bytes of details cannot be read"}
    return {**listed(one), "details": details}
