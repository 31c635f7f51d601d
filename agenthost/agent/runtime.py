"""The life of an agent's process, from its certificate to its exit status. A zygote imports this module; so it, and
what it imports, leaves no ZeroMQ context open and no thread.

Connect, load, create, ``on_start``, say Ready: the connection is made in the background meanwhile. asyncio comes in
only for agents that need it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from agenthost.agent import loading
from agenthost.agent.agent import IGNORE, Agent, create
from agenthost.agent.context import Context
from agenthost.agent.desk import SyncDesk
from agenthost.agent.durable import Durable
from agenthost.agent.turn import CRASHED, one_line, tell_crashes, words_of
from agenthost.agent.wires import Wires
from agenthost.errors import StartFailed, UsageError
from agenthost.launch import modules
from agenthost.protocol.birth import CallFailed, Certificate, Crashed

if TYPE_CHECKING:
    from agenthost.agent.desks import Tell
    from agenthost.agent.loops import Brake

_WHY_CHARS = 4096
_ENDING_S = 3.0
"""What threads, tasks and exit functions of the author's get after a crash."""


def run(certificate: Certificate, birth_socket: socket.socket) -> int:
    """Be the agent. Returns the status to exit with: 0 after an orderly stop or IGNORE, 1 after a crash.

    The caller must end the process by ``os._exit``. If nobody has asked for the end, the process is gone ``_ENDING_S``
    after it in any case: threads and tasks of the author's must not keep an agent that has crashed.
    """
    wires = Wires(certificate)
    tell_crashes(lambda error, trace: wires.say_birth(_crashed(error, trace) if trace else _call_failed(error)))
    try:
        kind = loading.load_code(certificate) if certificate.code else loading.load(certificate.agent)
        durable = Durable(certificate.inc, birth_socket)
        agent = create(kind, certificate.args, durable)
        is_async = loading.is_async(kind)
        started = None if is_async else agent.on_start(Context(certificate.path, certificate.inc, None, _UNREADY))
    except BaseException as error:  # the author's start may raise anything; the host is told what
        return _give_up(wires, error)
    finally:
        _flush()
    if is_async:
        return _run_async(agent, wires, birth_socket, durable)
    if started is IGNORE:
        return _ignore(wires)
    status = CRASHED
    try:
        status = SyncDesk(agent, wires, birth_socket, durable).run()
    finally:
        _leave(wires, status)
    return status


def warm() -> None:
    """For a zygote, after it has imported the authors' modules: find their agents, import asyncio if any needs it,
    rehearse their start."""
    import agenthost.agent.ahead
    import agenthost.agent.committing
    import agenthost.agent.door
    import agenthost.agent.drowsiness
    import agenthost.agent.group
    import agenthost.agent.health
    import agenthost.agent.later_mail
    import agenthost.agent.popen
    import agenthost.agent.recalling
    import agenthost.agent.recorded_tools
    import agenthost.agent.scope  # for the effect: imported here they are shared by all agents
    import agenthost.agent.spending
    import agenthost.agent.stack
    import agenthost.agent.telling
    import agenthost.core.remedy.fingerprint
    from agenthost.agent.rehearsal import rehearse

    if loading.prepare(modules.loaded):
        import agenthost.agent.async_desk
        import agenthost.agent.async_popen  # noqa: F401  # imported for their effect
    rehearse()


def _run_async(agent: Agent, wires: Wires, birth_socket: socket.socket, durable: Durable) -> int:
    from agenthost.agent.async_context import AsyncContext
    from agenthost.agent.async_desk import AsyncDesk
    from agenthost.agent.loop import run_loop, settled

    certificate = wires.certificate

    async def main() -> int:
        try:
            started = await settled(agent.on_start(AsyncContext(certificate.path, certificate.inc, None, _UNREADY)))
        except BaseException as error:  # as in run()
            return _give_up(wires, error)
        if started is IGNORE:
            return _ignore(wires)
        status = CRASHED
        try:
            status = await AsyncDesk(agent, wires, birth_socket, durable).run()
        finally:
            _leave(wires, status)
        return status

    return run_loop(main())


def _crashed(error: BaseException, trace: str) -> Crashed:
    from agenthost.agent.blame import failure_of

    failure = failure_of(error)
    return Crashed(trace=trace, type=failure.type, place=failure.place)


def _call_failed(error: BaseException) -> CallFailed:
    from agenthost.agent.blame import failure_of

    failure = failure_of(error)
    why = words_of(error)[:_WHY_CHARS]
    return CallFailed(kind=failure.kind, type=failure.type, place=failure.place, tool=failure.tool, why=why)


def _give_up(wires: Wires, error: BaseException) -> int:
    cause = error.__cause__ if isinstance(error, StartFailed) and error.__cause__ is not None else error
    trace = "".join(traceback.format_exception(cause))
    print(trace, end="", file=sys.stderr, flush=True)
    wires.say_failed(str(error) if isinstance(error, StartFailed) else one_line(error), trace)
    _leave(wires, CRASHED)
    return CRASHED


def _ignore(wires: Wires) -> int:
    wires.say_ignore()
    _leave(wires, 0)
    return 0


def _leave(wires: Wires, status: int) -> None:
    if wires.stop is None:
        _end_later(status)
    if wires.unread:
        print(f"stopped with {wires.unread} unread messages", file=sys.stderr)
    wires.close()
    _flush()


def _end_later(status: int) -> None:
    """An end that was asked for has its grace, and then the host's patience ends; this one only has us."""
    timer = threading.Timer(_ENDING_S, os._exit, (status & 0xFF,))
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:
        pass  # no thread is to be had: then the author has none that could keep us, or too many


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # nobody reads it any more


class _Unready:
    """The desk of ``on_start``: the host does not know us yet, so nothing can be asked of it."""

    def ask(self, path: str, body: Any, deadline: float, brake: Brake | None = None) -> NoReturn:
        _refuse(path)

    def exchange(
        self, wishes: list[tuple[str, Any]], deadline: float, tell: Tell | None = None, brake: Brake | None = None
    ) -> NoReturn:
        _refuse(wishes[0][0] if wishes else "others")

    def deliver(self, path: str, body: Any, deadline: float) -> NoReturn:
        _refuse(path)

    def post(self, context: Any, path: str, body: Any, deadline: float) -> NoReturn:
        _refuse(path)

    def keep_checkpoint(self, context: Any, name: str) -> NoReturn:
        _refuse("a checkpoint")

    def roll_back(self, context: Any, name: str, deadline: float) -> NoReturn:
        _refuse("a checkpoint")

    def later(self, context: Any, wish: Any, deadline: float) -> NoReturn:
        _refuse(getattr(wish, "path", "others"))

    def locate(self, path: str, deadline: float) -> NoReturn:
        _refuse(path)

    def account(self, context: Any) -> NoReturn:
        raise UsageError("cannot tell anything in on_start: no turn has begun", hint="do it in the first turn")

    def purse(self, context: Any) -> NoReturn:
        raise UsageError("cannot spend anything in on_start: no turn has begun", hint="do it in the first turn")

    def is_stopping(self) -> bool:
        return False

    def kin(self) -> NoReturn:
        _refuse("tools, children, monitors and groups")


def _refuse(path: str) -> NoReturn:
    raise UsageError(f"cannot reach {path} in on_start: the agent is not ready yet", hint="do it in the first turn")


_UNREADY = _Unready()
