"""The page of ``agenthost inspect``: facts in a line, processes as a tree, the stack as it was told."""

from __future__ import annotations

from typing import Any

from agenthost.cli.inspecting import page


def process(pid: int, ppid: int, *words: str) -> dict[str, Any]:
    return {"pid": pid, "ppid": ppid, "name": "n", "state": "sleeping", "cpu_s": 1.5, "memory_bytes": 2**20} | {
        "age_s": 2.0,
        "threads": 1,
        "argv": list(words),
    }


SEEN: dict[str, Any] = {
    "path": "/coder",
    "incarnation": "1.7",
    "pid": 11,
    "state": "ready",
    "frozen": False,
    "turn": 3,
    "turn_s": 41.0,
    "silent_s": 0.31,
    "processes": [process(11, 1, "crew.py:Coder"), process(12, 11, "sh", "-c", "make"), process(13, 12)],
    "processes_in_all": 5,
    "stack": 'thread MainThread:\n  File "crew.py", line 1, in handle\n',
    "stack_means": "its own thread",
}


def test_all_that_is_known_is_told() -> None:
    assert list(page(SEEN, with_stack=True)) == [
        "/coder: ready, incarnation 1.7, pid 11, its turn lasts 41 s, heard of 310 ms ago",
        "",
        "processes:",
        "  11 crew.py:Coder (sleeping, cpu 1.5 s, 1.0 MiB)",
        "    12 sh -c make (sleeping, cpu 1.5 s, 1.0 MiB)",
        "      13 n (sleeping, cpu 1.5 s, 1.0 MiB)",
        "  and 2 more",
        "",
        "stack (its own thread):",
        "  thread MainThread:",
        '    File "crew.py", line 1, in handle',
    ]


def test_what_is_not_known_is_left_out() -> None:
    idle = {**SEEN, "frozen": True, "turn": 0, "turn_s": 0.0, "silent_s": None, "processes_in_all": 3}
    lines = list(page(idle, with_stack=False))
    assert lines[0] == "/coder: frozen, incarnation 1.7, pid 11"
    assert lines[-1].strip().startswith("13 n")
