"""``chat`` on terminals: what is said is seen by all who are there, as it grows; leaving stops nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.typing_user import Screen, agenthost, screen
from tests.host.conftest import Start
from tests.host.running import Running, kill, tree
from tests.host.test_mail import journal_pid

AGENTS = """
import time
from pathlib import Path
from agenthost import Agent, Refuse

class Talker(Agent):
    def handle(self, message, ctx):
        with ctx.stream("answer") as out:
            out.write(f"hearing {message.body}, ")
            while message.body.startswith("wait") and not Path(__file__).with_name(message.body.split()[1]).exists():
                time.sleep(0.03)
                out.write(".")
            out.write(f" understood {message.body}\\x1b[31m.")
        if message.body == "no":
            raise Refuse("not today")
"""
ENTER, DETACH, INTERRUPT, NEW_LINE = b"\r", b"\x04", b"\x03", b"\n"


@pytest.fixture
def host(start: Start, places: Path) -> Running:
    file = places / "talkers.py"
    file.write_text(AGENTS)
    return start(tree({"name": "a", "agent": f"{file}:Talker", "mail": {"initial": "10ms", "max": "50ms"}}))


@pytest.fixture
def ana() -> Iterator[Screen]:
    with ExitStack() as stack:
        yield stack.enter_context(screen("chat", "/a", "--name", "ana"))


def test_two_see_each_other_and_who_comes_back_sees_it_again(host: Running, ana: Screen) -> None:
    ana.wait_for("/help says more")
    with screen("chat", "/a", "--name", "bob") as bob:
        bob.wait_for("/help says more")
        ana.wait_for("bob has come")
        ana.press(b"one" + NEW_LINE + b"two" + ENTER)
        for shown in (ana, bob):
            shown.wait_for("understood one")
        bob.press(b"/who" + ENTER)
        bob.wait_for("here: ana, bob")
        bob.press(b"/take" + ENTER)
        ana.wait_for("only bob may write")
        ana.press(b"and I" + ENTER)
        ana.wait_for("bob has the writing seat; /take it")
        bob.press(DETACH)
        assert bob.wait_end() == 0 and "the agent goes on" in bob.plain
    ana.wait_for("bob has left\r\nanyone may write")
    ana.press(b"\x15no" + ENTER)
    ana.wait_for("not done: not today; see: agenthost dead-letters show")
    assert "\x1b[31m." not in ana.text
    ana.press(b"\x15/detach" + ENTER)
    assert ana.wait_end() == 0
    assert [line.split()[2] for line in agenthost("tail", "/a").lines if line[:6].strip()] == ["message", "answer"] * 2
    with screen("chat", "/a") as again:
        again.wait_for("understood one")


@pytest.mark.slow
def test_an_interrupted_answer_is_broken_off_and_not_tried_again(host: Running, ana: Screen, places: Path) -> None:
    ana.wait_for("/help says more")
    ana.press(b"wait never" + ENTER)
    ana.wait_for("hearing wait never")
    ana.press(INTERRUPT)
    ana.wait_for("broken off, attempt 1")
    ana.wait_for("interrupted")
    ana.press(b"next" + ENTER)
    ana.wait_for("understood next")
    assert ana.plain.count("broken off") == 1 and host.row("/a")["mailbox"] == 0


@pytest.mark.slow
def test_it_goes_on_after_the_journal_and_the_host_were_killed(host: Running, ana: Screen, places: Path) -> None:
    ana.wait_for("/help says more")
    for number, victim in enumerate(("journal", "host")):
        ana.press(b"wait %d" % number + ENTER)
        ana.wait_for(f"hearing wait {number}")
        if victim == "journal":
            kill(journal_pid(host))
        else:
            kill(host.own_pids("host")[0])
            host.hang_up()
        ana.wait_for("cut off")
        (places / str(number)).touch()
        ana.wait_for(f"understood wait {number}")
    host.wait_ready()
    ana.press(DETACH)
    assert ana.wait_end() == 0


def test_without_a_terminal_it_is_refused(host: Running) -> None:
    done = agenthost("chat", "/a")
    assert done.status == 2 and "without a terminal" in done.err


def test_an_unknown_name_is_said_at_once(host: Running) -> None:
    with screen("chat", "/nobody") as shown:
        assert shown.wait_end() == 4
    assert "there is no" in shown.plain and "/nobody" in shown.plain
