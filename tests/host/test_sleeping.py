"""Sleep with real processes: whatever happens at whatever moment, who calls sees milliseconds, and nothing is lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import AgenthostError, Down, NotRunning, UnknownName
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, kill, tree
from tests.host.test_mail_kills import TICK, Rampage, link

SLEEPERS = Path(__file__).resolve().parent / "sleepers.py"
QUICK = {"initial": "10ms", "max": "50ms", "attempts": 1000}
AFTER = "100ms"
"""Long enough that one that was called does not sleep before the test has looked."""


def sleeper(name: str, kind: str = "Sleeper", hibernate_after: str | None = AFTER, **keys: Any) -> dict[str, Any]:
    found = {"name": name, "agent": f"{SLEEPERS}:{kind}", "mail": QUICK, "backoff": {"initial": "1ms", "max": "5ms"}}
    return {**found, **({"hibernate_after": hibernate_after} if hibernate_after else {}), **keys}


def chats(kind: str = "Sleeper", live: int | None = None, hibernate_after: str | None = AFTER, **keys: Any) -> Any:
    member = sleeper("", kind, hibernate_after, **keys)
    del member["name"]
    return {"name": "chats", "pool": member, **({"live": live} if live else {})}


def counts(host: Running, path: str) -> dict[str, int]:
    return dict(host.call(path, {"do": "state"}).get("got", {}))


def wait_asleep(host: Running, path: str) -> None:
    host.wait(lambda: path not in (rows := host.rows()) or rows[path]["state"] == "asleep", f"{path} is asleep")


class Calling(threading.Thread):
    """A call on a connection of its own."""

    def __init__(self, host: Running, path: str, body: Any) -> None:
        super().__init__(daemon=True)
        self._host, self._path, self._body = host, path, body
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            with self._host.new_client(patience_s=PATIENCE_S) as client:
                self.outcome = client.call(self._path, self._body, PATIENCE_S)
        except AgenthostError as error:
            self.outcome = error

    def result(self) -> Any:
        self.join(PATIENCE_S + 5)
        assert not self.is_alive(), "the call has not come back"
        return self.outcome


class Asking(threading.Thread):
    """An operation that may have to wait for something that the test does later."""

    def __init__(self, host: Running, op: str) -> None:
        super().__init__(daemon=True)
        self._host, self._op = host, op
        self.start()

    def run(self) -> None:
        with self._host.new_client() as client:
            client.request(self._op, {}, PATIENCE_S)


# ---- what anybody sees


@pytest.mark.parametrize("kind", ["Sleeper", pytest.param("AsyncSleeper", marks=pytest.mark.slow)])
def test_it_sleeps_keeps_its_state_and_comes_back_for_a_call_and_for_mail(start: Start, kind: str) -> None:
    host = start(tree(sleeper("a", kind)))
    assert host.call("/a", 1) == 0
    before = host.row("/a")["incarnation"]
    wait_asleep(host, "/a")
    row = host.row("/a")
    assert (row["pid"], row["restarts"], row["mailbox"]) == (None, 0, 0)
    assert host.call("/a", 1) == 1
    assert host.row("/a")["incarnation"] != before
    wait_asleep(host, "/a")
    host.client.send("/a", "by mail")
    host.wait(lambda: counts(host, "/a").get("by mail") == 1, "the mail has woken it")
    wait_asleep(host, "/a")
    state = host.call("/a", {"do": "state"})
    assert state["got"] == {"1": 2, "by mail": 1}
    assert state["stops"] >= 3
    assert host.row("/a")["restarts"] == 0
    assert {record["name"] for record in host.events("agent.", "/a")} >= {"agent.asleep", "agent.waking"}
    assert not host.events("agent.restarting")


@pytest.mark.slow
def test_members_of_a_pool_are_made_when_they_are_wanted_and_leave_nothing_when_they_sleep(start: Start) -> None:
    host = start(tree(chats()))
    assert host.call("/chats/ana", 1) == 0
    host.client.send("/chats/bob", 1)
    assert host.call("/chats/bob", 2) == 0
    assert set(host.rows()) >= {"/chats/ana", "/chats/bob"}
    host.wait(lambda: set(host.rows()) == {"/", "/chats"}, "all members sleep")
    host.wait(lambda: host.row("/chats")["asleep"] == 2, "two of them are known to sleep")
    assert counts(host, "/chats/ana") == {"1": 1}
    assert counts(host, "/chats/bob") == {"1": 1, "2": 1}
    for name in ("/chats/.x", "/chats/a/b", "/nobody/x"):
        with pytest.raises(AgenthostError) as refused:
            host.call(name, 1)
        assert isinstance(refused.value, UnknownName | NotRunning)
        with pytest.raises(UnknownName):
            host.client.send(name, 1)


@pytest.mark.slow
def test_the_live_ones_are_bounded_and_all_get_their_turn(start: Start) -> None:
    host = start(tree(chats(live=3, hibernate_after=None)))
    names = [f"/chats/m{number}" for number in range(12)]
    calls = [Calling(host, name, 1) for name in names]
    most = host.wait(lambda: len(host.rows()) - 2, "some run")
    while any(call.is_alive() for call in calls):
        most = max(most, len(host.rows()) - 2)
    assert [call.result() for call in calls] == [0] * 12
    assert 0 < most <= 3
    row = host.row("/chats")
    assert (row["live"], row["live_limit"]) == (3, 3)
    host.wait(lambda: host.row("/chats")["asleep"] == 9, "the others sleep")


@pytest.mark.slow
def test_one_agent_calls_others_that_sleep(start: Start) -> None:
    host = start(tree(sleeper("a"), sleeper("b", "AsyncSleeper"), chats(live=2)))
    for path in ("/a", "/b"):
        assert host.call(path, {"do": "many", "path": "/chats/x", "numbers": [path]}) == [0]
        wait_asleep(host, "/chats/x")
        assert host.call(path, {"do": "many", "path": "/chats/x", "numbers": [path]}) == [1]
    assert counts(host, "/chats/x") == {"/a": 2, "/b": 2}


@pytest.mark.slow
def test_while_it_has_a_child_it_does_not_sleep(start: Start) -> None:
    host = start(tree(sleeper("a", hibernate_after="20ms")))
    assert host.call("/a", {"do": "sub", "number": 1}) == 0
    pid = host.pid("/a")
    began = time.monotonic()
    host.wait(lambda: time.monotonic() - began > 0.5, "it could have slept by now")
    assert host.pid("/a") == pid
    host.ask("stop", path="/a/sub")
    wait_asleep(host, "/a")


@pytest.mark.slow
def test_a_monitor_hears_nothing_of_sleep_and_all_of_an_end(start: Start, tmp_path: Path) -> None:
    host = start(tree(sleeper("a"), sleeper("w", hibernate_after=None), sleeper("v", hibernate_after=None)))
    files = [tmp_path / "one", tmp_path / "two"]
    watching = [
        Calling(host, path, {"do": "monitor", "path": "/a", "file": str(file)})
        for path, file in zip(("/w", "/v"), files, strict=True)
    ]
    host.wait(lambda: all(file.exists() for file in files), "they monitor")
    for _ in range(2):
        wait_asleep(host, "/a")
        host.call("/a", 1)
    assert all(one.is_alive() for one in watching)
    kill(host.pid("/a"))
    assert watching[0].result() == [True, "killed by SIGKILL", False]
    assert watching[1].result() == [True, "killed by SIGKILL", False]


@pytest.mark.slow
def test_a_monitor_hears_when_what_sleeps_is_stopped(start: Start, tmp_path: Path) -> None:
    host = start(tree(sleeper("a"), sleeper("w", hibernate_after=None)))
    watching = Calling(host, "/w", {"do": "monitor", "path": "/a", "file": str(tmp_path / "there")})
    host.wait(lambda: (tmp_path / "there").exists(), "it monitors")
    wait_asleep(host, "/a")
    host.ask("stop", path="/a")
    assert watching.result() == [True, "it was stopped while it was asleep", True]


@pytest.mark.slow
def test_what_was_stopped_is_not_woken(start: Start) -> None:
    host = start(tree(sleeper("a")))
    wait_asleep(host, "/a")
    host.ask("stop", path="/a")
    with pytest.raises(NotRunning):
        host.call("/a", 1)
    host.client.send("/a", 2)
    assert host.state("/a") == "down"
    host.ask("start", path="/a")
    host.wait(lambda: counts(host, "/a") == {"2": 1}, "it has got its mail")


@pytest.mark.slow
def test_mail_that_waits_when_the_host_begins_wakes_members(start: Start) -> None:
    host = start(tree(chats()))
    host.ask("stop", path="/chats")
    for number in range(20):
        host.client.send(f"/chats/m{number}", 1)
    kill(host.own_pids("host")[0])
    host.hang_up()
    host.wait_ready()
    for number in range(20):
        host.wait(lambda number=number: counts(host, f"/chats/m{number}") == {"1": 1}, f"m{number} has its mail")  # type: ignore[misc]


@pytest.mark.slow
def test_a_member_whose_session_was_removed_is_not_made_again_before_it_is_revived(start: Start) -> None:
    host = start(tree(chats(), sleeper("b", hibernate_after=None)))
    assert host.call("/chats/ana", 1) == 0
    wait_asleep(host, "/chats/ana")
    host.ask("remove", path="/chats/ana")
    with pytest.raises(UnknownName, match="was removed"):
        host.call("/chats/ana", 1)
    with pytest.raises(UnknownName):
        host.client.send("/chats/ana", 1)
    with pytest.raises(UnknownName):
        host.call("/b", {"do": "many", "path": "/chats/ana", "numbers": [1]})
    assert set(host.rows()) == {"/", "/chats", "/b"}
    host.ask("revive", path="/chats/ana")
    assert host.call("/chats/ana", 1) == 0


@pytest.mark.slow
def test_a_reload_changes_how_long_it_may_idle(start: Start) -> None:
    host = start(tree(sleeper("a", hibernate_after="1h"), sleeper("b", hibernate_after=None)))
    pids = {path: host.pid(path) for path in ("/a", "/b")}
    text = host.config.read_text()
    assert '"hibernate_after": "1h"' in text
    text = text.replace('"hibernate_after": "1h"', '"hibernate_after": "50ms"')
    host.config.write_text(text.replace('"name": "b", ', '"name": "b", "hibernate_after": "50ms", '))
    host.ask("reload")
    for path in pids:
        wait_asleep(host, path)
    host.config.write_text(text)
    host.ask("reload")
    host.wait_state("/b", "ready")


# ---- every moment


MOMENTS = ("falling", "asleep", "waking", "up")


@contextmanager
def held(host: Running, folder: Path, path: str, moment: str) -> Iterator[Callable[[], None]]:
    """The agent at ``path``, whose folder that is, stands still at ``moment``. Gives what lets it go on."""
    holds = {"falling": folder / "hold-stop", "waking": folder / "hold-start"}
    first: list[Calling] = []

    def let_go() -> None:
        for file in holds.values():
            file.unlink(missing_ok=True)

    try:
        if moment == "up":
            host.call(path, "first")
        elif moment == "asleep":
            wait_asleep(host, path)
        elif moment == "falling":
            holds["falling"].touch()
            (folder / "stopping").unlink(missing_ok=True)
            host.wait(lambda: (folder / "stopping").exists(), "it falls asleep")
        else:
            wait_asleep(host, path)
            holds["waking"].touch()
            (folder / "starting").unlink(missing_ok=True)
            first.append(Calling(host, path, "first"))
            host.wait(lambda: (folder / "starting").exists(), "it wakes")
        yield let_go
        for one in first:
            outcome = one.result()
            assert isinstance(outcome, int | NotRunning), outcome
    finally:
        let_go()


def agent_pid(host: Running, path: str) -> int | None:
    row = host.rows().get(path)
    return row["pid"] if row is not None else None


def happen(host: Running, what: str, path: str) -> None:
    match what:
        case "kill":
            if (pid := agent_pid(host, path)) is not None:
                kill(pid)
        case "freeze":
            if agent_pid(host, path) is not None and host.state(path) in ("starting", "ready"):
                host.ask("freeze", path=path)
                host.ask("thaw", path=path)
        case "reload":
            text = host.config.read_text()
            host.config.write_text(text.replace('"mail"', '"env": {"NEW": "1"}, "mail"'))
            Asking(host, "reload")
        case "router" | "journal":
            kill(host.own_pids(what)[0])
        case "nothing":
            return


HAPPENINGS = ("nothing", "kill", "freeze", "reload", "router", "journal")


@pytest.mark.slow
@pytest.mark.parametrize("member", [False, True], ids=["worker", "member"])
@pytest.mark.parametrize(
    ("moment", "what"),
    [(moment, what) for moment in MOMENTS for what in HAPPENINGS],
)
def test_calls_and_mail_at_any_moment_are_had_once_whatever_happens(
    start: Start, tmp_path: Path, moment: str, what: str, member: bool
) -> None:
    args = {"folder": str(tmp_path)}
    host = start(tree(chats(args=args) if member else sleeper("a", args=args), intensity=1000))
    path = "/chats/a" if member else "/a"
    host.call(path, "begin")
    with held(host, tmp_path, path, moment) as let_go:
        calls = [Calling(host, path, f"call {number}") for number in range(3)]
        host.client.send(path, "mail", PATIENCE_S, key="mail")
        happen(host, what, path)
        calls += [Calling(host, path, f"late {number}") for number in range(3)]
        let_go()
        outcomes = [call.result() for call in calls]
    # Who is up is ended as anybody else, and that may be seen; a reload restarts who has been woken meanwhile, too.
    is_seen = (what == "kill" and moment == "up") or (what == "reload" and moment != "falling")
    fine = [outcome == 0 or (is_seen and isinstance(outcome, Down | NotRunning)) for outcome in outcomes]
    assert all(fine), outcomes

    def settled() -> dict[str, int] | None:
        try:
            found = counts(host, path)
        except AgenthostError:
            return None
        return found if "mail" in found else None

    found = host.wait(settled, "the mail was handled")
    if not is_seen:
        wanted = {"begin", "mail", *(f"{word} {number}" for word in ("call", "late") for number in range(3))}
        assert set(found) - {"first"} == wanted
    assert set(found.values()) == {1}, found


# ---- by chance


@pytest.mark.parametrize("kind", ["Sleeper", pytest.param("AsyncSleeper", marks=pytest.mark.slow)])
def test_calls_race_with_falling_asleep_and_none_is_lost_doubled_or_refused(start: Start, kind: str) -> None:
    race(start(tree(sleeper("a", kind, "3ms"), sleeper("b", "Sleeper", "4ms"))), ["/a"], rounds=30, callers=3)


@pytest.mark.slow
def test_calls_race_with_a_crowded_pool(start: Start) -> None:
    paths = [f"/chats/m{number}" for number in range(7)]
    race(start(tree(chats(live=3, hibernate_after="5ms"), sleeper("b", "Sleeper", "4ms"))), paths, rounds=80, callers=4)


@pytest.mark.slow
@pytest.mark.timeout(400)  # a journal that is killed again and again comes back ever later
def test_calls_race_while_router_and_journal_are_killed(start: Start) -> None:
    host = start(tree(sleeper("a", "Sleeper", "3ms"), sleeper("b", "AsyncSleeper", "4ms")))
    race(host, ["/a"], rounds=150, callers=3, kills=6)


def race(host: Running, paths: list[str], *, rounds: int, callers: int, kills: int = 0) -> None:
    """Callers, and one agent, call at times that are spread around the moments of falling asleep and waking; mail comes
    between. Every call is answered and was had once, every message was."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    faults: list[str] = []
    sent: dict[str, set[str]] = {path: set() for path in paths}
    lock = threading.Lock()

    def caller(number: int) -> None:
        chance = random.Random(seed + number)
        with host.new_client(patience_s=PATIENCE_S) as client:  # a router that is killed often comes back late
            for turn in range(rounds):
                path, body = chance.choice(paths), f"{number}.{turn}"
                try:
                    if chance.random() < 0.25:
                        client.send(path, body, PATIENCE_S)
                    elif chance.random() < 0.2:
                        found = client.call("/b", {"do": "many", "path": path, "numbers": [body]}, PATIENCE_S)
                        if found != [0]:
                            faults.append(f"{body} by /b: {found}")
                    elif (again := client.call(path, body, PATIENCE_S)) != 0:
                        faults.append(f"{body} was had {again} times before")
                except AgenthostError as error:
                    faults.append(f"{body} to {path}: {type(error).__name__}: {error}")
                with lock:
                    sent[path].add(body)
                time.sleep(chance.uniform(0, 0.012))  # no wait for a fact: when the next one comes

    threads = [threading.Thread(target=caller, args=(number,), daemon=True) for number in range(callers)]
    for thread in threads:
        thread.start()
    chance = random.Random(seed)
    for _ in range(kills):
        before = len(set().union(*sent.values()))
        host.wait(
            lambda before=before: len(set().union(*sent.values())) > before + 5 or not any(map(alive, threads)),  # type: ignore[misc]
            "they go on",
        )
        whom = chance.choice(("router", "journal"))
        pids = host.wait(lambda whom=whom: host.own_pids(whom), f"there is a {whom}")  # type: ignore[misc]
        kill(pids[0])
    for thread in threads:
        thread.join(2 * PATIENCE_S)
        assert not thread.is_alive()
    assert faults == [], f"seed {seed}: {faults[:5]}"
    for path in paths:
        if sent[path]:
            host.wait(lambda path=path: len(counts(host, path)) >= len(sent[path]), f"{path} has all")  # type: ignore[misc]
            assert counts(host, path) == dict.fromkeys(sorted(sent[path]), 1), f"seed {seed}"
    slept = len(host.events("agent.asleep"))
    print(f"slept {slept} times")
    assert slept > rounds / 10


def alive(thread: threading.Thread) -> bool:
    return thread.is_alive()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_of_anybody_while_all_sleep_now_and_then_lose_double_and_reorder_nothing(places: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    children = (
        link("a", "Link", {"next": "/b", "later": "/d"}),
        link("b", "AsyncLink", {"next": "/c"}),
        link("c", "Link", {}),
        link("d", "Latecomer", {}, cron=TICK),
    )
    drowsy = [{**child, "hibernate_after": "2ms"} for child in children]
    host = Running(places, tree(*drowsy, intensity=1_000_000, period="1s"))
    one = Rampage(host, seed)
    try:
        host.start().wait_ready()
        one.run(50, (8, 8, 8, 8, 8, 1, 1, 4, 4))
        one.finish()
        assert {where: wrong for where, wrong in one.faults().items() if wrong} == {}
        assert host.ask("letters") == []
        host.assert_no_bug_of_ours()
    except BaseException:
        print(f"--- seed {seed}; the host has printed:\n{host.output()[-6000:]}")
        raise
    finally:
        one.sender.kill()
        one.reader.kill()
        host.end()
