"""The life of an agent's process, from its certificate to its exit status. A zygote imports this module; so it, and
what it imports, opens no ZeroMQ context and starts no thread.

Load, create, ``on_start``; only then connect and say Ready. asyncio comes in only for agents that need it.
"""

from __future__ import annotations

import socket
import sys
import traceback
from typing import Any, NoReturn

from agenthost.agent import loading
from agenthost.agent.agent import IGNORE, Agent, create
from agenthost.agent.context import AsyncContext, Context
from agenthost.agent.desk import SyncDesk
from agenthost.agent.turn import CRASHED, one_line
from agenthost.agent.wires import Wires
from agenthost.errors import StartFailed, UsageError
from agenthost.protocol.birth import Certificate


def run(certificate: Certificate, birth_socket: socket.socket) -> int:
    """Be the agent. Returns the status to exit with: 0 after an orderly stop or IGNORE, 1 after a crash.

    The caller must end the process by ``os._exit``: threads of the author's must not keep it.
    """
    try:
        kind = loading.load(certificate.agent)
        agent = create(kind, certificate.args)
        is_async = loading.is_async(kind)
        started = None if is_async else agent.on_start(Context(certificate.path, certificate.inc, None, _UNREADY))
    except BaseException as error:  # the author's start may raise anything; the host is told what
        return _give_up(certificate, error)
    finally:
        _flush()
    if is_async:
        return _run_async(agent, certificate, birth_socket)
    if started is IGNORE:
        return _ignore(certificate)
    wires = Wires(certificate)
    try:
        return SyncDesk(agent, wires, birth_socket).run()
    finally:
        _leave(wires)


def warm() -> None:
    """For a zygote, after it has imported the authors' modules: import asyncio if any agent in them needs it."""
    kinds: list[Any] = [Agent]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    if any(loading.is_async(kind) for kind in kinds):
        import agenthost.agent.async_desk  # noqa: F401  # imported for its effect


def _run_async(agent: Agent, certificate: Certificate, birth_socket: socket.socket) -> int:
    from agenthost.agent.async_desk import AsyncDesk, run_loop, settled

    async def main() -> int:
        try:
            started = await settled(agent.on_start(AsyncContext(certificate.path, certificate.inc, None, _UNREADY)))
        except BaseException as error:  # as in run()
            return _give_up(certificate, error)
        if started is IGNORE:
            return _ignore(certificate)
        wires = Wires(certificate)
        try:
            return await AsyncDesk(agent, wires, birth_socket).run()
        finally:
            _leave(wires)

    return run_loop(main())


def _give_up(certificate: Certificate, error: BaseException) -> int:
    cause = error.__cause__ if isinstance(error, StartFailed) and error.__cause__ is not None else error
    trace = "".join(traceback.format_exception(cause))
    print(trace, end="", file=sys.stderr, flush=True)
    wires = Wires(certificate)
    wires.say_failed(str(error) if isinstance(error, StartFailed) else one_line(error), trace)
    _leave(wires)
    return CRASHED


def _ignore(certificate: Certificate) -> int:
    wires = Wires(certificate)
    wires.say_ignore()
    _leave(wires)
    return 0


def _leave(wires: Wires) -> None:
    if wires.unread:
        print(f"stopped with {wires.unread} unread messages", file=sys.stderr)
    wires.close()
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # nobody reads it any more


class _Unready:
    """The desk of ``on_start``: the host does not know us yet, so nothing can be asked of it."""

    def ask(self, path: str, body: Any, deadline: float) -> NoReturn:
        _refuse(path)

    def exchange(self, wishes: list[tuple[str, Any]], deadline: float) -> NoReturn:
        _refuse(wishes[0][0] if wishes else "others")

    def deliver(self, path: str, body: Any, deadline: float) -> NoReturn:
        _refuse(path)

    def locate(self, path: str, deadline: float) -> NoReturn:
        _refuse(path)

    def is_stopping(self) -> bool:
        return False


def _refuse(path: str) -> NoReturn:
    raise UsageError(f"cannot reach {path} in on_start: the agent is not ready yet", hint="do it in the first turn")


_UNREADY = _Unready()
