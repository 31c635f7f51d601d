"""What agents may ask of the host: the wishes of ``protocol/wishes.py``, about themselves and what they have started.

Every request is answered once; the same request again (a lost answer) gets the same answer, and never acts twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.life import Life
from agenthost.core.reason import Reason
from agenthost.core.tree import State, Supervisor, Worker
from agenthost.errors import AgenthostError, NotRunning
from agenthost.host.children import Children
from agenthost.host.groups import Groups
from agenthost.host.incarnation import Incarnation
from agenthost.host.monitors import Monitors
from agenthost.host.reaping import Reaping
from agenthost.host.sleepers import Sleepers
from agenthost.host.streams import Streams
from agenthost.protocol import wishes as wish
from agenthost.protocol.codec import encode
from agenthost.protocol.control import Refused, Request, Response

REMEMBERED, REMEMBERED_BYTES, REMEMBERED_IDS = 512, 256 * 1024, 4096
"""Answers kept for one agent in case they were lost, their sum, and numbers of requests that will not be done again."""
LONGEST_WHY = 10_000
"""Characters of a refusal: it may quote what was asked, which can be a whole message."""


@dataclass(slots=True)
class _Asker:
    """What one incarnation has asked."""

    answers: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    answers_bytes: int = 0
    done: OrderedDict[int, None] = field(default_factory=OrderedDict)
    """Numbers of what was answered; longer than the answers."""
    under_way: set[int] = field(default_factory=set)
    monitored: dict[int, str] = field(default_factory=dict)
    """Number of a request that is remembered to the incarnation it was about."""


class Wishes:
    """``send(peer, frame)`` says, ``tell`` reaches the core. ``streams`` are those that come over birth sockets."""

    def __init__(
        self,
        *,
        state: State,
        folder: str,
        present: Callable[[str], Incarnation | None],
        send: Callable[[bytes, bytes], None],
        tell: Callable[[on.Event], None],
        streams: Streams | None = None,
    ) -> None:
        self._state, self._present, self._send = state, present, send
        self._streams = streams or Streams()
        self.children = Children(state=state, folder=folder, present=present, tell=tell)
        self.monitors = Monitors(send)
        self.groups = Groups(self._is_ready)
        self.sleepers: Sleepers | None = None
        self._askers: dict[int, _Asker] = {}
        self._waiting: dict[tuple[int, str], int] = {}
        """Tools whose streams have not come: (number of the asker, path) to the number of the streams."""

    def asked(self, incarnation: Incarnation, request: Request) -> None:
        """By one that is welcome, so it has a peer."""
        asker = self._askers.setdefault(incarnation.n, _Asker())
        assert incarnation.peer is not None
        if (frame := asker.answers.get(request.id)) is not None:
            self._send(incarnation.peer, frame)
            if request.id in asker.monitored:
                self.monitors.again(incarnation, asker.monitored[request.id])
            return
        if request.id in asker.under_way:
            return
        if request.id in asker.done:
            self._send(incarnation.peer, _lost(request.id))
            return
        asker.under_way.add(request.id)
        try:
            self._do(incarnation, request.id, wish.read_wish(request.op, request.args))
        except Exception as error:  # whoever asks gets an answer, and a bug of one wish is not the host's end
            ours = isinstance(error, AgenthostError)
            self._answer(incarnation, request.id, error if ours else AgenthostError(f"{type(error).__name__}: {error}"))

    def ended(self, incarnation: Incarnation, reason: Reason) -> set[bytes]:
        """The peers that were told because they monitor it."""
        self._askers.pop(incarnation.n, None)
        for key in [key for key in self._waiting if key[0] == incarnation.n]:
            del self._waiting[key]
        self.groups.ended(incarnation)
        return self.monitors.ended(incarnation, reason)

    def answered(self, effect: do.Answer) -> None:
        self.children.answered(effect)

    def close(self) -> None:
        self.children.close()
        self.monitors.close()

    def _do(self, incarnation: Incarnation, id: int, wanted: wish.Wish) -> None:
        match wanted:
            case wish.Begin(monitor=True):
                self.monitors.check(incarnation, wanted.name)
                self.children.begin(incarnation, wanted, lambda outcome: self._begun(incarnation, id, outcome))
            case wish.Begin():
                self.children.begin(incarnation, wanted, lambda outcome: self._answer(incarnation, id, outcome))
            case wish.Run():
                self._run(incarnation, id, wanted)
            case wish.Reap():
                self._reap(incarnation, id)
            case wish.End():
                if (number := self._waiting.get((incarnation.n, wanted.path))) is not None:
                    self._streams.give_up(incarnation.n, number, NotRunning(f"{wanted.path} was ended before it began"))
                self.children.end(incarnation, wanted, lambda outcome: self._answer(incarnation, id, outcome))
            case wish.Interrupt():
                self.children.interrupt(incarnation, wanted, lambda outcome: self._answer(incarnation, id, outcome))
            case wish.Monitor(path=path):
                self._monitor(incarnation, id, path)
            case wish.Forget(incarnation=whom):
                self.monitors.forget(incarnation, whom)
                self._answer(incarnation, id, None)
            case wish.Members(group=group):
                # Long, and can be looked at again: what was lost is asked again.
                self._answer(incarnation, id, self.groups.members(group), keep=False)

    def _begun(self, who: Incarnation, id: int, outcome: Any) -> None:
        """It is up, or is not: what ends it from here on is told, after the answer."""
        whom = self._present(outcome["path"]) if isinstance(outcome, dict) else None
        asker = self._askers.get(who.n)
        if isinstance(outcome, dict) and (whom is None or (whom.exited and not whom.is_tool)):
            node = self._state.nodes.get(outcome["path"])
            if not isinstance(node, Supervisor):
                reason = node.reason if node is not None else None
                words = reason.words() if reason else f"not running: {self._why_not(outcome['path'])}"
                outcome |= {"reason": words, "well": reason is not None and reason.well}
                if whom is not None:
                    outcome |= {"code": whom.code, "signal": whom.signal}
        elif whom is not None and asker is not None:
            self.monitors.begin(who, whom)
            asker.monitored[id] = whom.name
        self._answer(who, id, outcome)

    def _run(self, who: Incarnation, id: int, wanted: wish.Run) -> None:
        """When its streams are here."""
        streams, path = self._streams, f"{who.path}/{wanted.name}"

        def over(outcome: Any) -> None:
            self._waiting.pop((who.n, path), None)
            self._begun(who, id, outcome)

        def begin(number: int) -> None:
            self._waiting.pop((who.n, path), None)
            streams.equip(number, wanted.env)

            def done(outcome: dict[str, Any] | AgenthostError) -> None:
                streams.drop(number)  # whoever was born has taken them
                over(outcome)

            try:
                self.monitors.check(who, wanted.name)
                self.children.run(who, wanted, number, done)
            except Exception as error:  # as in asked(): its streams may come later than it does
                done(error if isinstance(error, AgenthostError) else AgenthostError(f"{type(error).__name__}: {error}"))

        self._waiting[who.n, path] = wanted.streams
        try:
            streams.want(who.n, wanted.streams, begin, over, wanted.name)
        except AgenthostError:
            del self._waiting[who.n, path]
            raise

    def _reap(self, who: Incarnation, id: int) -> None:
        reaping = Reaping(who, lambda outcome: self._answer(who, id, outcome))
        reaping.look()

    def _monitor(self, who: Incarnation, id: int, path: str) -> None:
        whom = self._present(path)
        if whom is None or whom.exited:
            if self.sleepers is not None and self.sleepers.is_away(path):
                self.sleepers.call(path, lambda error: self._monitor_woken(who, id, path, error))
                return
            self._answer(who, id, {"incarnation": "", "reason": f"not running: {self._why_not(path)}"})
            return
        self.monitors.check(who, path)
        self.monitors.begin(who, whom)
        self._askers[who.n].monitored[id] = whom.name
        self._answer(who, id, {"incarnation": whom.name, "reason": ""})

    def _monitor_woken(self, who: Incarnation, id: int, path: str, error: AgenthostError | None) -> None:
        if error is not None:
            self._answer(who, id, {"incarnation": "", "reason": f"not running: {error.message}"})
        elif who.n in self._askers:
            try:
                self._monitor(who, id, path)
            except AgenthostError as refused:
                self._answer(who, id, refused)

    def _why_not(self, path: str) -> str:
        node = self._state.nodes.get(path)
        if node is None:
            return f"there is no {path}"
        if isinstance(node, Supervisor):
            return f"{path} is a supervisor"
        last = f"; it last ended: {node.reason.words()}" if node.reason else ""
        return f"{path} is {node.life}{last}"

    def _is_ready(self, incarnation: Incarnation) -> bool:
        node = self._state.nodes.get(incarnation.path)
        is_its = isinstance(node, Worker) and node.n == incarnation.n and node.life is Life.READY
        return is_its and not incarnation.exited

    def _answer(self, incarnation: Incarnation, id: int, outcome: Any, *, keep: bool = True) -> None:
        """Nobody is told who has ended meanwhile, nor anybody twice: after an error of another owner of effects, what
        was begun may still come to its end."""
        asker = self._askers.get(incarnation.n)
        if asker is None or incarnation.peer is None or id not in asker.under_way:
            return
        frame = (
            encode(Refused(id=id, code=outcome.code, why=_cut(outcome.message), hint=outcome.hint))
            if isinstance(outcome, AgenthostError)
            else encode(Response(id=id, result=outcome))
        )
        asker.under_way.discard(id)
        if keep:
            asker.answers[id] = frame
            asker.answers_bytes += len(frame)
            asker.done[id] = None
        while len(asker.answers) > REMEMBERED or asker.answers_bytes > REMEMBERED_BYTES:
            number, oldest = asker.answers.popitem(last=False)
            asker.answers_bytes -= len(oldest)
            asker.monitored.pop(number, None)
        while len(asker.done) > REMEMBERED_IDS:
            asker.done.popitem(last=False)
        self._send(incarnation.peer, frame)


def _lost(id: int) -> bytes:
    why = f"cannot answer request {id} again: it was answered, and what was said is not kept any more"
    return encode(Refused(id=id, code=AgenthostError.code, why=why, hint="look at what there is, then ask anew"))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_WHY else text[: LONGEST_WHY - 3] + "..."
