"""Whom a running host knows of, and that there is nobody else."""

from __future__ import annotations

from tests.host.running import PATIENCE_S, Running


def assert_all_accounted(host: Running, seconds: float = PATIENCE_S) -> None:
    """No process with its mark runs that the host does not know of: nothing has escaped, nothing runs twice."""
    host.wait(lambda: not unaccounted(host), f"no process is unknown: {unaccounted(host)}", seconds)


def unaccounted(host: Running) -> dict[int, str]:
    """Those with its mark that it does not know of, all the while that it was asked."""
    before = host.survivors()
    known = known_pids(host)
    after = host.survivors() if before.keys() - known else {}
    # the init of the namespace is between guardian and host, and known to neither table
    return {
        pid: name
        for pid, name in before.items()
        if pid in after and pid not in known and name not in ("agenthost-init", "ah-init")
    }


def known_pids(host: Running) -> set[int]:
    """Every process that the host accounts for, its guardian among them."""
    rows = host.rows(members=True)
    members = {one["pid"] for row in rows.values() for one in row.get("members", [])}
    return members | {one["pid"] for one in host.ask("ps")} | {host.guardian_pid}
