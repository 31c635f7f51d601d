"""Where all threads of this process stand, and its async tasks, as text: asked from within, while the interpreter runs.

Whoever holds the interpreter in C code cannot be asked; the host then looks from outside (``host.stack_dump``). No
values of variables are told, for they may be secrets. The rule it keeps: nothing of it waits for the author's code, and
all of it is bounded, whatever that has started. Objects of the author's may be anything, and what is wrong with one
costs only its own lines.
"""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from agenthost.observe.middle import cut_middle

MOST_BYTES = 56 * 1024
"""Of the text as UTF-8; a packet of the birth socket takes 64 KiB."""
MOST_THREADS, MOST_TASKS = 64, 100
OUTER_FRAMES, INNER_FRAMES = 8, 40
"""Of a deeper stack the outermost and the innermost are told."""
DEEPEST = 10_000
"""Calls that are gone through, from the innermost on."""
LONGEST_LINE = 160
_OURS = frozenset({__name__, "agenthost.agent.sentry"})


def all_stacks() -> str:
    """The main thread first, then the others, then the tasks of each event loop; most recent calls last."""
    me = threading.get_ident()
    known = {thread.ident: thread for thread in threading.enumerate()}
    main = threading.main_thread().ident
    frames = sys._current_frames()
    parts: list[str] = []
    loops: list[Any] = []
    for ident, frame in sorted(frames.items(), key=lambda one: one[0] != main):
        if ident == me and ident != main:
            continue  # the sentry, which is telling this
        begin = _without_ours(frame) if ident == me else frame
        told = _lines_or_why_not(lambda frame: _collect_loop(frame, loops), begin)
        if len(parts) < MOST_THREADS:
            name = _name_of(known[ident]) if ident in known else "not started by threading"
            parts.append("\n".join([f"thread {name}:", *_lines_or_why_not(_thread_lines, begin), *told]))
    if len(frames) > MOST_THREADS:
        parts.append(f"{len(frames) - MOST_THREADS} more threads")
    for loop in loops:
        try:
            parts.extend(_tasks_of(loop))
        except Exception as error:  # it may be a loop of the author's, which raises anything
            parts.append(f"its tasks are not known: {type(error).__name__}")
    return cut_middle("\n\n".join(parts) + "\n", MOST_BYTES)


def _lines_or_why_not(lines_of: Callable[[Any], list[str]], what: Any) -> list[str]:
    try:
        return lines_of(what)
    except Exception as error:  # its code, or its loader, may be the author's, which raises anything
        return [f"  [it cannot be told: {type(error).__name__}]"]


def _without_ours(frame: FrameType | None) -> FrameType | None:
    """Of the thread that tells it: from whoever was interrupted by the question."""
    while frame is not None and frame.f_globals.get("__name__") in _OURS:
        frame = frame.f_back
    return frame


def _thread_lines(frame: FrameType | None) -> list[str]:
    found: list[tuple[CodeType, int, dict[str, Any]]] = []
    while frame is not None and len(found) < DEEPEST:
        found.append((frame.f_code, frame.f_lineno or 0, frame.f_globals))
        frame = frame.f_back
    above = ["  [... more calls, which were not gone through ...]"] if frame is not None else []
    while found and _is_before(*found[-1]):
        found.pop()
    found.reverse()
    return above + _lines(found)


def _is_before(code: CodeType, line: int, variables: dict[str, Any]) -> bool:
    """What leads from the zygote to the agent: the same in all of them."""
    return code.co_filename == "<string>" or str(variables.get("__name__", "")).startswith("agenthost.launch.")


def _lines(frames: list[tuple[CodeType, int, dict[str, Any]]]) -> list[str]:
    """Outermost first, as in a traceback."""
    lines: list[str] = []
    left_out = len(frames) - OUTER_FRAMES - INNER_FRAMES
    same = 0
    for place, (code, line, variables) in enumerate(frames):
        if left_out > 0 and OUTER_FRAMES <= place < OUTER_FRAMES + left_out:
            if place == OUTER_FRAMES:
                lines.append(f"  [... {left_out} calls left out ...]")
            continue
        same = same + 1 if place and frames[place - 1][:2] == (code, line) else 0
        if same:
            if place + 1 == len(frames) or frames[place + 1][:2] != (code, line):
                lines.append(f"  [... the same call {same} more times ...]")
            continue
        name = getattr(code, "co_qualname", code.co_name)
        lines.append(f'  File "{code.co_filename}", line {line}, in {name}'[: 2 * LONGEST_LINE])
        if source := linecache.getline(code.co_filename, line, variables).strip():
            lines.append(f"    {source[:LONGEST_LINE]}")
    return lines


# ---- async tasks


def _collect_loop(frame: FrameType | None, loops: list[Any]) -> list[str]:
    """The event loop that runs in this stack, whoever has started it. No lines come of it."""
    asyncio = sys.modules.get("asyncio")
    deep = 0
    while asyncio is not None and frame is not None and deep < DEEPEST:
        if frame.f_code.co_name == "run_forever":
            loop = frame.f_locals.get("self")
            if isinstance(loop, asyncio.AbstractEventLoop) and not any(loop is one for one in loops):
                loops.append(loop)
        frame = frame.f_back
        deep += 1
    return []


def _tasks_of(loop: Any) -> list[str]:
    asyncio: Any = sys.modules["asyncio"]
    try:
        tasks = sorted(asyncio.all_tasks(loop), key=_name_of)
        now = asyncio.current_task(loop)
    except RuntimeError as error:  # the set of them changed all the time while it was read
        return [f"its tasks are not known: {error}"]
    parts = []
    for task in tasks[:MOST_TASKS]:
        if task is now:
            parts.append(f"task {_name_of(task)}: runs now, in the thread of its loop")
            continue
        parts.append("\n".join([f"task {_name_of(task)}:", *_lines_or_why_not(_task_lines, task)]))
    if len(tasks) > MOST_TASKS:
        parts.append(f"{len(tasks) - MOST_TASKS} more tasks")
    return parts


def _name_of(one: Any) -> str:
    """Of a thread or a task."""
    try:
        return str(one.name if isinstance(one, threading.Thread) else one.get_name())[:LONGEST_LINE]
    except Exception:  # its class may be the author's
        return "whose name cannot be told"


def _task_lines(task: Any) -> list[str]:
    """From its coroutine along what each one awaits. ``Task.get_stack`` has only the first of them."""
    coroutine: Any = task.get_coro()
    frames: list[tuple[CodeType, int, dict[str, Any]]] = []
    while coroutine is not None and len(frames) < DEEPEST:
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(coroutine, f"{kind}_frame")), None)
        if kind is None:
            break  # a future: what it waits for
        frame = getattr(coroutine, f"{kind}_frame")
        if frame is not None:
            frames.append((frame.f_code, frame.f_lineno or 0, frame.f_globals))
        coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
    return _lines(frames)
