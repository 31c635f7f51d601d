"""How it stands with the budgets, as the journal has said, and what follows for those whose budget is used up.

Calls are refused by the agents themselves, who are told over their birth sockets; mail is not handed out by the
journal; turns in hand are interrupted, which the core decides. What is counted is ``metering``'s.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable
from typing import Any

from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.budget.scope import Scopes, above
from agenthost.core.tree import State
from agenthost.host.incarnation import Incarnation
from agenthost.host.journal_link import NOT_NOW
from agenthost.host.journaling import Budgeting
from agenthost.journal import words
from agenthost.protocol.birth import Budget
from agenthost.protocol.codec import encode

AGAIN_S = 0.05
_FULL = (*NOT_NOW, errno.ENOBUFS)


class Standings:
    """``by_n`` are all incarnations; ``tell`` reaches the core."""

    def __init__(
        self,
        boot: int,
        state: State,
        by_n: dict[int, Incarnation],
        tell: Callable[[on.Event], None],
        record: Callable[..., None],
    ) -> None:
        self._boot, self._state, self._by_n, self._tell, self._record = boot, state, by_n, tell, record
        self._standing: dict[str, words.Budgeted] = {}
        self._missed: dict[tuple[int, bool], tuple[Incarnation, Budget]] = {}
        """What could not be said to an agent whose socket was full; the last by n, and whether it is of a turn."""
        self._again: asyncio.TimerHandle | None = None
        self.scopes = Scopes()
        self.counted: Callable[[], Iterable[tuple[Incarnation, int]]] = lambda: ()
        """Those that some budget holds for, each with the number of its turn, 0 if that is not known."""

    def forget(self) -> None:
        """The next journal says anew how all stands."""
        self._standing.clear()

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()

    def goes_on(self, incarnation: Incarnation, turn: int) -> None:
        """A turn has beaten."""
        if (standing := self._stops(incarnation.path)) is not None:
            self._interrupt(incarnation, turn, standing.why)

    def heard(self, word: Budgeting) -> None:
        """From the journal."""
        match word:
            case words.Budgeted():
                self._budgeted(word)
            case words.Overspent() if word.boot == self._boot:
                self._overspent(word)
            case words.Granted(path=path, meter=meter, amount=amount, by=by):
                of: dict[str, Any] = {"message": word.message} if word.message else {}
                self._record("budget.granted", path, meter=meter, amount=amount, by=by, **of)
            case words.Unpriced(path=path, model=model):
                self._record("budget.unpriced", path, model=model, why="prices of the config do not name it")

    def _budgeted(self, word: words.Budgeted) -> None:
        before = self._standing.pop(word.path, None)
        if word.state:
            self._standing[word.path] = word
        is_news = before is None or before.state != word.state or before.why != word.why
        if is_news and (word.state or word.path in self._state.nodes):
            name = {"": "budget.free", "falls_back": "budget.fell_back"}.get(word.state, "budget.exhausted")
            why: dict[str, Any] = {"why": word.why} if word.why else {}
            self._record(name, word.path, **why)
        folder = word.path.rstrip("/") + "/"
        for of, turn in list(self.counted()):
            if of.path != word.path and not of.path.startswith(folder):
                continue
            self.say(of)
            if word.state in ("stopped", "asks"):
                is_its = (word.by, word.boot, word.n) == (of.path, self._boot, of.n)
                self._interrupt(of, turn or (word.turn if is_its else 0), word.why)

    def _overspent(self, word: words.Overspent) -> None:
        incarnation = self._by_n.get(word.n)
        if incarnation is None or incarnation.path != word.path:
            return
        if word.args:
            self._record("budget.fell_back", word.path, incarnation=word.n, why=word.why)
            self.send(incarnation, Budget(args=word.args, turn=word.turn))
        else:
            self._record("budget.exhausted", word.path, incarnation=word.n, why=word.why)
            self._interrupt(incarnation, word.turn, word.why)

    def _stops(self, path: str) -> words.Budgeted | None:
        found = (self._standing.get(place) for place in above(path))
        return next((one for one in found if one is not None and one.state != "falls_back"), None)

    def _interrupt(self, incarnation: Incarnation, turn: int, why: str) -> None:
        """A short turn of which nothing is known is found by its first beat, if it does not end before."""
        if turn and isinstance(incarnation.birth, AgentBirth) and not incarnation.exited:
            self._tell(on.Overrun(incarnation.path, incarnation.n, turn, why, "budget"))

    def say(self, incarnation: Incarnation) -> None:
        """To the agent itself."""
        if not isinstance(incarnation.birth, AgentBirth):
            return
        args: dict[str, Any] = {}
        for place in reversed(list(above(incarnation.path))):
            if (one := self._standing.get(place)) is not None:
                args |= one.args
        stops = self._stops(incarnation.path)
        tells = any(scope.kind == "turn" for scope in self.scopes.at(incarnation.path))
        self.send(incarnation, Budget(why=stops.why if stops is not None else "", args=args, turns=tells))

    def send(self, incarnation: Incarnation, message: Budget) -> None:
        if incarnation.born is None or incarnation.exited or not isinstance(incarnation.birth, AgentBirth):
            return
        key = incarnation.n, bool(message.turn)
        self._missed.pop(key, None)
        try:
            incarnation.born.birth_socket.send(encode(message))
        except OSError as error:  # of any other it has ended, as its pidfd will tell
            if error.errno in _FULL:
                self._missed[key] = incarnation, message
                if self._again is None:
                    self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._say_again)

    def _say_again(self) -> None:
        """An agent that has not heard that it may go on refuses calls for ever. What is true by now is said; of one
        turn what was to be said."""
        self._again = None
        missed, self._missed = self._missed, {}
        for incarnation, message in missed.values():
            if not message.turn and self.scopes.is_metered(incarnation.path):
                self.say(incarnation)
            else:
                self.send(incarnation, message)
