"""What a process says on its birth socket: who it is, whether it could begin, that its turn goes on.

A process that floods its socket waits; everybody else is served. Only ``Here`` is believed about who somebody is, once,
by the kernel's word on the sender.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, ProgramBirth
from agenthost.core.reason import Reason
from agenthost.errors import ProtocolError
from agenthost.host.incarnation import Incarnation
from agenthost.host.readiness import wait_ready
from agenthost.host.signs import Signs
from agenthost.host.standstill import silence_in_words
from agenthost.host.streams import Streams
from agenthost.launch import unwanted
from agenthost.launch.birth_socket import receive
from agenthost.protocol import birth as said
from agenthost.protocol.codec import read_from_process

PACKETS_PER_TURN, FLOOD_PAUSE_S = 64, 0.05
LONGEST_IDLE_S = 1e9


class Hearing:
    """``on_here(incarnation)`` once the agent's own pid is known."""

    def __init__(self, tell: Callable[[on.Event], None], on_here: Callable[[Incarnation], None]) -> None:
        self._tell, self._on_here = tell, on_here
        self.garbled = 0
        """Packets that could not be read."""
        self.on_turn_ended: Callable[[Incarnation], None] = lambda incarnation: None
        """Called when a turn ends in which it has beaten."""
        self.on_beat: Callable[[Incarnation, said.Beat], None] = lambda incarnation, message: None
        self.on_interrupted: Callable[[Incarnation, said.Interrupted], None] = lambda incarnation, message: None
        self.on_stack: Callable[[Incarnation, said.Stack], None] = lambda incarnation, message: None
        self.on_call_failed: Callable[[Incarnation, said.CallFailed], None] = lambda incarnation, message: None
        self.on_want_door: Callable[[Incarnation, int], None] = lambda incarnation, had: None
        self.on_awake: Callable[[Incarnation, int], None] = lambda incarnation, number: None
        """It has answered whether it falls asleep."""
        self._checks: dict[int, asyncio.Task[None]] = {}
        self.signs = Signs(tell)
        self.streams = Streams()
        """That agents have given to their tools."""

    def begin(self, incarnation: Incarnation) -> None:
        assert incarnation.born is not None
        asyncio.get_running_loop().add_reader(incarnation.born.birth_socket.fileno(), self.hear, incarnation)

    def end(self, incarnation: Incarnation) -> None:
        """Its process is reaped: take its last words, and no more."""
        self.hear(incarnation)
        self._pause(incarnation)
        self.signs.close(incarnation)
        incarnation.turn.cut()
        incarnation.turn.end()
        check = self._checks.pop(incarnation.n, None)
        if check is not None:
            check.cancel()

    def hear(self, incarnation: Incarnation) -> None:
        assert incarnation.born is not None
        sock = incarnation.born.birth_socket
        takes_streams = isinstance(incarnation.birth, AgentBirth)
        for _ in range(PACKETS_PER_TURN):
            descriptors: list[int] | None = [] if takes_streams else None
            try:
                packet, pid = receive(sock, descriptors)
            except BlockingIOError:
                return
            except OSError:
                packet, pid = b"", None
            try:
                if not packet:
                    self._pause(incarnation)
                    self._spoke_last(incarnation)
                    return
                self._obey(incarnation, read_from_process(packet), pid, descriptors or [])
            except ProtocolError:
                self.garbled += 1
            finally:
                unwanted.let_go(descriptors or ())
        self._pause(incarnation)
        asyncio.get_running_loop().call_later(FLOOD_PAUSE_S, self._resume, incarnation)

    def line_printed(self, incarnation: Incarnation) -> None:
        """The line that says it is ready."""
        if not incarnation.exited:
            self._tell(on.Ready(incarnation.path, incarnation.n))

    def _pause(self, incarnation: Incarnation) -> None:
        assert incarnation.born is not None
        asyncio.get_running_loop().remove_reader(incarnation.born.birth_socket.fileno())

    def _resume(self, incarnation: Incarnation) -> None:
        if incarnation.born is not None and not incarnation.exited:
            self.begin(incarnation)

    def _obey(
        self, incarnation: Incarnation, message: said.FromProcess, pid: int | None, descriptors: list[int]
    ) -> None:
        """Takes descriptors out of the list if it wants them."""
        match message:
            case said.Streams(id=id):
                wanted = descriptors.copy()
                descriptors.clear()
                self.streams.came(incarnation.n, id, wanted)
            case said.Here():
                if incarnation.agent_pid is None:  # later it is somebody who inherited the socket
                    incarnation.agent_pid = pid
                    self._on_here(incarnation)
            case said.Up():
                self._tell(on.Ready(incarnation.path, incarnation.n))
            case said.BirthFailed(step=step, error=error, trace=trace):
                incarnation.start_error = Reason("start_failed", text=f"{error} ({step})", trace=trace)
            case said.Execed():
                self._exec_succeeded(incarnation)
            case said.Ended():
                incarnation.reported = message
            case said.Beat():
                self._beat(incarnation)
                self.on_beat(incarnation, message)
            case said.Interrupted():
                self.on_interrupted(incarnation, message)
            case said.Stack():
                self.on_stack(incarnation, message)
            case said.Crashed():
                incarnation.crash = message
                incarnation.turn.cut()  # it says so before it says that the turn is over
            case said.CallFailed():
                self.on_call_failed(incarnation, message)
            case said.WantDoor(had=had):
                self.on_want_door(incarnation, had)
            case said.Idle():
                incarnation.beat_at = None
                incarnation.turn.end()
                self.on_turn_ended(incarnation)
            case said.Drowsy(number=number, idle_s=idle_s):
                incarnation.drowsy = number
                for_s = max(0.0, min(LONGEST_IDLE_S, idle_s))  # of one that is not a number, the longest
                self._tell(on.Idle(incarnation.path, incarnation.n, for_s))
            case said.Awake(number=number):
                self.on_awake(incarnation, number)
                if number == incarnation.drowsy:  # a Sleep for an earlier one was declined late
                    self._tell(on.Stirred(incarnation.path, incarnation.n))
            case said.Asleep(number=number):
                self.on_awake(incarnation, number)
                if number == incarnation.drowsy:
                    self._tell(on.FallsAsleep(incarnation.path, incarnation.n))
            case said.Alive(id=id):
                if incarnation.doubt == id:
                    incarnation.doubt = None
                if incarnation.beat_at is not None:
                    incarnation.beat_at = time.monotonic()

    # ---- programs

    def _spoke_last(self, incarnation: Incarnation) -> None:
        """The socket has closed: of a program that is exec's doing; of a Python agent, its end's or its author's."""
        if isinstance(incarnation.birth, ProgramBirth) and incarnation.start_error is None:
            self._exec_succeeded(incarnation)

    def _exec_succeeded(self, incarnation: Incarnation) -> None:
        wanted = incarnation.birth
        if not isinstance(wanted, ProgramBirth) or incarnation.exited or incarnation.execed:
            return
        incarnation.execed = True
        if wanted.ready is None:
            self._tell(on.Ready(incarnation.path, incarnation.n))
        elif wanted.ready.kind in ("http", "tcp"):
            task = asyncio.get_running_loop().create_task(wait_ready(wanted.ready))
            self._checks[incarnation.n] = task
            task.add_done_callback(lambda done: self._checked(incarnation, done))

    def _checked(self, incarnation: Incarnation, task: asyncio.Task[None]) -> None:
        if task.cancelled() or incarnation.exited:
            return
        error = task.exception()
        if error is None:
            self._tell(on.Ready(incarnation.path, incarnation.n))
        else:
            reason = Reason("start_failed", text=f"its readiness cannot be checked: {error}")
            self._tell(on.Fault(incarnation.path, incarnation.n, reason))

    # ---- turns

    def _beat(self, incarnation: Incarnation) -> None:
        incarnation.beat_at = time.monotonic()
        if not incarnation.listening:
            self._listen_for_silence(incarnation)

    def _listen_for_silence(self, incarnation: Incarnation) -> None:
        incarnation.listening = False
        if incarnation.exited or incarnation.beat_at is None or not isinstance(incarnation.birth, AgentBirth):
            return
        silence_s = incarnation.birth.silence_s
        due_in_s = incarnation.silence_left_s(incarnation.beat_at, silence_s)
        if due_in_s > 0:
            incarnation.listening = True
            asyncio.get_running_loop().call_later(due_in_s, self._listen_for_silence, incarnation)
            return
        text = f"no beat for {silence_s:g} s while a turn was in hand"
        reason = Reason("silent", text=silence_in_words(incarnation, text))
        self._tell(on.Fault(incarnation.path, incarnation.n, reason))
