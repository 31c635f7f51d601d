"""What failed in a running host stands in its record, with what was known; and what was decided is decided again."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import pytest

from agenthost.cli.explaining import whole
from agenthost.core import view
from agenthost.core.replay import Replay
from agenthost.core.written import read_beginning, read_event
from agenthost.errors import AgenthostError, HandlerFailed, UnknownName
from agenthost.journal.sqlite.reading import SqliteReader
from agenthost.journal.values import Noted, Snapshot
from tests.host.conftest import Start
from tests.host.running import AGENTS, Running, agent, kill, tree

FRAGILE = Path(__file__).resolve().parent / "remedied.py"
QUICK = {"initial": "1ms", "max": "5ms"}


def fragile(name: str, folder: Path, *rungs: Any, **keys: Any) -> dict[str, Any]:
    args = {"file": str(folder / "attempts")}
    return {"name": name, "agent": f"{FRAGILE}:Fragile", "args": args, "backoff": QUICK, "recovery": [*rungs], **keys}


def records(host: Running, path: str, count: int) -> list[dict[str, Any]]:
    """Newest first, when there are ``count``."""
    host.wait(lambda: len(host.ask("crashes", path=path)) >= count, f"{count} records of {path}")
    found: list[dict[str, Any]] = host.ask("crashes", path=path)
    return found


def with_lines(host: Running, number: int) -> dict[str, Any]:
    """A record, when the last lines have been added."""
    host.wait(lambda: host.ask("crash", number=number)["details"].get("lines"), f"crash {number} has its last lines")
    found: dict[str, Any] = host.ask("crash", number=number)
    return found


def sentences(host: Running, path: str) -> str:
    return "\n".join(whole(host.ask("explain", path=path)))


def a_host(start: Start, folder: Path) -> Running:
    broken = "echo one; echo two; sleep 100 & exit 3"
    return start(
        tree(
            fragile("crashes", folder, {"retry": {"times": 1, "initial": "1ms"}}, "dead_letter"),
            fragile("refuses", folder, {"retry": {"times": 1, "initial": "100s"}}, "dead_letter"),
            fragile("asks", folder, {"ask": "go on?"}, "dead_letter"),
            {"name": "program", "command": ["/bin/sh", "-c", broken], "intensity": 0, "restart": "transient"},
            agent("calm", "Echo", backoff=QUICK),
            agent("doer", "Doer", backoff=QUICK),
            intensity=99,
        )
    )


def test_what_fails_has_one_record_with_all_that_was_known_of_it_and_is_explained(start: Start, tmp_path: Path) -> None:
    host = a_host(start, tmp_path)
    host.client.send("/crashes", {"how": "crash", "times": 9})
    host.client.send("/refuses", {"how": "raise", "times": 9})

    # A crash in a turn: its message and the end of its process are one.
    second, first = records(host, "/crashes", 2)
    assert (first["attempt"], first["remedy"], first["why"]) == (1, "retry", "attempt 1 of 20")
    assert (second["attempt"], second["remedy"]) == (2, "dead_letter")
    assert first["message"] == second["message"] > 0
    assert first["fingerprint"] == second["fingerprint"]
    assert first["fingerprint"].startswith("crash JSONDecodeError at remedied:fail+")
    host.wait(lambda: all(one["ended"] for one in host.ask("crashes", path="/crashes")), "both ends are known")
    found = with_lines(host, first["number"])
    assert found["ended"] == "exit status 1"
    assert found["reason"].startswith("JSONDecodeError: ")
    assert found["details"]["trace"].rstrip().endswith(found["reason"].removeprefix("JSONDecodeError: "))
    assert found["details"]["usage"]["lived_s"] > 0
    assert len(host.ask("crashes", path="/crashes")) == 2

    # A crash in a turn that was called for.
    with pytest.raises(HandlerFailed):
        host.call("/doer", {"do": "crash", "text": "on call"})
    (one,) = records(host, "/doer", 1)
    assert (one["kind"], one["reason"], one["ended"]) == ("crash", "RuntimeError: on call", "exit status 1")
    assert one["fingerprint"] == "crash RuntimeError at agents:Doer.crash+1"

    # An attempt that its process survives.
    (one,) = records(host, "/refuses", 1)
    assert (one["kind"], one["reason"], one["ended"]) == ("error", "no good after 1 tries", "")
    assert one["fingerprint"].startswith("error turn_failed at remedied:fail+")

    # A program: what it printed, and what it left.
    (one,) = records(host, "/program", 1)
    found = with_lines(host, one["number"])
    assert (found["kind"], found["ended"], found["message"]) == ("exit", "exit status 3", 0)
    assert found["details"]["lines"] == ["one", "two"]
    (killed,) = found["details"]["killed"]
    assert killed.split(" ")[0] in ("sleep", "sh"), "it may not have come as far as execve(2)"

    # What somebody wanted is no crash.
    host.ask("kill", path="/calm")
    host.wait_state("/calm", "ready")
    host.ask("restart", path="/calm")
    assert host.ask("crashes", path="/calm") == []
    with pytest.raises(UnknownName, match="cannot show crash 4711"):
        host.ask("crash", number=4711)

    # What happened and what comes, in sentences.
    host.client.send("/asks", {"how": "raise", "times": 1})
    host.wait(lambda: host.ask("asked"), "it asks")
    assert "waits for a person: 'go on?'. Attempt 1 failed at" in sentences(host, "/asks")
    retrying = sentences(host, "/refuses")
    assert "/refuses is an agent; it is ready" in retrying
    assert ": attempt 2 of 20: retry, in " in retrying
    host.wait_state("/program", "gave_up")
    given_up = sentences(host, "/program")
    assert "/program is a program; it is given up" in given_up
    assert "It stays down until somebody starts it: agenthost start /program." in given_up
    host.ask("stop", path="/calm", reason="lunch")
    stopped = sentences(host, "/calm")
    assert "stop, by uid " in stopped and "(lunch)" in stopped
    assert "It was stopped by hand and stays down" in stopped
    assert "There is no /cal, and nothing is known of one.\nDid you mean /calm?" in sentences(host, "/cal")
    host.ask("start", path="/calm")

    # While the journal is down it is kept for it; and the journal's own end is a record.
    (journal,) = host.own_pids("journal")
    pid = host.pid("/calm")
    kill(journal)
    kill(pid)
    (one,) = records(host, "/calm", 1)
    assert one["ended"] == "killed by SIGKILL"
    assert records(host, "/.system/journal", 1)[0]["ended"] == "killed by SIGKILL"


def replayed(database: Path) -> Replay:
    with SqliteReader(database) as reader:
        boot = reader.boots()[-1]
        begun, *rest = reader.core(boot, limit=1000)
        while page := reader.core(boot, rest[-1].number if isinstance(rest[-1], Noted) else 0, 1000):
            rest += page
    assert isinstance(begun, Snapshot)
    again = Replay(*read_beginning(begun.state))
    for one in rest:
        assert isinstance(one, Noted), one
        moved = again.take(read_event(one.event), one.now_s, one.chance, one.effects)
        assert not moved.differs and not moved.unproven
    return again


def as_seen(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("path", "state", "restarts", "reason", "held")
    return [(*(row[name] for name in names), int((row["incarnation"] or ".0").split(".")[1])) for row in rows]


def as_replayed(again: Replay) -> list[tuple[Any, ...]]:
    alive = {path for path, node in again.state.nodes.items() if node.alive}
    return [
        (row.path, row.state, row.restarts, row.reason, row.held, row.n if row.path in alive else 0)
        for row in view.rows(again.state)
    ]


def test_a_chaotic_run_is_decided_again_to_the_very_state_that_the_host_is_in(start: Start) -> None:
    chance = random.Random(7)
    quick = {"initial": "1ms", "max": "20ms"}
    group = [agent(name, "Echo", backoff=quick) for name in "abc"]
    host = start(
        tree(
            {"name": "all", "strategy": "one_for_all", "intensity": 99, "children": group},
            {"name": "rest", "strategy": "rest_for_one", "intensity": 2, "children": group, "backoff": quick},
            {"name": "pool", "pool": {"agent": f"{AGENTS}:Echo", "backoff": quick}, "intensity": 99},
            agent("alone", "Echo", backoff={"initial": "100s"}, intensity=99),
            intensity=99,
        )
    )
    host.wait(lambda: host.host()["journal"] == "well", "the journal is open")
    for name in ("x", "y"):
        host.ask("start", path=f"/pool/{name}")
    for turn in range(12):
        path = chance.choice([path for path, row in host.rows().items() if row["pid"]])
        verb = chance.choice(["KILL", "KILL", "KILL", "stop", "restart", "freeze", "thaw", "kill", "start"])
        if turn == 5:
            kill(host.own_pids("journal")[0])
        if verb == "KILL" and (pid := host.row(path)["pid"]):
            kill(pid)
        elif verb != "KILL":
            with contextlib.suppress(AgenthostError):  # what cannot be done to one in that state
                host.ask(verb, path=path, wait=False)
    host.ask("kill", path="/alone", wait=False)
    database = Path(host.host()["database"])

    def same() -> bool:
        seen = as_seen(host.ask("status")["tree"])
        return as_replayed(replayed(database)) == seen == as_seen(host.ask("status")["tree"])

    host.wait(same, "the replay has come to the state that the host is in")
