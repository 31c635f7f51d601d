"""What a turn starts below its agent, for both kinds of context: children, programs.

Written once, as coroutines (``kin`` says why a plain agent can have them too), with the parameters and the text that
``start``, ``run`` and ``popen`` have in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agenthost.agent.turn_context import D, TurnContext

if TYPE_CHECKING:
    import os

    from agenthost.agent.children import AsyncChild
    from agenthost.agent.kin import Kin
    from agenthost.agent.ran import Ran
    from agenthost.agent.tool_pipes import Where
    from agenthost.agent.tools import Argv, ToolBirth
    from agenthost.agent.wanted import What


class Below(TurnContext[D]):
    __slots__ = ()

    async def _start(
        self,
        /,
        what: What,
        *,
        name: str | None = None,
        args: dict[str, Any] | None = None,
        timeout: float | None = None,
        **keys: Any,
    ) -> AsyncChild:
        """Start a child below this agent, and wait until it is ready. It ends with this incarnation, if not before.

        ``what`` is ``module:Class``, a dict with the config's keys of a child, an Agent subclass, or a function of
        (message) or (message, ctx), also a lambda or closure, that handles its messages. ``keys`` are the config's:
        ``restart="permanent"`` (default temporary), ``limits={...}``. Without ``name`` it gets one like "sub-1".

        Raises ``NotPermitted`` (``may`` in the config), ``StartFailed``, ``UsageError`` (what cannot be sent, and
        which variable is to blame), ``TimedOut``: then it is ended.
        """
        from agenthost.agent import children
        from agenthost.agent.wanted import wanted

        thing = wanted(what, name, args, keys)
        return await children.start(self._desk.kin(), thing, timeout)

    async def _run(
        self,
        argv: Argv,
        *,
        timeout: float | None = None,
        input: bytes | str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        limits: dict[str, Any] | None = None,
        output_bytes: int = 1024 * 1024,
        check: bool = False,
        idempotent: bool = False,
    ) -> Ran:
        """Run a program below this agent, in a cell of its own, and wait until nothing of it is left.

        ``argv`` is a list of words; no shell is between. What it prints is kept, up to ``output_bytes`` of each stream,
        and goes to this agent's log line by line. It gets ``input`` on its stdin, which is else /dev/null, and this
        agent's environment and folder unless ``env`` and ``cwd`` say otherwise. ``limits`` as in the config. It ends
        with the turn, whatever becomes of that. Its end, good or bad, is told by what is returned.

        Raises ``ToolTimedOut`` after ``timeout`` seconds, or when this turn's caller waits no longer: then it was
        killed. ``ToolFailed`` with ``check``, if it does not end with status 0. ``StartFailed`` for what cannot be run.
        In a turn of durable mail as :meth:`call`: one that ended with status 0 is not run again.
        """
        from agenthost.agent.recorded_tools import run

        self._check_open(argv)
        return await run(
            self.attempt.calls,
            self._desk.kin(),
            argv,
            brake=self.brake,
            timeout=timeout,
            input=input,
            env=env,
            cwd=cwd,
            limits=limits,
            output_bytes=output_bytes,
            check=check,
            idempotent=idempotent,
        )

    async def _begin_tool(
        self,
        argv: Argv,
        *,
        stdin: Where = "pipe",
        stdout: Where = "pipe",
        stderr: Where = "pipe",
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        limits: dict[str, Any] | None = None,
        keep: bool = False,
        name: str | None = None,
        idempotent: bool = False,
    ) -> tuple[Kin, ToolBirth]:
        """Start a program as :meth:`run` does, and talk to it: what is returned has its streams (those of asyncio in
        async handlers), ``wait``, ``stop`` and ``kill``, and is a context manager that ends it. It ends with the turn;
        with ``keep`` with this agent.

        Each stream is a "pipe" or "null"; stdout and stderr may be "log", this agent's own.

        In a turn of durable mail one that an earlier attempt has started is ``OutcomeUnknown``, unless it is
        ``idempotent`` or kept: what was said to it is not known.
        """
        from agenthost.agent.recorded_tools import start

        self._check_open(argv)
        kin = self._desk.kin()
        birth = await start(
            self.attempt.calls,
            kin,
            argv,
            brake=self.brake,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            limits=limits,
            keep=keep,
            name=name,
            idempotent=idempotent,
        )
        return kin, birth
