"""``sessions`` and ``tail``: what is remembered, looked at, moved and removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.typing_user import agenthost, screen
from tests.host.conftest import Start
from tests.host.running import Running, kill, tree
from tests.host.test_mail import journal_pid

AGENTS = """
from agenthost import Agent

class Keeper(Agent):
    def handle(self, message, ctx):
        self.state.setdefault("got", []).append(message.body)
        ctx.emit("note", text=f"got {message.body}")
        if message.body == "mark":
            ctx.checkpoint("marked")
        return len(self.state["got"])
"""


@pytest.fixture
def host(start: Start, places: Path) -> Running:
    file = places / "keepers.py"
    file.write_text(AGENTS)
    return start(tree({"name": "a", "agent": f"{file}:Keeper"}, {"name": "chats", "pool": {"agent": f"{file}:Keeper"}}))


def test_sessions_are_listed_shown_moved_and_removed(host: Running, tmp_path: Path) -> None:
    for body in ("one", "mark", "\x1b[31mred"):
        host.call("/a", body)
    (row,) = agenthost("sessions", "ls", "-o", "json").data
    assert (row["path"], row["last_seq"]) == ("/a", 3)
    shown = agenthost("sessions", "show", "a").out
    assert "/a: 3 entries" in shown and "checkpoint marked" in shown and "\x1b" not in shown
    data = agenthost("sessions", "show", "/a", "-o", "json").data
    assert data["state"] == {"got": ["one", "mark", "\x1b[31mred"]} and [one["seq"] for one in data["log"]] == [1, 2, 3]

    refused = agenthost("sessions", "rollback", "/a", "marked")
    assert (refused.status, "it runs; with --stop" in refused.err) == (75, True)
    assert agenthost("sessions", "rollback", "/a", "marked", "--stop").status == 0
    assert agenthost("call", "/a", '"four"').data == 3  # "one", "mark" and this

    assert agenthost("sessions", "fork", "/a", "/chats/copy").status == 0
    exported = agenthost("sessions", "export", "/chats/copy").out
    assert {json.loads(line)["kind"] for line in exported.splitlines()} == {"session", "state", "logged"}
    file = tmp_path / "copy.jsonl"
    file.write_text(exported)
    assert agenthost("sessions", "import", "/chats/moved", str(file)).out == "4 entries in /chats/moved\n"
    assert agenthost("sessions", "import", "/chats/moved", str(file)).status == 2  # there is one now
    agenthost("start", "/chats/moved")
    assert host.call("/chats/moved", "five") == 4

    assert agenthost("sessions", "ls", "-o", "name").lines == ["/a", "/chats/copy", "/chats/moved"]
    first = agenthost("sessions", "ls", "-n", "1", "-o", "name")
    assert first.lines == ["/a"] and "--after /a" in first.err
    assert agenthost("sessions", "ls", "--after", "/a", "-n", "1", "-o", "name").lines == ["/chats/copy"]
    assert agenthost("sessions", "ls", "/chats", "-o", "name").lines == ["/chats/copy", "/chats/moved"]

    assert agenthost("sessions", "rm", "/chats/moved").status == 75
    assert agenthost("sessions", "rm", "/chats/moved", "--stop").status == 0
    assert "removed" in agenthost("sessions", "show", "/chats/moved").out
    unseen = agenthost("tail", "/chats/moved")
    assert unseen.status == 4 and "its session was removed; see: agenthost sessions revive" in unseen.err
    late = agenthost("send", "/chats/moved", '"late"')
    assert late.status == 4 and "removed" in late.err
    assert agenthost("sessions", "revive", "/chats/moved").status == 0
    agenthost("start", "/chats/moved")
    assert agenthost("call", "/chats/moved", '"anew"').data == 1


def test_what_is_not_there_or_has_no_owner_is_refused(host: Running, tmp_path: Path) -> None:
    host.call("/a", 1)
    host.call("/a", 2)
    whole, before = agenthost("sessions", "export", "/a").out.encode(), host.row("/a")["incarnation"]
    for words, status, why in (
        (["show", "/b"], 4, "there is none"),
        (["rm", "/b"], 4, "there is none"),
        (["revive", "/a"], 4, "was not removed"),
        (["rollback", "/a", "x", "--stop"], 4, "no such checkpoint"),
        (["fork", "/a", "/nobody/x"], 4, "no agent is there"),
        (["fork", "/nobody", "/chats/x"], 4, "no such session"),
        (["import", "/chats/x", "/dev/null"], 2, "no session in it"),
        (["rollback", "/", "x", "--stop"], 4, "there is none"),
        (["import", "/", "-", "--stop"], 2, "it is a supervisor"),
        (["import", "/chats", "-", "--stop"], 2, "it is a supervisor"),
        (["import", "/a", "-", "--stop"], 2, "there is a session of this name"),
    ):
        done = agenthost("sessions", *words, stdin=whole)
        assert (done.status, done.out) == (status, "") and why in done.err, done
    assert host.row("/a")["incarnation"] == before
    lines = whole.splitlines(keepends=True)
    for torn in (whole[:-9], b"".join(lines[:-1]), b"".join(lines[1:]), whole + lines[-1], lines[0] + lines[2]):
        done = agenthost("sessions", "import", "/chats/x", "-", stdin=torn)
        assert (done.status, len(done.err.splitlines())) == (2, 1), done
    assert agenthost("sessions", "ls", "-o", "name").lines == ["/a"]


@pytest.mark.slow
def test_a_session_longer_than_a_message_is_moved_whole(host: Running, tmp_path: Path) -> None:
    big = "x" * 9_000_000
    host.call("/a", big)
    host.call("/a", "end")
    file = tmp_path / "a.jsonl"
    file.write_text(agenthost("sessions", "export", "/a").out)
    assert agenthost("sessions", "import", "/chats/b", str(file)).out == "2 entries in /chats/b\n"
    data = agenthost("sessions", "show", "/chats/b", "-o", "json").data
    assert data["state"] == {"got": [big, "end"]}
    assert data["log"][0]["body"]["text"] == f"got {big}"


def test_tail_shows_the_last_entries_or_those_from_a_number_on(host: Running) -> None:
    for number in range(1, 6):
        host.call("/a", number)
    seen = [json.loads(line) for line in agenthost("tail", "/a", "-o", "json", "--from", "2").lines]
    assert [(one["seq"], one["fields"]["text"]) for one in seen] == [(n, f"got {n}") for n in (2, 3, 4, 5)]
    assert [line.split()[0] for line in agenthost("tail", "a", "-n", "2").lines] == ["4", "5"]
    assert agenthost("tail", "/nobody").status == 4


@pytest.mark.slow
def test_tail_follows_over_the_death_of_the_journal(host: Running) -> None:
    with screen("tail", "-f", "/a") as shown:
        host.call("/a", "before")
        shown.wait_for("got before")
        kill(journal_pid(host))
        host.wait(lambda: host.call("/a", "after"), "the agent answers")
        shown.wait_for("got after")
        assert shown.plain.count("got before") == 1
        shown.press(b"\x03")
        assert shown.wait_end() == 130
