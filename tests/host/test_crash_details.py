"""Details of a crash fit into a record, whatever was found; what is left out is said."""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.host.autopsy import (
    LONGEST_REASON,
    LONGEST_WORD,
    MOST_PROCESSES,
    MOST_WORDS,
    PROCESSES_BYTES,
    STACK_BYTES,
    Process,
)
from agenthost.host.crash_details import MOST_BYTES, packed
from agenthost.host.process_tree import bounded
from agenthost.host.recording import LINE_CHARS, LINES, TRACE_CHARS
from agenthost.journal import ops
from agenthost.journal.limits import CRASH_BYTES, too_large
from agenthost.observe.middle import cut_middle

FACE = "\N{GRINNING FACE}"


def process(words: list[str]) -> Process:
    return Process(
        pid=2**22, ppid=2**22, name="\ufffd" * 15, state="in the kernel", cpu_s=1e9 + 0.01, memory_bytes=2**50,
        age_s=1e9 + 0.01, threads=2**20, argv=words,
    )  # fmt: skip


def crowd() -> list[Process]:
    return [process([FACE * LONGEST_WORD] * MOST_WORDS + ["... 9 more"]) for _ in range(MOST_PROCESSES)]


def largest() -> dict[str, Any]:
    """Everything at its bound, in characters of four bytes."""
    killed = [f"{FACE * 15} (pid {2**22})"] * MOST_PROCESSES
    autopsy = {
        "stack": cut_middle(FACE * STACK_BYTES, STACK_BYTES),
        "reason": FACE * LONGEST_REASON,
        "processes": bounded(crowd()),
        "killed": killed,
    }
    return {"autopsy": autopsy, "trace": FACE * TRACE_CHARS, "lines": [FACE * LINE_CHARS] * LINES, "killed": killed}


def unpacked(details: dict[str, Any]) -> Any:
    data = packed(details)
    assert len(data) <= MOST_BYTES < CRASH_BYTES
    assert too_large(ops.Crash("/a", (1, 1), "silent", ended="x", details=data)) is None
    return msgspec.msgpack.decode(data)


def test_the_words_of_a_crowd_are_bounded_and_where_they_are_left_out_is_said() -> None:
    shown = bounded(crowd())
    assert len(msgspec.msgpack.encode(shown)) <= PROCESSES_BYTES
    assert len(shown) == MOST_PROCESSES
    assert shown[0]["argv"][0] == FACE * LONGEST_WORD and shown[-1]["argv"] == ["\ufffd" * 15, "... left out"]
    assert bounded([process(["sleep", "1000"])])[0]["argv"] == ["sleep", "1000"]


def test_with_everything_at_its_bound_words_go_first_and_then_lines_and_that_is_said() -> None:
    found = unpacked(largest())
    assert found["left_out"][0] == "words of command lines"
    assert len(found["autopsy"]["processes"]) == MOST_PROCESSES and found["autopsy"]["processes"][0]["argv"] == []
    assert found["trace"] and found["autopsy"]["stack"]
    assert ("lines" in found) == ("last lines" not in found["left_out"])


def test_what_is_beyond_every_bound_is_a_record_all_the_same() -> None:
    huge = FACE * 100_000
    found = unpacked({"autopsy": {"stack": huge, "processes": crowd()}, "trace": huge, "lines": [huge]})
    assert found["left_out"][:3] == ["words of command lines", "last lines", "the middle of the stack"]
    assert "left out ...]" in found["autopsy"]["stack"]
    assert unpacked({"killed": [huge]})["left_out"] == ["all the rest: it is too large"]


def test_what_fits_is_left_alone_and_nothing_is_nothing() -> None:
    assert unpacked({"trace": "x", "lines": [], "killed": ["a"]}) == {"trace": "x", "killed": ["a"]}
    assert packed({"lines": []}) == b""
