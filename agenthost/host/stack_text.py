"""What py-spy and faulthandler say of the threads of a process, as one text for people: most recent calls last.

Pure. What was written by a process of an author's is not trusted: it is decoded as far as it goes, and bounded.
"""

from __future__ import annotations

import os
import re

import msgspec

from agenthost.host.autopsy import STACK_BYTES
from agenthost.observe.middle import cut_middle

_THREAD = re.compile(r"(Current thread|Thread|Stack)( 0x[0-9a-f]+)?( \[[^\]]*\])?( \(most recent call first\):)?")
_NOT_AUTHORS = ("<", os.path.dirname(os.__file__) + "/", os.path.dirname(os.path.dirname(__file__)) + "/")
_BEFORE = ('  File "<string>"', f'  File "{os.path.dirname(os.path.dirname(__file__))}/launch/')
_CALL = re.compile(r'  File "(.*)", line (\d+|\?\?\?),? in (.*)')


class _Frame(msgspec.Struct):
    name: str
    filename: str
    line: int = 0


class _Thread(msgspec.Struct):
    thread_id: int = 0
    thread_name: str | None = None
    owns_gil: bool = False
    frames: list[_Frame] = []


def from_faulthandler(data: bytes) -> str:
    """The thread that was asked first. Of others it knows no names."""
    first: list[str] = []
    others: list[str] = []
    calls: list[str] = []
    for line in reversed(data.decode("utf-8", "backslashreplace").splitlines()):
        if (found := _CALL.fullmatch(line)) is not None:
            calls.append(f'  File "{found[1]}", line {found[2]}, in {found[3]}')
        elif (found := _THREAD.match(line)) is not None:
            is_asked = found[1] != "Thread"
            name = "thread that was asked, the main one as a rule:" if is_asked else f"thread{found[2]}:"
            (first if is_asked else others).append("\n".join([name, *_from_agent_on(calls)]))
            calls = []
        elif line.strip():
            calls.append(f"  [{line.strip()}]")
    return bounded("\n\n".join([*first, *reversed(others)]))


def from_py_spy(data: bytes) -> str:
    """Its ``dump --json``. ``ValueError`` for what is none."""
    try:
        threads = msgspec.json.decode(data, type=list[_Thread])
    except msgspec.DecodeError as error:
        raise ValueError(f"py-spy has said no JSON that is known: {error}") from None
    if not any(thread.frames for thread in threads):
        raise ValueError("py-spy has found no Python calls")
    parts = []
    for thread in sorted(threads, key=lambda one: one.thread_name != "MainThread"):
        holds = ", holds the interpreter" if thread.owns_gil else ""
        calls = [f'  File "{one.filename}", line {one.line}, in {one.name}' for one in reversed(thread.frames)]
        parts.append("\n".join([f"thread {thread.thread_name or 'without a name'}{holds}:", *_from_agent_on(calls)]))
    return bounded("\n\n".join(parts))


def _from_agent_on(calls: list[str]) -> list[str]:
    """Without what leads from the zygote to the agent: the same in all of them."""
    begin = 0
    while begin < len(calls) and calls[begin].startswith(_BEFORE):
        begin += 1
    return calls[begin:]


def bounded(text: str) -> str:
    """At most ``STACK_BYTES``; of what is longer the middle is left out, and that is said."""
    return cut_middle(text.strip("\n"), STACK_BYTES)


def where(stack: str) -> str:
    """The innermost call in the author's code, of the first thread or task that has one: "crew.py:12, Coder.handle";
    "" if none has."""
    for part in stack.split("\n\n"):
        calls = [call for line in part.splitlines() if (call := _CALL.fullmatch(line)) is not None]
        for call in reversed(calls):
            if not call[1].startswith(_NOT_AUTHORS) and "-packages/" not in call[1]:
                return f"{call[1].rpartition('/')[2]}:{call[2]}, {call[3]}"
    return ""
