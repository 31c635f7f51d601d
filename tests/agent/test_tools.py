"""Tools of an agent in a test without a host: real processes. What a host adds is in tests/host/test_tools.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenthost.agent.agent import Agent
from agenthost.agent.ran import Ran
from agenthost.agent.tool_output import LINES_A_SECOND, LONGEST_LINE, Echo, Kept
from agenthost.errors import StartFailed, TimedOut, ToolFailed, ToolTimedOut, UsageError
from agenthost.testing import AgentHarness
from tests.waiting import wait_until

LARGE = 3_000_000


class Sync(Agent):
    """What a turn does is a function of (ctx) or (agent, ctx) that the test sets."""

    def handle(self, message: Any, ctx: Any) -> Any:
        self.result = self.deed(ctx)


class Async(Agent):
    async def handle(self, message: Any, ctx: Any) -> Any:
        self.result = await self.deed(ctx)


def turn(agent: AgentHarness, deed: Callable[[Any], Any], **how: Any) -> Any:
    vars(agent.agent)["deed"] = deed
    agent.call(**how)
    return vars(agent.agent).pop("result")


def run(agent: AgentHarness, *argv: str, **how: Any) -> Ran:
    """In a turn of its own."""
    ran: Ran = turn(agent, lambda ctx: ctx.run(argv, **how))
    return ran


@pytest.fixture(params=[Sync, Async])
def agent(request: pytest.FixtureRequest) -> Any:
    with AgentHarness(request.param) as made:
        yield made


def test_a_tool_tells_its_status_and_both_outputs(agent: AgentHarness) -> None:
    ran = run(agent, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (ran.status, ran.signal, ran.reason) == (3, None, "exit status 3")
    assert (ran.out, ran.err, ran.text, ran.truncated) == (b"out\n", b"err\n", "out\n", 0)
    assert ran.path == "/test/sh-1" and ran.took_s > 0


def test_a_tool_that_a_signal_ends_has_no_status(agent: AgentHarness) -> None:
    ran = run(agent, "sh", "-c", "kill -SEGV $$")
    assert (ran.status, ran.signal, ran.reason) == (None, "SIGSEGV", "killed by SIGSEGV")


def test_input_and_output_larger_than_any_pipe_go_through(agent: AgentHarness) -> None:
    text = os.urandom(LARGE)
    ran = run(agent, "cat", input=text, output_bytes=LARGE)
    assert ran.out == text and ran.truncated == 0


def test_a_tool_need_not_read_its_input(agent: AgentHarness) -> None:
    assert run(agent, "true", input=b"x" * LARGE).status == 0
    assert run(agent, "cat").out == b"", "without input there is nothing to read"


def test_of_too_much_output_the_first_and_the_last_are_kept(agent: AgentHarness) -> None:
    ran = run(agent, "sh", "-c", "echo first; head -c 5000000 /dev/zero; echo last", output_bytes=1000)
    assert ran.out.startswith(b"first\n") and ran.out.endswith(b"last\n")
    assert ran.truncated == 5_000_000 + len("first\nlast\n") - 1000
    assert b"[... %d bytes left out ...]" % ran.truncated in ran.out


def test_a_tool_that_takes_too_long_is_killed_and_what_it_printed_is_told(agent: AgentHarness) -> None:
    with pytest.raises(ToolTimedOut, match=r"took longer than 0\.3 s and was killed") as caught:
        run(agent, "sh", "-c", "echo before; sleep 1000", timeout=0.3)
    assert isinstance(caught.value, TimedOut)
    assert caught.value.ran is not None
    assert (caught.value.ran.out, caught.value.ran.signal) == (b"before\n", "SIGKILL")


def test_the_deadline_of_the_turn_bounds_a_tool(agent: AgentHarness) -> None:
    with pytest.raises(ToolTimedOut, match="the time of the turn was over"):
        turn(agent, lambda ctx: ctx.run(["sleep", "1000"], timeout=900), timeout=0.3)
    with pytest.raises(ToolTimedOut, match="the time of the turn was over"):
        turn(agent, lambda ctx: ctx.run(["sleep", "1000"]), timeout=0.3)  # without a time of its own


def test_a_check_fails_with_the_last_lines(agent: AgentHarness) -> None:
    with pytest.raises(ToolFailed, match=r"exit status 2: no such rule") as caught:
        run(agent, "sh", "-c", "echo working; echo 'no such rule' >&2; exit 2", check=True)
    assert caught.value.ran is not None
    assert caught.value.ran.status == 2
    assert run(agent, "true", check=True).status == 0


def test_what_cannot_be_run_is_told_at_once(agent: AgentHarness, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for argv, how, why in (
        (["no-such-program"], {}, "cannot run 'no-such-program'"),
        ([str(plain)], {}, "Permission denied"),
        (["ls"], {"cwd": "/no/such/folder"}, "cannot enter '/no/such/folder'"),
    ):
        with pytest.raises(StartFailed, match=why):
            run(agent, *argv, **how)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("ls -l", r'write \["sh", "-c"'),
        ([], "empty command"),
        ([""], "empty command"),
        (["ls", 3], "text or a path"),
        (["ls", "a\0b"], "NUL"),
        (["ls", "a\udc80"], "UTF-8"),
    ],
)
def test_what_is_no_list_of_words_is_refused(agent: AgentHarness, argv: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        turn(agent, lambda ctx: ctx.run(argv))


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ({"timeout": "5"}, r"timeout='5'; give a number of seconds"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"input": 5}, "int as its input; give text or bytes"),
        ({"input": "\udc80"}, "surrogates not allowed; give bytes"),
        ({"output_bytes": "1MiB"}, "output_bytes='1MiB'; give a whole number"),
        ({"output_bytes": -1}, "output_bytes=-1"),
        ({"env": {"PORT": 8080}}, "this env; give a map of text to text"),
        ({"env": "PORT=8080"}, "this env"),
        ({"cwd": 5}, "cwd=5; give a folder"),
        ({"cwd": b"/tmp"}, "cwd=b'/tmp'"),
    ],
)
def test_what_a_tool_cannot_have_is_named(agent: AgentHarness, how: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        run(agent, "cat", **how)


def test_environment_and_folder_are_the_agents_unless_given(
    agent: AgentHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_AGENT", "${HOME} as it is")
    monkeypatch.chdir(tmp_path)
    assert run(agent, "sh", "-c", 'echo "$OF_THE_AGENT"; pwd').text == f"${{HOME}} as it is\n{tmp_path}\n"
    (tmp_path / "below").mkdir()
    shown = run(agent, "/bin/sh", "-c", 'echo "$OF_THE_AGENT$OTHER"; pwd', env={"OTHER": "x"}, cwd="below")
    assert shown.text == f"x\n{tmp_path / 'below'}\n"


def test_nothing_of_a_tool_outlives_the_turn_not_even_a_daemon(agent: AgentHarness, tmp_path: Path) -> None:
    """It holds the pipe as well: its end is not waited for, it is made."""
    ran = run(agent, "sh", "-c", "setsid sh -c 'echo $$; exec sleep 1000' & wait $(jobs -p) & sleep 0.2; echo main")
    pid, said = ran.text.split()
    assert said == "main"
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the daemon is gone")


def test_its_lines_stand_in_the_agents_log(agent: AgentHarness, capsys: pytest.CaptureFixture[str]) -> None:
    run(agent, "sh", "-c", "echo one; printf two")
    assert capsys.readouterr().out == "sh-1: one\nsh-1: two\n"


def test_a_turn_that_raises_leaves_no_tool_behind(agent: AgentHarness) -> None:
    tools: list[Any] = []

    def fails(ctx: Any) -> Any:
        tools.append(ctx.popen(["sleep", "1000"]))
        raise RuntimeError("in the middle")

    async def fails_async(ctx: Any) -> Any:
        tools.append(await ctx.popen(["sleep", "1000"]))
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        turn(agent, fails if isinstance(agent.agent, Sync) else fails_async)
    assert tools[0].reason == "killed by SIGKILL" and tools[0].poll() == -9
    assert_closed(tools[0])


def test_a_plain_agent_talks_to_a_tool_over_files() -> None:
    def talk(ctx: Any) -> Any:
        with ctx.popen(["sh", "-c", "read line; echo got $line; echo more >&2; exit 5"]) as tool:
            assert tool.poll() is None
            tool.stdin.write(b"this\n")
            tool.stdin.flush()
            return tool.stdout.read(), tool.stderr.read(), tool.wait(20), tool.reason

    with AgentHarness(Sync) as agent:
        assert turn(agent, talk) == (b"got this\n", b"more\n", 5, "exit status 5")


def test_an_async_agent_talks_to_a_tool_over_streams() -> None:
    async def talk(ctx: Any) -> Any:
        async with await ctx.popen(["sh", "-c", "read line; echo got $line; echo more >&2; exit 5"]) as tool:
            tool.stdin.write(b"this\n")
            await tool.stdin.drain()
            return await tool.stdout.read(), await tool.stderr.read(), await tool.wait(20), tool.reason

    with AgentHarness(Async) as agent:
        assert turn(agent, talk) == (b"got this\n", b"more\n", 5, "exit status 5")


def test_a_block_stops_the_tool_that_it_has_started() -> None:
    def stops(ctx: Any) -> Any:
        with ctx.popen(["sleep", "1000"], stdout="null", stderr="log") as tool:
            assert tool.stdout is None and tool.stderr is None
            with pytest.raises(TimedOut, match="has not ended in time"):
                tool.wait(0.01)
        return tool.poll(), tool.reason

    with AgentHarness(Sync) as agent:
        assert turn(agent, stops) == (-15, "killed by SIGTERM")


def test_a_tool_that_is_waited_for_keeps_to_its_scope(agent: AgentHarness) -> None:
    def late(ctx: Any) -> Any:
        with ctx.scope(timeout=0.2):
            ctx.popen(["sleep", "1000"]).wait()

    async def late_async(ctx: Any) -> Any:
        async with ctx.scope(timeout=0.2):
            await (await ctx.popen(["sleep", "1000"])).wait()

    with pytest.raises(TimedOut):
        turn(agent, late_async if isinstance(agent.agent, Async) else late)


def test_a_context_whose_turn_is_over_runs_nothing_any_more(agent: AgentHarness) -> None:
    kept: list[Any] = []
    run(agent, "true")
    turn(agent, lambda ctx: kept.append(ctx) or ctx.run(["true"]))
    assert kept[0].is_over

    def late(ctx: Any) -> Any:
        return kept[0].run(["sleep", "1000"])

    def late_and_kept(ctx: Any) -> Any:
        return kept[0].popen(["sleep", "1000"], keep=True)

    for deed in (late, late_and_kept):
        with pytest.raises(UsageError, match="the turn of this ctx is over"):
            turn(agent, deed)


def test_a_kept_tool_serves_several_turns_and_ends_with_the_agent() -> None:
    def ask(ctx: Any) -> Any:
        tool = vars(made.agent).get("server") or ctx.popen(["cat"], keep=True, name="server")
        vars(made.agent)["server"] = tool
        tool.stdin.write(b"ping\n")
        tool.stdin.flush()
        return tool.stdout.readline()

    with AgentHarness(Sync) as made:
        assert [turn(made, ask) for _ in range(3)] == [b"ping\n"] * 3
        tool = vars(made.agent)["server"]
        assert tool.path == "/test/server" and tool.poll() is None
    assert tool.poll() == -9
    tool.close()


def test_streams_have_three_kinds() -> None:
    with AgentHarness(Sync) as agent, pytest.raises(UsageError, match='each is "pipe" or "null"'):
        turn(agent, lambda ctx: ctx.popen(["true"], stdin="log"))


def test_many_tools_leave_no_descriptor_open(agent: AgentHarness) -> None:
    def open_now() -> int:
        return len(os.listdir("/proc/self/fd"))

    run(agent, "true")
    before = open_now()
    for _ in range(20):
        run(agent, "true", input=b"x")
        with pytest.raises(StartFailed):
            run(agent, "no-such-program")
        with pytest.raises(ToolTimedOut):
            run(agent, "sleep", "1000", timeout=0.001)
    assert open_now() == before


def assert_closed(tool: Any) -> None:
    for stream in (tool.stdin, tool.stdout, tool.stderr):
        transport = getattr(stream, "transport", None) or getattr(stream, "_transport", None)
        assert stream.closed if transport is None else transport.is_closing()


# ---- what is kept, what is logged


@pytest.mark.parametrize("most", [0, 1, 2, 10, 11])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_ends_of_a_stream_are_kept_however_it_comes(most: int, chunk: int) -> None:
    data = bytes(range(100))
    kept = Kept(most)
    for begin in range(0, len(data), chunk):
        kept.add(data[begin : begin + chunk])
    head, tail = data[: most // 2], data[len(data) - (most - most // 2) :]
    assert kept.value() == head + b"\n[... %d bytes left out ...]\n" % (100 - most) + tail
    assert kept.dropped == 100 - most


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_what_fits_is_kept_as_it_is(size: int) -> None:
    kept = Kept(10)
    kept.add(b"x" * size)
    assert (kept.value(), kept.dropped) == (b"x" * size, 0)


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_lines_are_logged_whole_however_they_come(chunk: int) -> None:
    data = b"one\n\ntwo\r\nthr\xffee\nlast"
    assert logged(data, chunk) == ["t: one\n", "t: \n", "t: two\n", "t: thr\\xffee\n", "t: last\n"]


@pytest.mark.parametrize("chunk", [10, 100_000])
def test_a_long_line_is_cut_in_the_log(chunk: int) -> None:
    shown = logged(b"x" * (3 * LONGEST_LINE) + b"\nnext\n", chunk)
    assert shown == [f"t: {'x' * LONGEST_LINE} ...\n", "t: next\n"]


@pytest.mark.parametrize("chunk", [13, 1_000_000])
def test_too_many_lines_are_counted_in_the_log(chunk: int) -> None:
    shown = logged(b"line\n" * 1000 + b"tail", chunk)
    assert shown[: LINES_A_SECOND + 1] == ["t: line\n"] * LINES_A_SECOND + ["t: tail\n"]
    assert shown[LINES_A_SECOND + 1 :] == [f"t: [{1000 - LINES_A_SECOND} lines left out]\n"]


def logged(data: bytes, chunk: int) -> list[str]:
    """Within one second."""
    written: list[str] = []
    echo = Echo("t", written.append)
    echo._since = sys.float_info.max / 2
    for begin in range(0, len(data), chunk):
        echo.add(data[begin : begin + chunk])
    echo.close()
    return "".join(written).splitlines(keepends=True)
