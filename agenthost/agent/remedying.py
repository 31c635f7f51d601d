"""The remedy of an attempt, applied before its turn: other args, a smaller state, the state of some turns ago.

It holds for this attempt alone. What it does to the state is kept with the commit of the turn, so a turn that fails
again leaves everything as it was before; the args are the usual ones again after the turn. What cannot be applied (no
``compact()``, nothing to go back to) is told to the journal before the turn begins, and the next rung is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agenthost.agent.agent import Agent
from agenthost.agent.attempt import Attempt
from agenthost.agent.authors_code import called
from agenthost.agent.blame import Inapplicable
from agenthost.agent.committing import Until
from agenthost.agent.durable import Durable
from agenthost.agent.stored_state import opened, packed_state
from agenthost.agent.turn import one_line
from agenthost.errors import AgenthostError
from agenthost.launch import modules
from agenthost.protocol import mail
from agenthost.protocol.codec import unpack_body


async def apply(durable: Durable, until: Until, remedy: mail.Remedy, attempt: Attempt) -> None:
    """``attempt`` gets what it should know of it. Raises ``Inapplicable``."""
    parameters = unpack_body(remedy.parameters)
    attempt.rung, attempt.remedy, attempt.parameters = remedy.rung, remedy.word, parameters
    attempt.answer, attempt.answered_by = remedy.answer, remedy.by
    agent = durable.agent
    assert agent is not None
    match remedy.word:
        case "vary" | "fall_back":
            durable.vary(parameters)
        case "compact":
            await _compact(agent, parameters)
        case "roll_back":
            await _roll_back(durable, until, int(parameters["turns"]))
        case "retry" | "ask" | "escalate" | "dead_letter":
            pass
        case name:
            attempt.remedy = _as_written(name, remedy.rung)
            await _authors(durable, agent, name, attempt, parameters)


async def _compact(agent: Agent, parameters: dict[str, Any]) -> None:
    compact = getattr(agent, "compact", None)
    if not callable(compact):
        raise Inapplicable(f"cannot compact: {type(agent).__name__} has no compact()")
    before = packed_state(agent.state)
    copy = unpack_body(before)
    smaller = await _called("compact", compact, copy, **parameters)
    smaller = copy if smaller is None else smaller
    try:
        after = packed_state(smaller)
    except (TypeError, AgenthostError) as error:
        raise Inapplicable(f"cannot compact: {error}") from error
    if type(smaller) is not type(copy):
        what = f"{type(smaller).__name__}, and the state is a {type(copy).__name__}"
        raise Inapplicable(f"cannot compact: compact() returned a {what}")
    if len(after) >= len(before):
        raise Inapplicable(f"cannot compact: {len(before)} bytes would become {len(after)}")
    agent.state = smaller


async def _roll_back(durable: Durable, until: Until, turns: int) -> None:
    agent = durable.agent
    assert agent is not None
    try:
        packed, version = await durable.state_before(until, turns)
    except AgenthostError as error:
        raise Inapplicable(str(error)) from error
    agent.state = opened(agent, packed, version)


async def _authors(durable: Durable, agent: Agent, name: str, attempt: Attempt, parameters: dict[str, Any]) -> None:
    """A rung of the author's own: ``function(agent, attempt, **parameters)``. It may change ``agent.state``; a dict
    that it returns is merged into the args as ``vary`` does; None and True say that it has been applied, False that it
    cannot be."""
    module, _, function_name = name.rpartition(":" if ":" in name else ".")
    shown = attempt.remedy
    try:
        function = getattr(modules.load(module), function_name)
    except Exception as error:  # the author's module may raise anything while it is imported
        raise Inapplicable(f"cannot load {shown}: {one_line(error)}") from error
    found = await _called(shown, function, agent, attempt, **parameters)
    if found is False:
        raise Inapplicable(f"cannot apply {shown}: it says so")
    if isinstance(found, dict):
        durable.vary(found)
    elif found is not None and found is not True:
        what = f"it has returned {type(found).__name__}, and a dict, None, True or False is wanted"
        raise Inapplicable(f"cannot apply {shown}: {what}")


def _as_written(name: str, rung: str) -> str:
    """Its name as the config has it, with which its step begins: the file of a function may be named from the folder of
    the config, and people and models are not told where that is."""
    file, colon, function = name.rpartition(":")
    if not file.endswith(".py"):
        return name
    last = f"{file.rpartition('/')[2]}{colon}{function}"
    at = rung.find(last)
    return last if at < 0 else rung[: at + len(last)]


async def _called(name: str, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
    try:
        found = called(function, *arguments, **keywords)
        return await found if hasattr(found, "__await__") else found
    except Exception as error:  # the author's code; the turn has not begun
        raise Inapplicable(f"cannot apply {name}: {one_line(error)}") from error
