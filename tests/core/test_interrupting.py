"""A turn is interrupted, the agent goes on; who does not come back in time is ended; whoever asked is answered once."""

from __future__ import annotations

import pytest

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Reason
from agenthost.core.spec import Shutdown, WorkerSpec
from tests.core.trees import supervisor, worker
from tests.core.world import World, never_ready


def lost(*children: object, paths: str = "/a") -> World:
    """Agents whose turn does not end by itself when it is interrupted."""
    return World(supervisor("root", *children), lost=set(paths.split())).boot()  # type: ignore[arg-type]


def tool(name: str) -> WorkerSpec:
    return worker(name, restart="temporary", of_turn=True)


def records(world: World, name: str) -> list[str]:
    return [record.path for record in world.records if record.name == name]


def ask(world: World, path: str) -> int:
    """An interruption that is not answered yet; its number."""
    before = set(world.answers)
    op = 900 + len(world.records)
    world.tell(on.Command(op, "interrupt", path, "a test"))
    assert set(world.answers) == before
    return op


def test_an_agent_that_comes_back_goes_on_and_whoever_asked_is_told_of_its_turn() -> None:
    world = lost(worker("a"))
    op = ask(world, "/a")
    world.pass_time(4)
    world.turn_ends("/a", "its turn of 41 s")
    answer = world.answers[op]
    assert (answer.error, answer.text) == (None, "its turn of 41 s")
    world.pass_time(100)
    assert world.births("/a") == 1 and world.running() == ["/a"]
    assert records(world, "agent.interrupted") == ["/a"]


def test_where_no_turn_is_in_hand_that_is_said_and_nothing_else_happens() -> None:
    world = World(supervisor("root", worker("a"))).boot()
    answer = world.command("interrupt", "/a")
    assert answer is not None and (answer.error, answer.text) == ("not_running", "no turn is in hand at /a")
    assert not world.timers and not records(world, "agent.interrupted")


def test_who_does_not_come_back_in_time_is_ended_and_started_again() -> None:
    world = lost(worker("a", interrupt_s=2.0))
    op = ask(world, "/a")
    world.pass_time(1.9)
    assert world.births("/a") == 1
    world.pass_time(0.2)
    assert world.births("/a") == 2
    reason = "killed: interrupted by a test, it did not come back within 2 s"
    assert world.answers[op].text == f"its process was ended, {reason}" and world.answers[op].error is None
    exited = next(record for record in world.records if record.name == "agent.exited")
    assert exited.fields["reason"] == reason and exited.fields["kind"] == "interrupted"


def test_a_turn_that_takes_too_long_is_interrupted_and_who_does_not_come_back_is_ended() -> None:
    world = lost(worker("a"))
    world.tell(on.Overrun("/a", 1, 7, "its turn took longer than 60 s"))
    assert records(world, "turn.overran") == ["/a"]
    world.turn_ends("/a")
    world.pass_time(100)
    assert world.births("/a") == 1
    world.tell(on.Overrun("/a", 1, 8, "its turn took longer than 60 s"))
    world.pass_time(5.1)
    exited = next(record for record in world.records if record.name == "agent.exited")
    assert exited.fields["kind"] == "turn_timeout"
    text = "its turn took longer than 60 s, and it did not come back within 5 s"
    assert exited.fields["reason"] == f"killed: {text}"


def test_an_interruption_is_told_of_the_turn_that_took_too_long_and_of_no_other() -> None:
    world = lost(worker("a"))
    effects: list[do.Effect] = []
    carry_out = world._carry_out
    world._carry_out = lambda effect: (effects.append(effect), carry_out(effect))  # type: ignore[method-assign,func-returns-value]
    world.tell(on.Overrun("/a", 1, 7, "too long"))
    [told] = [effect for effect in effects if isinstance(effect, do.Interrupt)]
    assert (told.turn, told.why, told.kind) == (7, "too long", "turn_timeout")


def test_an_interruption_that_is_under_way_is_joined() -> None:
    world = lost(worker("a"))
    first = ask(world, "/a")
    world.pass_time(4)
    second = ask(world, "/a")
    assert world.log.count(("interrupt", "/a")) == 1
    world.turn_ends("/a")
    assert world.answers[first].text == world.answers[second].text == "its turn of 3 s"


def test_the_tools_of_the_turn_are_killed_with_it_and_other_children_are_not() -> None:
    world = lost(worker("a"))
    world.add("/a", "rg", tool("rg"))
    world.add("/a", "server", worker("server", restart="temporary"))
    ask(world, "/a")
    assert world.running() == ["/a", "/a/server"]
    assert ("kill", "/a/rg") in world.log and ("ask", "/a/rg") not in world.log
    ended = next(record for record in world.records if record.name == "agent.ended")
    assert ended.path == "/a/rg" and ended.fields["reason"] == "killed: with its turn: interrupted by a test"


def test_a_supervisor_stands_for_all_agents_below_it_that_have_a_turn_in_hand() -> None:
    crew = supervisor("crew", worker("a"), worker("b"), supervisor("inner", worker("c")))
    world = lost(crew, worker("other"), paths="/crew/a /crew/inner/c /other")
    world.add("/crew/a", "rg", tool("rg"))
    op = ask(world, "/crew")
    told = [path for word, path in world.log if word == "interrupt"]
    assert told == ["/crew/a", "/crew/b", "/crew/inner/c"], "the tool is no agent, and /other is elsewhere"
    world.turn_ends("/crew/a", "its turn of 3 s")
    assert op not in world.answers
    world.turn_ends("/crew/inner/c", "its turn of 9 s")
    assert world.answers[op].text == "/crew/a: its turn of 3 s; /crew/inner/c: its turn of 9 s"


def test_of_very_many_agents_twenty_are_named() -> None:
    names = [f"w{number}" for number in range(25)]
    world = lost(*(worker(name) for name in names), paths=" ".join(f"/{name}" for name in names))
    op = ask(world, "/")
    for name in names:
        world.turn_ends(f"/{name}")
    assert world.answers[op].text.count("its turn of 3 s") == 20
    assert world.answers[op].text.endswith("; and 5 more")


def test_a_frozen_agent_cannot_hear_it_and_that_is_said() -> None:
    world = lost(worker("a"))
    world.command("freeze", "/a")
    answer = world.command("interrupt", "/a")
    assert answer is not None and answer.error == "busy" and "thaw /a first" in answer.text
    answer = world.command("interrupt", "/")
    assert answer is not None and answer.error == "busy"
    world.tell(on.Overrun("/a", 1, 1, "too long"))
    world.pass_time(100)
    assert world.births("/a") == 1


def test_its_time_stands_still_while_it_is_frozen() -> None:
    world = lost(worker("a"))
    op = ask(world, "/a")
    world.pass_time(3)
    world.command("freeze", "/a")
    world.pass_time(1000)
    world.command("thaw", "/a")
    world.pass_time(1.9)
    assert world.births("/a") == 1 and op not in world.answers
    world.pass_time(0.2)
    assert world.births("/a") == 2 and op in world.answers


@pytest.mark.parametrize("verb", ["stop", "kill", "restart"])
def test_who_is_ended_meanwhile_answers_both_commands_once(verb: str) -> None:
    world = lost(worker("a"))
    op = ask(world, "/a")
    answer = world.command(verb, "/a")
    assert answer is not None and answer.error is None
    assert world.answers[op].text.startswith("its process has ended meanwhile: ")
    world.pass_time(100)
    assert world.births("/a") == (1 if verb == "stop" else 2), "the interruption has ended nobody else"


def test_a_stop_that_has_all_the_time_still_ends_who_does_not_come_back() -> None:
    """Who is asked to end finishes the turn in hand, and that was to end in any case."""
    world = World(supervisor("root", worker("a", shutdown=Shutdown(None))), lost={"/a"}, stubborn={"/a"}).boot()
    op = ask(world, "/a")
    assert world.command("stop", "/a") is None
    world.pass_time(6)
    assert world.running() == [] and op in world.answers and world.births("/a") == 1


def test_a_crash_meanwhile_is_a_crash() -> None:
    world = lost(worker("a"))
    op = ask(world, "/a")
    world.crash("/a", Reason("exit", 1))
    assert world.answers[op].text == "its process has ended meanwhile: exit status 1"
    world.pass_time(100)
    assert world.births("/a") == 2


def test_one_that_is_not_ready_has_no_turn() -> None:
    world = World(supervisor("root", worker("a"), worker("b")), behave={"/a": [never_ready]}).boot()
    answer = world.command("interrupt", "/a")
    assert answer is not None and answer.error == "not_running" and "it is starting" in answer.text
    world = World(supervisor("root", worker("a"))).boot()
    world.command("stop", "/a")
    answer = world.command("interrupt", "/a")
    assert answer is not None and answer.error == "not_running" and "it is down" in answer.text


def test_what_an_older_incarnation_says_of_its_turn_is_dropped() -> None:
    world = lost(worker("a"))
    world.crash("/a")
    op = ask(world, "/a")
    world.tell(on.TurnEnded("/a", 1, in_turn=True, text="long ago"))
    assert op not in world.answers
    world.turn_ends("/a")
    assert world.answers[op].text == "its turn of 3 s"


def test_a_tool_of_a_turn_cannot_be_restarted_and_goes_on() -> None:
    world = World(supervisor("root", worker("a"))).boot()
    world.add("/a", "rg-1", tool("rg-1"))
    answer = world.command("restart", "/a/rg-1")
    assert answer is not None and answer.error == "usage" and "only its agent can start it again" in answer.text
    assert world.running() == ["/a", "/a/rg-1"] and world.births("/a/rg-1") == 1
