"""DOWN exactly once, whatever dies and whatever is lost; and groups, whose names go with their incarnations."""

from __future__ import annotations

import threading
from typing import Any

from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, kill, tree
from tests.host.test_scopes import FAMILIES, family

TARGET = "/target"


def monitored(start: Start, **target: Any) -> tuple[Running, str]:
    one = target or {"agent": f"{FAMILIES}:Worker"}
    host = start(tree(family("p", "Parent"), {"name": "target", **one}, intensity=1000))
    incarnation = host.call("/p", {"do": "monitor_path", "path": TARGET})
    assert incarnation == host.row(TARGET)["incarnation"]
    return host, incarnation


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
    for _ in range(3):
        assert host.call("/p", {"do": "wait_down", "path": "/p", "timeout": 0.4}) is None  # itself: a wait, no sleep
        assert len(host.call("/p", {"do": "downs"})) == count


def test_kill_9_of_the_target_is_told_once_with_the_reason(start: Start) -> None:
    host, incarnation = monitored(start)
    kill(host.pid(TARGET))
    [down] = wait_downs(host, 1)
    assert down[:2] == [TARGET, incarnation] and "SIGKILL" in down[2] and down[3] is False
    host.wait_state(TARGET, "ready")  # the next incarnation is monitored by nobody
    kill(host.pid(TARGET))
    host.wait(lambda: host.row(TARGET)["incarnation"] not in (None, incarnation), "another one")
    assert_no_more_than(host, 1)


def test_who_waits_for_the_end_has_it_and_on_down_does_not(start: Start) -> None:
    host, incarnation = monitored(start)
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


def test_an_end_that_was_asked_for_is_told_as_well(start: Start) -> None:
    host, incarnation = monitored(start)
    host.ask("stop", path=TARGET)
    [down] = wait_downs(host, 1)
    assert down[:2] == [TARGET, incarnation] and down[3] is True


def test_a_program_is_monitored_like_an_agent(start: Start) -> None:
    host, incarnation = monitored(start, command=["/bin/sleep", "1000"])
    kill(host.pid(TARGET))
    [down] = wait_downs(host, 1)
    assert down[:2] == [TARGET, incarnation] and "SIGKILL" in down[2]
    assert_no_more_than(host, 1)


def test_the_death_of_the_router_in_between_loses_and_repeats_nothing(start: Start) -> None:
    host, incarnation = monitored(start)
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


def test_what_does_not_run_is_down_at_once(start: Start) -> None:
    host = start(tree(family("p", "Parent")))
    assert host.call("/p", {"do": "monitor_path", "path": "/nobody"}) == ""
    path, incarnation, reason, well = host.call("/p", {"do": "wait_down", "path": "/nobody"})
    assert (path, incarnation, well) == ("/nobody", "", False)
    assert reason.startswith("not running: ")


def test_a_monitor_that_is_cancelled_says_nothing(start: Start) -> None:
    host, _ = monitored(start)
    host.call("/p", {"do": "forget", "path": TARGET})
    kill(host.pid(TARGET))
    host.wait_event("agent.exited", TARGET)
    assert_no_more_than(host, 0)


# ---- groups


def crew(start: Start) -> Running:
    members = [family(f"m{number}", "Member", group="crew", restart="temporary") for number in (1, 2, 3)]
    return start(tree(family("p", "Parent"), *members))


def test_a_message_to_a_group_reaches_all_of_it(start: Start) -> None:
    host = crew(start)
    assert host.call("/p", {"do": "group_members", "group": "crew"}) == ["/m1", "/m2", "/m3"]
    assert host.call("/p", {"do": "group_send_all", "group": "crew", "body": "hello"}) == 3
    for path in ("/m1", "/m2", "/m3"):
        host.wait(lambda p=path: host.call(p, "count") == 1, f"{path} has got it")  # type: ignore[misc]
    assert host.call("/p", {"do": "group_send_all", "group": "nobody", "body": "hello"}) == 0


def test_a_call_to_a_group_goes_round_and_passes_by_who_is_busy(start: Start) -> None:
    host = crew(start)
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
