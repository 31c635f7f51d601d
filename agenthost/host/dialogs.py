"""The host's side of the control plane: who speaks is checked, what must arrive is repeated (``protocol/SPEC.md``).

An agent is its token *and* the pid the host started; afterwards its routing id and that pid. Everybody else is an
operator or nobody. What operators ask is handed to ``on_request``, what agents ask to ``wishes``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.life import Life
from agenthost.core.reason import Reason
from agenthost.core.tree import State, Worker
from agenthost.errors import AgenthostError, NotPermitted, NotRunning, Overloaded, ProtocolError, UnknownName
from agenthost.host.doors import Doors
from agenthost.host.doubting import Doubting
from agenthost.host.incarnation import Incarnation
from agenthost.host.lookups import TICKET_BYTES, Asking, Lookups
from agenthost.host.repeating import Repeating
from agenthost.host.sleepers import Sleepers
from agenthost.host.wishes import Wishes
from agenthost.protocol import control as say
from agenthost.protocol.birth import Expected
from agenthost.protocol.codec import encode, read_from_peer
from agenthost.transport.link import RouterLink

GIVE_UP_S = 60.0
"""Down is not repeated longer: a client that has not answered by then has gone."""
PARKED = 100_000
MOST_EXPECTED = 64
"""Callers whose tickets an agent is born with; others are announced to it when it is up."""
PROBE_AFTER_S = 2.0
"""An agent that has not answered a look-up for this long is asked whether its interpreter runs at all."""


@dataclass(slots=True)
class _Parked:
    """Whose look-up. ``ticket`` is what incarnation ``n`` was born with for it."""

    caller: str
    caller_inc: str
    ticket: bytes = b""
    n: int = 0


class Dialogs:
    """``may_operate(pid, uid)`` is the kernel's word on operators. ``router`` is None while there is none."""

    def __init__(
        self,
        *,
        state: State,
        present: Callable[[str], Incarnation | None],
        may_operate: Callable[[int, int], bool],
        on_request: Callable[[bytes, int, say.Request], None],
        wishes: Wishes,
        doors: Doors,
        sleepers: Sleepers,
        tell: Callable[[on.Event], None],
    ) -> None:
        self._sleepers = sleepers
        self._parked: dict[tuple[bytes, int], _Parked] = {}
        """Look-ups of who is being woken."""
        self._parked_at: dict[str, list[_Parked]] = {}
        self._wishes, self._doors = wishes, doors
        self._state, self._present, self._may_operate = state, present, may_operate
        self._on_request, self._tell = on_request, tell
        self.router: RouterLink | None = None
        self.counters = {"garbled": 0, "not_permitted": 0, "old_incarnation": 0}
        self._by_token: dict[bytes, Incarnation] = {}
        self._by_peer: dict[bytes, Incarnation] = {}
        self._lookups = Lookups()
        self._to_expect: dict[int, list[say.Expect]] = {}
        """For those that are up, by the birth socket, and not yet connected."""
        self._paces: dict[int, say.Rest] = {}
        """What an agent has not acknowledged yet, by its number."""
        self._repeating = Repeating(self._send)
        self._doubting = Doubting(tell)

    # ---- for the owner of processes

    def expect(self, incarnation: Incarnation) -> None:
        """It will be born: it may say Ready with its token."""
        self._by_token[incarnation.token] = incarnation
        for parked in self._parked_at.get(incarnation.path, ())[:MOST_EXPECTED]:
            parked.ticket, parked.n = os.urandom(TICKET_BYTES), incarnation.n
            incarnation.expected.append(Expected(parked.ticket, parked.caller, parked.caller_inc))
        self._wishes.monitors.born(incarnation)
        self._wishes.groups.joined(incarnation)

    def here(self, incarnation: Incarnation) -> None:
        """Its pid is known: what it has said before counts now."""
        early, incarnation.early = incarnation.early, None
        if early is not None:
            self._introduced(*early)

    def ask(self, incarnation: Incarnation) -> None:
        """Stop, as soon as it can be reached; the core's ladder goes on meanwhile."""
        if incarnation.peer is None or incarnation.asked is None:
            return
        why, grace_s = incarnation.asked
        stop = say.Stop(id=self._new_id(), reason=why, grace_s=grace_s)
        self._repeating.say(("stop", incarnation.n), incarnation.peer, encode(stop))

    def sleep(self, incarnation: Incarnation) -> None:
        """If it has still nothing to do."""
        if incarnation.peer is None:  # it says so again
            self._tell(on.Stirred(incarnation.path, incarnation.n))
            return
        self._repeating.say(("sleep", incarnation.n), incarnation.peer, encode(say.Sleep(number=incarnation.drowsy)))

    def has_answered(self, incarnation: Incarnation, number: int) -> None:
        """Whether it falls asleep."""
        if number == incarnation.drowsy:
            self._repeating.settled(("sleep", incarnation.n))

    def pace(self, incarnation: Incarnation) -> None:
        """How long it may idle has changed."""
        if incarnation.peer is not None:
            self._paces[incarnation.n] = rest = say.Rest(id=self._new_id(), after_s=incarnation.drowsy_s)
            self._repeating.say(("rest", incarnation.n), incarnation.peer, encode(rest))

    def ended(self, incarnation: Incarnation, reason: Reason) -> None:
        """Its process is gone: whoever looked it up hears of it, whoever waits to is refused."""
        self._by_token.pop(incarnation.token, None)
        self._to_expect.pop(incarnation.n, None)
        for what in ("stop", "sleep", "rest"):
            self._repeating.settled((what, incarnation.n))
        self._paces.pop(incarnation.n, None)
        open_lookups, hearers = self._lookups.ended(incarnation.n)
        for asking in open_lookups:
            self._repeating.settled(("expect", asking.ticket))
            if reason.kind == "asleep":
                again = say.Lookup(id=asking.id, path=incarnation.path, inc=asking.caller_inc)
                self._look_up(asking.peer, again, asking.caller, asking.caller_inc, asking.uid)
            else:
                self._refuse(asking.peer, asking.id, NotRunning(f"{incarnation.path} has ended: {reason.words()}"))
        told = self._wishes.ended(incarnation, reason)
        for peer in hearers:
            if peer in told:
                continue
            down = incarnation.down(self._new_id(), reason)
            self._repeating.say(("down", peer, down.id), peer, encode(down), for_s=GIVE_UP_S)
        if incarnation.peer is not None:
            self._by_peer.pop(incarnation.peer, None)
            self._lookups.forget(incarnation.peer)

    # ---- from the router

    def heard(self, peer: bytes, uid: int, pid: int, frames: list[bytes]) -> None:
        try:
            message = read_from_peer(frames[0])
        except ProtocolError as error:
            self.counters["garbled"] += 1
            self._send(peer, encode(say.Garbled(why=str(error))))
            return
        if isinstance(message, say.Ready | say.Ignore | say.Failed):
            self._introduced(peer, pid, message)
            return
        incarnation = self._by_peer.get(peer)
        if incarnation is not None and incarnation.agent_pid == pid:
            self._from_agent(peer, incarnation, message)
        elif self._may_operate(pid, uid):
            self._from_operator(peer, uid, message)
        else:
            self._not_permitted(peer, message)

    def close(self) -> None:
        self._repeating.close()

    # ---- agents

    def _introduced(self, peer: bytes, pid: int, message: say.Ready | say.Ignore | say.Failed) -> None:
        incarnation = self._by_token.get(message.token)
        if incarnation is not None and incarnation.agent_pid is None:
            # Its Here waits to be read, on another socket; to refuse it now would cost it a repetition, 250 ms.
            incarnation.early = (peer, pid, message)
            return
        if incarnation is None or incarnation.agent_pid != pid or incarnation.name != message.inc:
            self.counters["not_permitted"] += 1
            why = "not permitted: this token, incarnation and process do not belong together"
            self._send(peer, encode(say.Garbled(why=why)))
            return
        first = incarnation.peer != peer
        if first and incarnation.peer is not None:
            self._by_peer.pop(incarnation.peer, None)
        incarnation.peer = peer
        self._by_peer[peer] = incarnation
        self._send(peer, encode(say.Welcome(inc=incarnation.name)))
        if not first:
            return
        match message:
            case say.Ready():
                self._tell(on.Ready(incarnation.path, incarnation.n))
                self.ask(incarnation)
                if incarnation.n in self._paces:
                    self.pace(incarnation)
                for expect in self._to_expect.pop(incarnation.n, ()):
                    self._repeating.say(("expect", expect.ticket), peer, encode(expect))
            case say.Ignore():
                self._tell(on.Ignored(incarnation.path, incarnation.n))
            case say.Failed(error=error, trace=trace):
                reason = Reason("start_failed", text=error, trace=trace)
                incarnation.start_error = reason
                self._tell(on.Fault(incarnation.path, incarnation.n, reason))

    def _from_agent(self, peer: bytes, incarnation: Incarnation, message: say.FromPeer) -> None:
        if isinstance(message, say.Stopping | say.Expecting | say.Lookup) and message.inc != incarnation.name:
            self.counters["old_incarnation"] += 1
            return
        match message:
            case say.Overdue():
                self._doubt_whom(message)
            case say.Stopping():
                self._repeating.settled(("stop", incarnation.n))
            case say.Expecting(ticket=ticket):
                self._granted(incarnation, ticket)
            case say.Seen(id=id):
                self._repeating.settled(("down", peer, id))
                if (rest := self._paces.get(incarnation.n)) is not None and rest.id == id:
                    self._repeating.settled(("rest", incarnation.n))
                self._wishes.monitors.seen(incarnation, id)
            case say.Lookup():
                user = incarnation.birth.user
                uid = os.getuid() if user is None else user
                self._look_up(peer, message, incarnation.path, incarnation.name, uid)
            case say.Request():
                self._wishes.asked(incarnation, message)

    def _from_operator(self, peer: bytes, uid: int, message: say.FromPeer) -> None:
        match message:
            case say.Seen(id=id):
                self._repeating.settled(("down", peer, id))
            case say.Overdue():
                self._doubt_whom(message)
            case say.Lookup():
                self._look_up(peer, message, f"client:{uid}", "", uid)
            case say.Request():
                self._on_request(peer, uid, message)
            case _:
                self.counters["garbled"] += 1
                self._send(peer, encode(say.Garbled(why="only an agent says that")))

    def _not_permitted(self, peer: bytes, message: say.FromPeer) -> None:
        self.counters["not_permitted"] += 1
        error = NotPermitted(
            "cannot speak to this host: this process is neither an agent nor an operator",
            hint="operators are outside the host's processes and listed under 'operators' in its config",
        )
        if isinstance(message, say.Request | say.Lookup):
            self._refuse(peer, message.id, error)
        else:
            self._send(peer, encode(say.Garbled(why=str(error))))

    # ---- look-ups

    def _look_up(self, peer: bytes, lookup: say.Lookup, caller: str, caller_inc: str, uid: int) -> None:
        answered = self._lookups.answered_with(peer, lookup.id)
        if answered is not None and self._is_present(lookup.path, answered[0]):
            self._send(peer, answered[1])
            return
        if self._lookups.is_open(peer, lookup.id):
            return  # the callee has not answered yet
        if self._sleepers.is_away(lookup.path):
            self._park(peer, lookup, caller, caller_inc, uid)
            return
        try:
            callee = self._reachable(lookup.path)
        except (NotRunning, UnknownName) as error:
            self._refuse(peer, lookup.id, error)
            return
        asking = self._lookups.begin(peer, lookup.id, callee.n, uid, caller, caller_inc)
        expect = say.Expect(ticket=asking.ticket, caller=caller, caller_inc=caller_inc)
        if callee.peer is None:
            self._to_expect.setdefault(callee.n, []).append(expect)
        else:
            self._repeating.say(("expect", asking.ticket), callee.peer, encode(expect))
        asyncio.get_running_loop().call_later(PROBE_AFTER_S, self._still_waiting, callee, asking)

    def _park(self, peer: bytes, lookup: say.Lookup, caller: str, caller_inc: str, uid: int) -> None:
        """Until it is awake."""
        question = peer, lookup.id
        if question in self._parked:
            return
        if len(self._parked) >= PARKED:
            self._refuse(peer, lookup.id, Overloaded(f"cannot wake {lookup.path}: {PARKED} wait for others already"))
            return
        parked = self._parked[question] = _Parked(caller, caller_inc)
        waiting = self._parked_at.setdefault(lookup.path, [])
        waiting.append(parked)

        def woken(error: AgenthostError | None) -> None:
            del self._parked[question]
            waiting.remove(parked)
            if not waiting and self._parked_at.get(lookup.path) is waiting:
                del self._parked_at[lookup.path]
            if error is not None:
                self._refuse(peer, lookup.id, error)
            elif parked.ticket and self._is_present(lookup.path, parked.n) and not self._sleepers.is_away(lookup.path):
                callee = self._reachable(lookup.path)
                self._lookups.begin(peer, lookup.id, callee.n, uid, caller, caller_inc, parked.ticket)
                self._granted(callee, parked.ticket)  # it has expected that since it was born
            else:
                self._look_up(peer, lookup, caller, caller_inc, uid)

        self._sleepers.call(lookup.path, woken)
        asyncio.get_running_loop().call_later(PROBE_AFTER_S, self._still_parked, question, lookup.path)

    def _still_parked(self, question: tuple[bytes, int], path: str) -> None:
        """One that was asked whether it sleeps may be silent because its interpreter does not run."""
        incarnation = self._present(path)
        if question in self._parked and incarnation is not None and incarnation.peer is not None:
            self._doubting.doubt(incarnation)

    def _reachable(self, path: str) -> Incarnation:
        node = self._state.nodes.get(path)
        if node is None:
            raise UnknownName(f"there is no {path}")
        if not isinstance(node, Worker):
            raise NotRunning(f"{path} is a supervisor and takes no messages")
        if not isinstance(node.spec.birth, AgentBirth):
            raise NotRunning(f"{path} is a program and takes no messages", hint="give it a protocol, such as lines")
        incarnation = self._present(path)
        if node.life is not Life.READY or incarnation is None or incarnation.exited:
            last = f"; it last ended: {node.reason.words()}" if node.reason else ""
            raise NotRunning(f"{path} is {node.life}{last}")
        return incarnation

    def _is_present(self, path: str, n: int) -> bool:
        incarnation = self._present(path)
        return incarnation is not None and incarnation.n == n and not incarnation.exited

    def _granted(self, callee: Incarnation, ticket: bytes) -> None:
        self._repeating.settled(("expect", ticket))
        asking = self._lookups.granted(ticket, callee.n)
        if asking is None:
            return
        try:  # not where it says: an agent could lead others anywhere
            address = self._doors.address(callee, asking.uid)
        except (NotPermitted, NotRunning) as error:
            self._refuse(asking.peer, asking.id, error)
            return
        found = say.Found(id=asking.id, path=callee.path, inc=callee.name, address=address, ticket=ticket)
        frame = encode(found)
        self._lookups.answered(asking, frame)
        self._send(asking.peer, frame)

    def _still_waiting(self, callee: Incarnation, asking: Asking) -> None:
        """A turn in hand may last; an interpreter that does not run must not be mistaken for one."""
        if self._lookups.is_open(asking.peer, asking.id):
            self._doubting.doubt(callee)

    def doubt(self, incarnation: Incarnation) -> None:
        """Ask whether its interpreter runs; who does not answer for as long as it may be silent is ended."""
        self._doubting.doubt(incarnation)

    def _doubt_whom(self, overdue: say.Overdue) -> None:
        callee = self._present(overdue.path)
        if callee is not None and callee.name == overdue.callee:
            self._doubting.doubt(callee)

    # ---- saying

    def _refuse(self, peer: bytes, id: int, error: AgenthostError) -> None:
        self._send(peer, encode(say.Refused(id=id, code=error.code, why=error.message, hint=error.hint)))

    def _send(self, peer: bytes, frame: bytes) -> None:
        if self.router is not None:
            self.router.send(peer, [frame])

    def _new_id(self) -> int:
        return next(self._wishes.monitors.ids)
