"""What operators see of the host itself: its processes, its walls."""

from __future__ import annotations

from typing import Any

from agenthost.containment import precedence
from agenthost.containment.cell import Containment
from agenthost.host.guard import Guard
from agenthost.host.status import Status
from agenthost.host.system import System
from agenthost.launch.zygotes import Zygotes


def own_processes(status: Status, system: System, launcher: Zygotes, host: dict[str, Any]) -> list[dict[str, Any]]:
    """One map a process, pids as seen outside; ``host`` is what the host says of itself."""
    found = [{"path": "/.system/host", "pid": host["pid"], "what": "host", "since": host["since"]}]
    for one in system.processes():
        pid = status.outer_pid(one.pidfd) or one.pid
        found.append({"path": one.path, "pid": pid, "what": one.path.rsplit("/", 1)[1], "since": one.since})
    for zygote in launcher.status():
        modules = ", ".join(zygote.release.modules) if zygote.release else "programs"
        found.append(
            {
                "path": "/.system/zygote",
                "pid": status.seen_outside(zygote.pid),
                "what": f"zygote of {modules}",
                "since": zygote.since_s,
                "born": zygote.born,
                "digest": zygote.digest,
            }
        )
    return found


def walls(guard: Guard, containment: Containment) -> list[dict[str, Any]]:
    """What holds what, and what does not and why: maps with ``subject``, ``ok``, ``text``."""
    around = (
        "the host has a PID namespace of its own: nothing below it outlives it"
        if guard.namespace
        else f"the host has no PID namespace: {guard.refused or 'it was not asked for one'}"
    )
    cells = [{"subject": f"cells ({containment.tier})", "ok": True, "text": text} for text in containment.explain()]
    refused = precedence.refusal() or ("" if containment.tier == "cgroup" else precedence.kept_apart())
    way = f"they slow the others down: {refused}" if refused else "who computes all the time gives way to the others"
    return [
        {"subject": "namespace", "ok": guard.namespace, "text": around},
        *cells,
        {"subject": "busy agents", "ok": not refused, "text": way},
    ]
