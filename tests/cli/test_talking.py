"""call and send."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.typing_user import agenthost, screen
from tests.host.conftest import Start
from tests.host.running import Running, tree
from tests.host.sharing import put_back


@pytest.fixture
def host(share: Start, agents: str) -> Iterator[Running]:
    host = share(
        tree(
            {"name": "echo", "agent": f"{agents}:Echo"},
            {"name": "crasher", "agent": f"{agents}:Crasher"},
            {"name": "shell", "command": ["sleep", "1000"]},
        )
    )
    yield host
    put_back(host)


def test_a_reply_is_text_as_it_is_or_json(host: Running) -> None:
    assert agenthost("call", "echo", "--text", "hello\nyou").out == "hello\nyou\n"
    assert agenthost("call", "/echo", '{"a": [1, null]}').data == {"a": [1, None]}
    assert agenthost("call", "echo", '"x"', "-o", "json").out == '"x"\n'
    assert agenthost("call", "echo").out == "null\n"
    assert agenthost("call", "echo", "-", stdin=b"[1]").data == [1]
    assert agenthost("call", "echo", "-t", "-", stdin="käse\n".encode()).out == "käse\n\n"


def test_a_large_message_goes_there_and_back(host: Running) -> None:
    text = b'"' + b"x" * 5_000_000 + b'"'
    assert len(agenthost("call", "echo", "-", stdin=text).out) == 5_000_001


def test_a_reply_cannot_act_on_a_terminal_and_is_whole_in_a_pipe(host: Running) -> None:
    assert agenthost("call", "echo", '"\\u001b[31mred"').out == "\x1b[31mred\n"
    with screen("call", "echo", '"\\u001b[31mred"') as shown:
        assert shown.wait_end() == 0
    assert shown.text == "\\x1b[31mred\r\n"


def test_what_cannot_be_shown_in_the_locale_is_an_escape(host: Running) -> None:
    done = agenthost("call", "echo", '"\\u00e9"', env={"PYTHONIOENCODING": "ascii"})
    assert (done.status, done.out) == (0, "\\xe9\n")


def test_bytes_that_are_no_text_are_refused(host: Running) -> None:
    for words, stdin in ((["call", "echo", "-t", b"\xff"], None), (["call", "echo", "-"], b'"\xff"')):
        done = agenthost(*words, stdin=stdin)
        assert (done.status, done.err) == (2, "agenthost: cannot send the message: it is not UTF-8 text\n")


def test_an_error_of_an_agent_is_one_line_that_cannot_act(host: Running) -> None:
    done = agenthost("call", "crasher", '"no \\u001b[2J\\nway"')
    assert done.status == 1 and done.out == ""
    assert "\x1b" not in done.err and "it raised ValueError: no \\x1b[2J" in done.err


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (["call", "ehco"], 4, "there is no /ehco; did you mean /echo?"),
        (["send", "ehco"], 4, "there is no /ehco; did you mean /echo?"),
        (["call", "/"], 2, "/ is a supervisor and takes no messages"),
        (["call", "shell"], 2, "/shell is a program and takes no messages"),
        (["call", "echo", "{"], 2, "cannot read the message as JSON"),
    ],
)
def test_what_cannot_be_called_says_why(host: Running, words: list[str], status: int, error: str) -> None:
    done = agenthost(*words)
    assert error in done.err and done.err.startswith("agenthost: ")
    if words[-1] in ("/", "shell"):
        assert done.status in (2, 3), done
    else:
        assert done.status == status


def test_words_that_can_name_or_carry_nothing_are_refused_in_one_line(host: Running) -> None:
    cases: list[tuple[list[str | bytes], int, str]] = [
        (["call", "echo", "[" * 5000], 2, "cannot read the message as JSON: it is nested too deep"),
        (["send", "echo", "1" + "0" * 30], 2, "cannot send body of type int"),
        (["send", "echo", '"\\ud800"'], 2, "cannot send body of type str"),
        (["call", b"/\xff"], 2, "cannot reach '/\\udcff': 'utf-8' codec can't encode"),
        (["send", b"/\xff"], 2, "cannot ask for send: 'utf-8' codec can't encode"),
        (["tail", b"/\xff"], 2, "cannot ask for session: 'utf-8' codec can't encode"),
        (["tail", "echo", "--from", "9" * 30], 2, "cannot read /echo after entry 99"),
        (["tail", "ehco"], 4, "there is no /ehco; did you mean /echo?"),
        (["tail", "/"], 4, "cannot follow /: it is a supervisor; name one of its agents"),
        (["dead-letters", "show", "9" * 30], 2, "cannot ask for letter: can't serialize ints"),
        (["dead-letters", "drop", "9" * 30], 2, "cannot ask for drop: can't serialize ints"),
        (["sessions", "ls", "-n", "9" * 30], 0, ""),
    ]
    for words, status, error in cases:
        done = agenthost(*words)
        assert (done.status, len(done.err.splitlines())) == (status, 1 if status else 0), done
        assert error in done.err


def test_what_is_stopped_is_not_running(host: Running) -> None:
    agenthost("stop", "echo")
    done = agenthost("call", "echo", "1")
    assert done.status == 3 and "/echo is down" in done.err


def test_send_waits_for_the_mailbox_not_for_the_turn_and_call_for_so_long(start: Start, agents: str) -> None:
    host = start(tree({"name": "sleeper", "agent": f"{agents}:Sleeper"}))
    done = agenthost("send", "sleeper", "1")
    assert (done.status, done.out) == (0, "")
    host.wait(lambda: "busy" in host.row("/sleeper")["flags"], "it has taken the message")
    done = agenthost("call", "sleeper", "1", "--timeout", "200ms")
    assert done.status == 124 and done.err.startswith("agenthost: cannot get an answer from /sleeper")
