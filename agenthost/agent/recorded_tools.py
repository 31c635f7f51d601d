"""``ctx.run`` and ``ctx.popen`` in a turn of durable mail: intended before, concluded after (``tool_calls``).

What a tool that was talked to has been told is not kept, so nothing can stand for it: in a later attempt it is
``OutcomeUnknown`` unless it is idempotent, or never started. One that is kept belongs to the agent, not to the turn,
and is started anew without a word.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agenthost.agent import popen, tools
from agenthost.agent.deadlines import LONGEST_S
from agenthost.agent.ran import Ran
from agenthost.agent.tool_calls import Round, ToolCalls, Wish
from agenthost.agent.tool_wants import check_seconds, check_streamed, check_surroundings
from agenthost.agent.tools import Argv, ToolBirth, plain_words
from agenthost.errors import AgenthostError

if TYPE_CHECKING:
    from agenthost.agent.kin import Kin
    from agenthost.agent.loops import Brake


async def run(calls: ToolCalls | None, kin: Kin, argv: Argv, *, brake: Brake | None = None, **how: Any) -> Ran:
    """As ``tools.run``. Without ``calls`` nothing is recorded. ``brake``: repeated too often it is not run."""
    if brake is None:
        return await _run(calls, kin, argv, **how)
    try:
        if calls is None:
            check_surroundings(how["env"], how["cwd"])
            brake.call(f"run {plain_words(argv)[0]}", _counted(argv, how, how["input"]))
        return await _run(calls, kin, argv, **how)
    except AgenthostError as error:
        brake.failed(f"run {plain_words(argv)[0]}", error)
        raise


async def _run(
    calls: ToolCalls | None, kin: Kin, argv: Argv, *, timeout: float | None, check: bool, idempotent: bool, **how: Any
) -> Ran:
    if calls is None:
        return await tools.run(kin, argv, timeout=timeout, check=check, **how)
    check_seconds(timeout)
    check_surroundings(how["env"], how["cwd"])
    check_streamed(how["input"], how["output_bytes"])
    given = how["input"]
    wish = _wish("run", argv, how["env"], how["cwd"], given if isinstance(given, str) else bytes(given or b""))
    begun = await _begin(calls, kin, wish, timeout, idempotent=idempotent)
    made = []
    if begun.wanted:
        try:
            made = [await tools.run(kin, argv, timeout=timeout, check=False, **how)]
        except AgenthostError as error:
            begun.tell(0, error)
            raise
    (ran,) = begun.outcomes(made)
    if isinstance(ran, AgenthostError):
        raise ran
    assert isinstance(ran, Ran)
    if check:
        ran.check()
    return ran


async def start(calls: ToolCalls | None, kin: Kin, argv: Argv, *, brake: Brake | None = None, **how: Any) -> ToolBirth:
    """As ``popen.start``. ``brake`` as of ``run``."""
    if brake is None:
        return await _start(calls, kin, argv, **how)
    try:
        if calls is None or how["keep"]:
            check_surroundings(how["env"], how["cwd"])
            brake.call(f"popen {plain_words(argv)[0]}", _counted(argv, how))
        return await _start(calls, kin, argv, **how)
    except AgenthostError as error:
        brake.failed(f"popen {plain_words(argv)[0]}", error)
        raise


async def _start(
    calls: ToolCalls | None, kin: Kin, argv: Argv, *, keep: bool, idempotent: bool, **how: Any
) -> ToolBirth:
    if calls is None or keep:
        return await popen.start(kin, argv, keep=keep, **how)
    check_surroundings(how["env"], how["cwd"])
    begun = await _begin(calls, kin, _wish("popen", argv, how["env"], how["cwd"]), None, idempotent=idempotent)
    if not begun.wanted:
        raise begun.outcomes([])[0]
    try:
        birth = await popen.start(kin, argv, keep=keep, **how)
    except AgenthostError as error:
        begun.tell(0, error)
        raise
    birth.on_over = lambda: begun.talked(*_end_of(birth))
    return birth


def _counted(argv: Argv, how: Mapping[str, Any], given: Any = None) -> list[Any]:
    """What is the same call, where nothing is recorded."""
    wish = _wish("", argv, how["env"], how["cwd"], given or b"")
    return [wish.shown, wish.hidden]


async def _begin(calls: ToolCalls, kin: Kin, wish: Wish, timeout: float | None, *, idempotent: bool) -> Round:
    return await calls.begin([wish], kin.limit(LONGEST_S if timeout is None else timeout), idempotent=idempotent)


def _wish(
    tool: str,
    argv: Argv,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    given: str | bytes = b"",
) -> Wish:
    """What stands in ``env`` and on stdin may be secret, or large: of that the digest alone is kept."""
    shown = {"argv": list(plain_words(argv)), "cwd": None if cwd is None else os.fspath(cwd)}
    return Wish(tool, shown, [None if env is None else dict(env), given])


def _end_of(birth: ToolBirth) -> tuple[str, int | None]:
    ended = birth.watch.ended
    return ("it was not waited for", None) if ended is None else (ended.reason, birth.watch.status)
