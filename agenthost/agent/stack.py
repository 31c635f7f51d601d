"""Where all threads of this process stand, and its async tasks, as text: asked from within, while the interpreter runs.

Whoever holds the interpreter in C code cannot be asked; the host then looks from outside (``host.stack_dump``). No
values of variables are told, for they may be secrets. The rule it keeps: nothing of it waits for the author's code, and
all of it is bounded, whatever that has started.
"""

from __future__ import annotations

import linecache
import sys
import threading
from types import CodeType, FrameType
from typing import Any

from agenthost.observe.middle import cut_middle

MOST_BYTES = 56 * 1024
"""Of the text as UTF-8; a packet of the birth socket takes 64 KiB."""
MOST_THREADS, MOST_TASKS = 64, 100
OUTER_FRAMES, INNER_FRAMES = 8, 40
"""Of a deeper stack the outermost and the innermost are told."""
DEEPEST = 1000
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
        _collect_loop(begin, loops)
        if len(parts) < MOST_THREADS:
            thread = known.get(ident)
            name = thread.name if thread is not None else "not started by threading"
            parts.append("\n".join([f"thread {name}:", *_thread_lines(begin)]))
    if len(frames) > MOST_THREADS:
        parts.append(f"{len(frames) - MOST_THREADS} more threads")
    for loop in loops:
        parts.extend(_tasks_of(loop))
    return cut_middle("\n\n".join(parts) + "\n", MOST_BYTES)


def _without_ours(frame: FrameType | None) -> FrameType | None:
    """Of the thread that tells it: from whoever was interrupted by the question."""
    while frame is not None and frame.f_globals.get("__name__") in _OURS:
        frame = frame.f_back
    return frame


def _thread_lines(frame: FrameType | None) -> list[str]:
    found: list[tuple[CodeType, int, dict[str, Any]]] = []
    while frame is not None:
        found.append((frame.f_code, frame.f_lineno or 0, frame.f_globals))
        frame = frame.f_back
    while found and _is_before(*found[-1]):
        found.pop()
    found.reverse()
    return _lines(found)


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


def _collect_loop(frame: FrameType | None, loops: list[Any]) -> None:
    """The event loop that runs in this stack, whoever has started it."""
    asyncio = sys.modules.get("asyncio")
    while asyncio is not None and frame is not None:
        if frame.f_code.co_name == "run_forever":
            loop = frame.f_locals.get("self")
            if isinstance(loop, asyncio.AbstractEventLoop) and loop not in loops:
                loops.append(loop)
        frame = frame.f_back


def _tasks_of(loop: Any) -> list[str]:
    asyncio: Any = sys.modules["asyncio"]
    try:
        tasks = sorted(asyncio.all_tasks(loop), key=lambda task: str(task.get_name()))
        now = asyncio.current_task(loop)
    except RuntimeError as error:  # the set of them changed all the time while it was read
        return [f"its tasks are not known: {error}"]
    parts = []
    for task in tasks[:MOST_TASKS]:
        if task is now:
            parts.append(f"task {task.get_name()}: runs now, in the thread of its loop")
            continue
        parts.append("\n".join([f"task {task.get_name()}:", *_chain(task.get_coro())]))
    if len(tasks) > MOST_TASKS:
        parts.append(f"{len(tasks) - MOST_TASKS} more tasks")
    return parts


def _chain(coroutine: Any) -> list[str]:
    """From a task's coroutine along what each one awaits. ``Task.get_stack`` has only the first of them."""
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
