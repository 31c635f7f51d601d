"""``agenthost replay``: the events that a journal has, decided again, with the rule behind each decision.

Reads the database itself, so it needs no running host. It says loudly where something does not come out as it was
recorded, and where events are missing; then its exit status is 1.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agenthost.cli.asking import complete_path, normal
from agenthost.cli.databases import database
from agenthost.cli.showing import Lines, tinted
from agenthost.errors import UnknownName, UsageError
from agenthost.observe.printable import printable, span

if TYPE_CHECKING:
    from agenthost.core import effects as do
    from agenthost.core import events as on
    from agenthost.core.replay import Moved, Replay
    from agenthost.journal.store import Reader
    from agenthost.journal.values import Gap, Noted, Snapshot

DIFFERS = 1
PAGE = 1000


def replay(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The database; without it that of the host, running or not.")
    ] = None,
    boot: Annotated[int | None, typer.Option(min=1, metavar="N", help="A life of the host; the last without.")] = None,
    path: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Show only what is about it or below it.", autocompletion=complete_path),
    ] = None,
    first: Annotated[int, typer.Option("--from", min=1, metavar="NUMBER", help="Show events from this one on.")] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, metavar="NUMBER", help="And up to this one.")] = None,
    rules: Annotated[bool, typer.Option("--rules", help="Only print the rules, and what they say.")] = False,
    output: Annotated[Lines, typer.Option("-o", "--output", help="Format; json is one object a line.")] = Lines.text,
) -> None:
    """Decide again what the host has decided, and by which rule.

    Exit status 1 if anything does not come out as it was recorded, or events are missing.
    """
    from agenthost.core.rules import RULES

    if rules:
        for name, text in RULES.items():
            print(f"{name:4} {text}")
        return
    if last is not None and last < first:
        raise UsageError(f"cannot show events {first} to {last}: the last comes before the first")
    from agenthost.journal.sqlite.reading import SqliteReader

    with SqliteReader(file or database()) as reader:
        shown = _Shown(normal(path) if path else "", first, last, is_json=output is Lines.json)
        number = _boot(reader, boot)
        is_whole = _replay(reader, number, shown)
    if not is_whole:
        raise typer.Exit(DIFFERS)


def _boot(reader: Reader, wanted: int | None) -> int:
    boots = reader.boots()
    if not boots:
        raise UnknownName("cannot replay: the journal has no events of the core")
    if wanted is not None and wanted not in boots:
        raise UnknownName(f"cannot replay boot {wanted}: there is none", hint=f"there are {_listed(boots)}")
    return boots[-1] if wanted is None else wanted


def _listed(boots: tuple[int, ...]) -> str:
    return ", ".join(map(str, boots[-20:])) if len(boots) <= 20 else f"{boots[0]} to {boots[-1]}"


def _replay(reader: Reader, boot: int, shown: _Shown) -> bool:
    """True if everything came out as recorded."""
    from agenthost.core.replay import Replay
    from agenthost.core.written import read_beginning, read_event
    from agenthost.journal.values import Gap, Snapshot

    again: Replay | None = None
    for one in _with_holes(_all(reader, boot)):
        if isinstance(one, Gap):
            shown.gap(one)
            if again is not None:
                again.gap()
        elif isinstance(one, Snapshot):
            if again is None:
                again = Replay(*read_beginning(one.state))
                shown.begins(one)
        elif again is None:
            raise UnknownName(f"cannot replay boot {boot}: what it began with is not kept any more")
        else:
            event = read_event(one.event)
            shown.move(one, event, again.take(event, one.now_s, one.chance, one.effects))
    assert again is not None  # a boot has something
    shown.end(again, is_last=boot == reader.boots()[-1])
    if shown.names_nothing and not again.has_gap:
        near = difflib.get_close_matches(shown.path, sorted(shown.paths | again.state.nodes.keys()), n=1)
        hint = f"did you mean {near[0]}?" if near else f"without --path: every event of boot {boot}"
        raise UnknownName(f"there is no {shown.path} in boot {boot}", hint=hint)
    return not again.differing and not again.has_gap


def _all(reader: Reader, boot: int) -> Iterator[Noted | Snapshot | Gap]:
    from agenthost.journal.values import Gap

    after = -1
    while page := reader.core(boot, after, PAGE):
        yield from page
        end = page[-1]
        after = end.last if isinstance(end, Gap) else end.number


def _with_holes(found: Iterator[Noted | Snapshot | Gap]) -> Iterator[Noted | Snapshot | Gap]:
    """A number that is left out is a gap, though the journal does not say so."""
    from agenthost.journal.values import Gap, Noted

    last = 0
    for one in found:
        if isinstance(one, Noted):
            if one.number > last + 1:
                yield Gap(one.boot, last + 1, one.number - 1, "the journal does not have them, and does not say why")
            last = one.number
        elif isinstance(one, Gap):
            last = one.last
        yield one


# ---- how it is shown


@dataclass(slots=True)
class _Shown:
    """Which of it, and in which form. Gaps and differences are shown whatever is asked for."""

    path: str
    first: int
    last: int | None
    is_json: bool
    began_s: float = 0.0
    began_at: float = 0.0
    events: int = 0
    shown: int = 0
    unproven: int = 0
    paths: set[str] = field(default_factory=set)
    """Of all that was decided, where only some is shown."""

    @property
    def names_nothing(self) -> bool:
        """No event was about the path."""
        return bool(self.path) and self.path != "/" and not any(map(self._is_below, self.paths))

    def begins(self, one: Snapshot) -> None:
        self.began_s, self.began_at = one.now_s, one.at_ms / 1000
        if self.is_json:
            self._json({"began": self.began_at, "boot": one.boot})
        else:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.began_at))
            print(f"boot {one.boot}, begun at {at}")

    def gap(self, gap: Gap) -> None:
        which = f"event {gap.first} is" if gap.first == gap.last else f"events {gap.first} to {gap.last} are"
        text = f"{which} missing: {gap.why}; nothing is certain from here on"
        if self.is_json:
            self._json({"gap": [gap.first, gap.last], "why": gap.why})
        else:
            self._loud(f"GAP: {text}")

    def move(self, one: Noted, event: on.Event, moved: Moved) -> None:
        self.events += 1
        self.unproven += moved.unproven
        in_range, is_about = self.first <= one.number <= (self.last or one.number), self._is_about(event, moved)
        if not (in_range and is_about) and (not moved.differs or moved.uncertain):
            return
        self.shown += 1
        if self.is_json:
            self._json(self._as_data(one, event, moved))
            return
        at = time.strftime("%H:%M:%S", time.localtime(self.began_at + one.now_s - self.began_s))
        print(f"\n#{one.number}  {at}  +{span(one.now_s - self.began_s)}  {printable(event_words(event))}")
        for each in moved.decided:
            self._decided(each.rule, each.effects, one.now_s)
        if not moved.decided and not moved.differs:
            print("     nothing is to be done")
        for text in moved.differs:
            if moved.uncertain:
                print(f"     not as recorded, for a gap was before it: {text}")
            else:
                self._loud(f"     DIFFERS: {text}")

    def end(self, again: Replay, *, is_last: bool) -> None:
        if self.is_json:
            whole = {"events": self.events, "differing": again.differing, "unsure": again.unsure}
            self._json({**whole, "gap": again.has_gap, "has_ended": again.has_ended})
            return
        print()
        told = f"{self.events} events, {self.shown} of them shown"
        if again.differing:
            self._loud(f"{told}: {again.differing} did not come out as they were recorded")
        elif again.has_gap:
            after = f", after which {again.unsure} came out otherwise than they were recorded" if again.unsure else ""
            self._loud(f"{told}: events are missing{after}; what was before the gap came out as it was recorded")
        else:
            proof = f", {self.unproven} of them without a record to compare with" if self.unproven else ""
            print(f"{told}: all came out as they were recorded{proof}")
        if not again.has_ended and not again.has_gap:
            what = (
                "it goes on, or was cut off" if is_last else "it was cut off, and what was decided last may be missing"
            )
            print(f"this life of the host has no end here: {what}")

    def _is_about(self, event: on.Event, moved: Moved) -> bool:
        if not self.path or self.path == "/":
            return True
        paths = {getattr(event, "path", ""), str(getattr(event, "timer", "")).split("|")[-1]}
        paths |= {str(getattr(effect, "path", "")) for each in moved.decided for effect in each.effects}
        self.paths |= paths
        return any(map(self._is_below, paths))

    def _is_below(self, path: str) -> bool:
        return path == self.path or path.startswith(f"{self.path}/")

    def _decided(self, rule: str, effects: tuple[do.Effect, ...], now_s: float) -> None:
        from agenthost.core.rules import RULES

        print(f"     {tinted(rule, '36')}: {RULES.get(rule, '')}")
        if not effects:
            print("       nothing is to be done")
        for effect in effects:
            print(f"       {printable(effect_words(effect, now_s))}")

    def _as_data(self, one: Noted, event: on.Event, moved: Moved) -> dict[str, Any]:
        import msgspec

        return {
            "number": one.number,
            "at": round(self.began_at + one.now_s - self.began_s, 3),
            "event": msgspec.to_builtins(event, enc_hook=repr),
            "decided": [
                {"rule": each.rule, "effects": msgspec.to_builtins(each.effects, enc_hook=repr)}
                for each in moved.decided
            ],
            "differs": list(moved.differs),
            "uncertain": moved.uncertain,
        }

    def _json(self, value: dict[str, Any]) -> None:
        print(json.dumps(value, default=repr))

    def _loud(self, text: str) -> None:
        print(tinted(printable(text), "1;31"))


def event_words(event: on.Event) -> str:
    """One line: "Exited /a n=3: killed by SIGSEGV"."""
    from agenthost.core import events as on

    return f"Due {_timer(event.timer)}" if isinstance(event, on.Due) else _words(event, ("spec",))


def effect_words(effect: do.Effect, now_s: float) -> str:
    from agenthost.core import effects as do
    from agenthost.observe.record import Record

    if isinstance(effect, do.Record):
        told = Record(0, 0.0, effect.name, effect.path, effect.fields)
        return f"Record {effect.name} {effect.path}: {told.sentence()}"
    if isinstance(effect, do.SetTimer):
        return f"SetTimer {_timer(effect.timer)} in {span(effect.at - now_s)}"
    if isinstance(effect, do.CancelTimer):
        return f"CancelTimer {_timer(effect.timer)}"
    return _words(effect, ())


def _timer(name: str) -> str:
    kind, n, path = name.split("|", 2)
    return f"{kind} {path} n={n}" if n else f"{kind} {path}"


def _words(value: Any, left_out: tuple[str, ...]) -> str:
    from agenthost.core.reason import Reason

    path, parts, reason = "", [], ""
    for name in value.__struct_fields__:
        found = getattr(value, name)
        if name == "path":
            path = f" {found}"
        elif isinstance(found, Reason):
            reason = f": {found.words()}"
        elif name in left_out:
            parts.append(f"{name}=...") if found is not None else None
        elif found not in (None, "", (), []):
            parts.append(f"{name}={found:.3f}" if isinstance(found, float) else f"{name}={found}")
    return " ".join([type(value).__name__ + path, *parts]) + reason


COMMANDS = {"replay": replay}
