"""DOWN exactly once, whatever dies and whatever is lost; and groups, whose names go with their incarnations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, kill, tree
from tests.host.sharing import put_back
from tests.host.test_scopes import FAMILIES, family

TARGET = "/target"


@pytest.fixture
def host(share: Start) -> Iterator[Running]:
    """/p, which begins without a past in each test, and what is monitored."""
    target = {"name": "target", "agent": f"{FAMILIES}:Worker", "backoff": "none"}
    program = {"name": "program", "command": ["/bin/sleep", "1000"], "backoff": "none"}
    host = share(tree(family("p", "Parent", backoff="none"), target, program, intensity=1000))
    yield host
    put_back(host)
    host.ask("kill", path="/p")


def monitored(host: Running, path: str = TARGET) -> str:
    """The incarnation that is there."""
    incarnation = str(host.call("/p", {"do": "monitor_path", "path": path}))
    assert incarnation == host.row(path)["incarnation"]
    return incarnation


def wait_downs(host: Running, count: int) -> list[Any]:
    """What ``on_down`` has got."""
    return list(
        host.wait(
            lambda: found if len(found := host.call("/p", {"do": "downs"})) >= count else None,
            f"{count} turns of on_down",
        )
    )


def assert_no_more_than(host: Running, count: int) -> None:
    """A repetition would be there soon: the host says Down again after a quarter of a second until it is seen."""
    other = host.call("/p", {"do": "monitor_path", "path": "/p"})  # answered after all that was said before
    assert other == host.row("/p")["incarnation"]
    assert host.call("/p", {"do": "wait_down", "path": "/p", "timeout": 0.6}) is None  # itself: a wait, no sleep
    assert len(host.call("/p", {"do": "downs"})) == count


def test_kill_9_of_the_target_is_told_once_with_the_reason(host: Running) -> None:
    incarnation = monitored(host)
    kill(host.pid(TARGET))
    [down] = wait_downs(host, 1)
    assert down[:2] == [TARGET, incarnation] and "SIGKILL" in down[2] and down[3] is False
    host.wait_state(TARGET, "ready")  # the next incarnation is monitored by nobody
    kill(host.pid(TARGET))
    host.wait(lambda: host.row(TARGET)["incarnation"] not in (None, incarnation), "another one")
    assert_no_more_than(host, 1)


def test_who_waits_for_the_end_has_it_and_on_down_does_not(host: Running) -> None:
    incarnation = monitored(host)
    outcome: list[Any] = []
    file = host.folder / "waiting"

    def call() -> None:
        with host.new_client() as client:
            outcome.append(client.call("/p", {"do": "wait_down", "path": TARGET, "file": str(file)}, PATIENCE_S))

    caller = threading.Thread(target=call)
    caller.start()
    host.wait(file.exists, "its turn has begun")
    kill(host.pid(TARGET))
    caller.join()
    assert outcome[0][:2] == [TARGET, incarnation] and "SIGKILL" in outcome[0][2]
    assert_no_more_than(host, 0)


def test_an_end_that_was_asked_for_is_told_as_well(host: Running) -> None:
    incarnation = monitored(host)
    host.ask("stop", path=TARGET)
    [down] = wait_downs(host, 1)
    assert down[:2] == [TARGET, incarnation] and down[3] is True


def test_a_program_is_monitored_like_an_agent(host: Running) -> None:
    incarnation = monitored(host, "/program")
    kill(host.pid("/program"))
    [down] = wait_downs(host, 1)
    assert down[:2] == ["/program", incarnation] and "SIGKILL" in down[2]
    assert_no_more_than(host, 1)


def test_the_death_of_the_router_in_between_loses_and_repeats_nothing(host: Running) -> None:
    incarnation = monitored(host)
    target, [router] = host.pid(TARGET), host.own_pids("router")
    kill(router)
    kill(target)
    host.hang_up()
    host.wait(lambda: host.host().get("state") == "ready", "the host answers again")
    [down] = wait_downs(host, 1)
    assert down[:2] == [TARGET, incarnation]
    [router] = host.own_pids("router")
    kill(router)
    host.hang_up()
    host.wait(lambda: host.host().get("state") == "ready", "the host answers again")
    assert_no_more_than(host, 1)


def test_what_does_not_run_is_down_at_once(host: Running) -> None:
    assert host.call("/p", {"do": "monitor_path", "path": "/nobody"}) == ""
    path, incarnation, reason, well = host.call("/p", {"do": "wait_down", "path": "/nobody"})
    assert (path, incarnation, well) == ("/nobody", "", False)
    assert reason.startswith("not running: ")


def test_a_monitor_that_is_cancelled_says_nothing(host: Running) -> None:
    monitored(host)
    host.call("/p", {"do": "forget", "path": TARGET})
    kill(host.pid(TARGET))
    host.wait_event("agent.exited", TARGET)
    assert_no_more_than(host, 0)


# ---- groups


def crew(start: Start) -> Running:
    members = [family(f"m{number}", "Member", group="crew", restart="temporary") for number in (1, 2, 3)]
    return start(tree(family("p", "Parent"), *members))


def test_a_message_to_a_group_reaches_all_of_it(share: Start) -> None:
    host = crew(share)
    before = {path: host.call(path, "count") for path in ("/m1", "/m2", "/m3")}
    assert host.call("/p", {"do": "group_members", "group": "crew"}) == ["/m1", "/m2", "/m3"]
    assert host.call("/p", {"do": "group_send_all", "group": "crew", "body": "hello"}) == 3
    for path, count in before.items():
        host.wait(lambda p=path, n=count: host.call(p, "count") == n + 1, f"{path} has got it")  # type: ignore[misc]
    assert host.call("/p", {"do": "group_send_all", "group": "nobody", "body": "hello"}) == 0


def test_a_call_to_a_group_goes_round_and_passes_by_who_is_busy(share: Start) -> None:
    host = crew(share)
    body = {"do": "group_call", "group": "crew", "body": "work"}
    assert {host.call("/p", body) for _ in range(3)} == {"/m1", "/m2", "/m3"}
    wake = host.folder / "wake"
    host.client.send("/m2", {"do": "sleep_until", "file": str(wake)}, durable=False)
    host.wait(lambda: "busy" in str(host.row("/m2")), "the host has heard a beat of /m2")
    before = [host.call(path, "count") for path in ("/m1", "/m3")]
    assert {host.call("/p", body) for _ in range(10)} == {"/m1", "/m3"}
    assert [host.call(path, "count") for path in ("/m1", "/m3")] == [one + 5 for one in before]
    wake.touch()


def test_names_disappear_with_their_incarnation(start: Start) -> None:
    host = crew(start)
    kill(host.pid("/m2"))
    host.wait(lambda: host.call("/p", {"do": "group_members", "group": "crew"}) == ["/m1", "/m3"], "/m2 has left")
    for path in ("/m1", "/m3"):
        host.ask("stop", path=path)
    assert host.call("/p", {"do": "group_members", "group": "crew"}) == []
    outcome = host.call("/p", {"do": "group_call", "group": "crew", "body": "work"})
    assert outcome["code"] == "not_running" and "crew" in outcome["error"]


def test_a_group_call_whose_outcome_is_unknown_is_not_repeated(start: Start) -> None:
    host = crew(start)
    outcome = host.call("/p", {"do": "group_call", "group": "crew", "body": {"do": "kill_oneself"}})
    assert outcome["code"] == "down" and "SIGKILL" in outcome["error"], outcome
    host.wait(lambda: len(host.call("/p", {"do": "group_members", "group": "crew"})) == 2, "one has gone")
    assert sum(row["state"] == "ready" for path, row in host.rows().items() if path.startswith("/m")) == 2
