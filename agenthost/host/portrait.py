"""What operators see of the host itself: its processes, its walls."""

from __future__ import annotations

from typing import Any

from agenthost.containment import precedence
from agenthost.containment.cell import Containment
from agenthost.containment.means import sentences
from agenthost.containment.sweep import Stray
from agenthost.host.guard import Guard
from agenthost.host.journaling import Journaling
from agenthost.host.status import Status
from agenthost.host.system import System
from agenthost.launch.zygotes import Zygotes


def own_processes(status: Status, system: System, launcher: Zygotes, host: dict[str, Any]) -> list[dict[str, Any]]:
    """One map a process, pids as seen outside; ``host`` is what the host says of itself."""
    found = [{"path": "/.system/host", "pid": host["pid"], "what": "host", "since": host["since"]}]
    for one in system.processes():
        pid = status.outer_pid(one.pidfd) or one.pid
        found.append({"path": one.path, "pid": pid, "what": one.path.split("/")[2], "since": one.since})
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
    had = containment.means
    refused = precedence.refusal() or ("" if containment.has_cpu_groups else precedence.kept_apart())
    way = f"they slow the others down: {refused}" if refused else "who computes all the time gives way to the others"
    return [
        {"subject": "namespace", "ok": guard.namespace, "text": around},
        *cells,
        {"subject": "limits", "ok": all(mean.whole for mean in had.values()), "text": "; ".join(sentences(had))},
        {"subject": "busy agents", "ok": not refused, "text": way},
        {"subject": "priority", "ok": guard.lifted > 0, "text": _priority(guard.lifted)},
    ]


def _priority(lifted: int) -> str:
    if lifted:
        return f"guardian, host, router, logger and journal have a nice value {lifted} below that of agents"
    return (
        "the host has the nice value of its agents: only root, or a unit with LimitNICE= (RLIMIT_NICE), has a lower one"
    )


def journal(journaling: Journaling) -> dict[str, Any]:
    """As one of ``walls``."""
    text = journaling.trouble or "durable mail and state survive the end of any process"
    return {"subject": "journal", "ok": not journaling.trouble, "text": text}


def strays(reported: list[Stray]) -> list[dict[str, Any]]:
    """Those of an earlier life that were found at start, were not ended, and are there still."""
    return [
        {"found": one.found, "what": one.what, "path": one.path, "incarnation": one.incarnation, "text": one.text}
        for one in reported
        if one.is_there()
    ]


def of_strays(reported: list[Stray]) -> list[dict[str, Any]]:
    """As ``walls``; nothing where there are none."""
    return [
        {
            "subject": "stray",
            "ok": False,
            "text": f"{one['text']}: of an earlier life of this host, still there; end it",
        }
        for one in strays(reported)
    ]
