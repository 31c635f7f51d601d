"""The verbs of a scenario, done to the core. An action returns how to read its answer once all is settled."""

from __future__ import annotations

from collections.abc import Callable

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Reason
from tests.conformance.scenario import Action, Branch, Leaf, parent_of
from tests.conformance.stage import Stage, behaviour, running, running_node, spec_of
from tests.core.world import CRASH, NORMAL

Answered = Callable[[], str]

QUIT = Reason("shutdown")

ANSWERS = {
    ("start", None, "it is running already"): "running",
    ("start", None, "ready"): "ok",
    ("start", None, "nothing to do"): "ignored",
    ("start", "start_failed", ""): "failed",
    ("start", "unknown_name", ""): "not_found",
    ("stop", None, ""): "ok",
    ("stop", "unknown_name", ""): "not_found",
    ("restart", None, "ready"): "ok",
    ("restart", None, "nothing to do"): "ignored",
    ("restart", "start_failed", ""): "failed",
    ("restart", "unknown_name", ""): "not_found",
    ("add", None, "ready"): "ok",
    ("add", None, "nothing to do"): "ignored",
    ("add", "busy", "running"): "running",
    ("add", "busy", "there already"): "already_present",
    ("add", "start_failed", ""): "failed",
    ("add", "bad_config", ""): "refused",
    ("delete", None, ""): "ok",
    ("delete", "busy", "running"): "running",
    ("delete", "unknown_name", ""): "not_found",
    ("kill", None, ""): "done",
    ("kill", "not_running", ""): "nobody",
    ("kill", "unknown_name", ""): "nobody",
}
"""(command, error, part of the text if it matters): what Erlang's ``supervisor`` answers. The first that fits."""


def _leave(reason: Reason) -> Callable[[Stage, Action], Answered]:
    def act(stage: Stage, action: Action) -> Answered:
        process = running(stage, action.path)
        if process is None:
            return lambda: "nobody"
        stage.end(process, reason)
        return lambda: "done"

    return act


def _both(stage: Stage, action: Action) -> Answered:
    first, second = running(stage, action.path), running(stage, str(action.other))
    if first is None or second is None or first is second:
        return lambda: "nobody"
    stage.together(first, second)
    return lambda: "done"


def _command(verb: str, *, unknown: str = "") -> Callable[[Stage, Action], Answered]:
    """``unknown`` is what Erlang's side says of a path that is not there, if that is not its supervisor's answer."""

    def act(stage: Stage, action: Action) -> Answered:
        parent = stage.state.nodes.get(parent_of(action.path))
        answered = len(stage.answers)
        if unknown and running_node(stage, action.path) is None:
            return lambda: unknown
        ask(stage, verb, action)
        if verb != "kill" and (parent is None or not parent.alive):
            # Erlang's call finds no process to ask; ours is answered, but nothing is up that could act on it.
            return lambda: "noproc"
        return lambda: _mapped(verb, [*stage.answers.values()][answered:])

    return act


def ask(stage: Stage, verb: str, action: Action) -> None:
    path, other = action.path, action.other
    match verb:
        case "add":
            spec = spec_of(other, otp_strict=stage.otp_strict) if isinstance(other, Leaf | Branch) else None
            stage.tell(on.Add(next(stage._ops), parent_of(path), path.rpartition("/")[2], spec, "a test"))
        case "delete":
            stage.tell(on.Delete(next(stage._ops), path, "a test"))
        case _:
            stage.command(verb, path)


def _mapped(verb: str, answers: list[do.Answer]) -> str:
    if not answers:
        return "nothing"
    [answer] = answers
    for (of, error, text), word in ANSWERS.items():
        if of == verb and error == answer.error and text in answer.text:
            return word
    return f"unmapped {answer}"


def _next(stage: Stage, action: Action) -> Answered:
    assert isinstance(action.other, tuple)
    stage.behave[action.path] = [behaviour(one) for one in action.other]
    return lambda: "done"


def _wait(stage: Stage, action: Action) -> Answered:
    assert isinstance(action.other, int)
    stage.pass_time(action.other / 1000)
    return lambda: "done"


ACTIONS: dict[str, Callable[[Stage, Action], Answered]] = {
    "crash": _leave(CRASH),
    "end": _leave(NORMAL),
    "quit": _leave(QUIT),
    "quit_with_term": _leave(QUIT),
    "both": _both,
    "kill": _command("kill"),
    "stop": _command("stop"),
    "start": _command("start"),
    "cycle": _command("restart"),
    "add": _command("add"),
    "add_member": _command("add"),
    "stop_member": _command("stop", unknown="nobody"),
    "delete": _command("delete"),
    "next": _next,
    "wait": _wait,
}
