"""Tells as JSON what it was born with, then says farewell."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

descriptors = {}
for name in os.listdir("/proc/self/fd"):
    try:
        descriptors[name] = os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:  # the descriptor of the listing
        continue

import speaking  # noqa: E402 - it opens things; the list above must come first

GLIBCS_OWN = 0b11 << 31
"""Signals 32 and 33 belong to glibc; make(1) leaves them ignored, and no program may change that (signal(7))."""

with open("/proc/self/status", encoding="ascii") as file:
    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
ours = os.pidfd_open(os.getpid())
proc = os.environ.get("AGENTHOST_OUTER_PROC_FD")
shown = {}
if proc:
    with open(os.open(f"self/fdinfo/{ours}", os.O_RDONLY, dir_fd=int(proc)), encoding="ascii") as file:
        shown = dict(line.split(":", 1) for line in file)
facts = {
    "descriptors": descriptors,
    "environment": dict(os.environ),
    "pid": os.getpid(),
    "parent": os.getppid(),
    "group": os.getpgid(0),
    "session": os.getsid(0),
    "uid": os.geteuid(),
    "ignored": int(status["SigIgn"], 16) & ~(1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1) | GLIBCS_OWN),
    "blocked": int(status["SigBlk"], 16),
    "init": Path("/proc/1/comm").read_text().strip(),
    "visible": sum(name.isdigit() for name in os.listdir("/proc")),
    "outer_pid": speaking.outer_pid(),
    "outer_pid_of_pidfd": int(shown["Pid"]) if shown else None,
}
speaking.note(json.dumps(facts))
speaking.say("BYE 0")
