"""What a person at the terminal of ``agenthost run`` reads: records as sentences, without those between the lines.

It knows how many agents live, so that the end can be told as what it is: who is asked, who is left, what helps.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from agenthost.observe.printable import printable
from agenthost.observe.record import Record

_HIDDEN = frozenset({"agent.starting", "agent.ended", "supervisor.starting"})
"""Steps that nobody misses between the lines around them."""
_HIDDEN_AT_THE_END = frozenset({"agent.asked", "supervisor.stopping", "supervisor.ended", "agent.restarting"})
_CRASHES = ("exit status", "killed by SIG", "killed by signal", "failed to start", "killed: out of memory")
_PATH_WIDTH = 24
TELLING_LINES = 5
_CODES = {"error": "1;31", "warning": "33", "good": "32", "info": ""}


def telling(lines: Iterable[str]) -> list[str]:
    """The last lines of a traceback or log, without those that only point at a place in the line above."""
    return [line for line in lines if line.strip(" ^~")][-TELLING_LINES:]


class Narration:
    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._alive: set[str] = set()
        self._commanded = ""
        self._halting = False
        self._trace = ""

    def lines(self, record: Record) -> Iterator[str]:
        """None, one, or with a traceback several."""
        self._note(record)
        if record.name in _HIDDEN or (self._halting and record.name in _HIDDEN_AT_THE_END):
            return
        if record.fields.get("of_turn") and record.name != "agent.stuck":
            return  # tools come and go by the hundred, and their agents judge how they ended
        if record.name == "agent.asked" and self._commanded == record.path:
            return  # the command was told, and its end will be
        if record.name == "supervisor.ended" and record.path == "/":
            return  # the host's own end follows
        path = printable(record.path)
        at = time.strftime("%H:%M:%S", time.localtime(record.at))
        sentence = self._tinted(self._sentence(record), _CODES[record.level])
        # over the ^C that the terminal wrote into this line
        start = "\r" if record.name in ("host.halting", "host.hurrying") else ""
        yield f"{start}{self._tinted(at, '2')} {self._tinted(f'{path:<{_PATH_WIDTH}}', '36')} {sentence}"
        trace = str(record.fields.get("trace") or "")
        if trace and trace != self._trace:  # what follows from a failure carries the same one
            self._trace = trace
            yield from self.quoted(telling(trace.splitlines()))

    def crash(self, record: Record, lines: list[str]) -> Iterator[str]:
        """What an agent printed before it crashed, and where the rest of it is."""
        yield from self.quoted(telling(lines))
        if lines:
            yield self._tinted(f"{'':9}see: agenthost logs {printable(record.path)}", "2")

    def quoted(self, lines: Iterable[str]) -> Iterator[str]:
        """Somebody else's words."""
        for line in lines:
            yield self._tinted(f"{'':9}| {printable(line)}", "2")

    def is_crash(self, record: Record) -> bool:
        """It is worth a look into its log."""
        return (
            record.name == "agent.exited"
            and not record.fields.get("trace")
            and not record.fields.get("of_turn")
            and str(record.fields.get("reason", "")).startswith(_CRASHES)
        )

    def _note(self, record: Record) -> None:
        match record.name:
            case "agent.starting":
                self._alive.add(record.path)
            case "agent.ended":
                self._alive.discard(record.path)
            case "host.halting":
                self._halting = True
        if record.name in ("command.stop", "command.restart"):
            self._commanded = record.path
        elif record.path == self._commanded and record.name == "agent.ended":
            self._commanded = ""

    def _sentence(self, record: Record) -> str:
        if record.name == "host.halting":
            return f"{record.sentence()}; asks {self._agents()} to stop; Ctrl-C again hurries, a third time kills"
        if record.name == "host.hurrying":
            return f"in a hurry: TERM to {self._agents()}, KILL soon; Ctrl-C again kills at once"
        return record.sentence()

    def _agents(self) -> str:
        count = len(self._alive)
        return f"{count} agents" if count != 1 else "1 agent"

    def _tinted(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour and code else text
