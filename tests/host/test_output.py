"""What programs print: kept as the config says, and no amount or kind of it hurts the host, its disk or anybody
else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import Start
from tests.host.running import Running, agent, tree
from tests.host.test_programs import STAY, shell

MIB = 2**20
SMALL = {"max_size": "64KiB", "keep": 2}


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def written_bytes(pid: int) -> int:
    """What a process has got rid of by write(2), wherever it went (proc(5), wchar)."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1 + 2])


def on_disk(host: Running, name: str) -> list[Path]:
    return sorted(host.places.logs.glob(f"{name}.log*"))


@pytest.mark.slow
def test_programs_that_print_without_end_hurt_nobody(start: Start) -> None:
    """Whole lines, one line that never ends, bytes that are no text, a terminal; and gigabytes that nobody wants."""
    floods: dict[str, dict[str, Any]] = {
        "lines": {"command": "exec yes"},
        "endless": {"command": "exec tr '\\0' x </dev/zero"},
        "binary": {"command": "exec cat /dev/urandom"},
        "terminal": {"command": "exec yes", "pty": True},
    }
    children = [shell(name, **_script(keys), log=SMALL) for name, keys in floods.items()]
    unwanted = shell("unwanted", "head -c 3G /dev/zero; echo >&2 over" + STAY, log={"stdout": "discard"})
    host = start(tree(agent("e", "Echo"), unwanted, *children))
    (logger,) = host.own_pids("logger")
    before = rss_bytes(host.own_pids("host")[0])
    for name in floods:
        least = MIB if name == "terminal" else 5 * MIB  # beyond the burst that is free
        host.wait(lambda name=name, least=least: written_bytes(host.pid(f"/{name}")) > least, f"{name} has printed")
        host.wait_answers("/e")
    host.wait(lambda: host.printed("/unwanted") == "over", "three gigabytes went nowhere")
    assert host.state("/unwanted") == "ready"
    for name in floods:
        files = on_disk(host, name)
        assert len(files) <= 2 and all(file.stat().st_size <= 130 * 1024 for file in files), files
    assert rss_bytes(logger) < 100 * MIB
    assert rss_bytes(host.own_pids("host")[0]) < before + 20 * MIB
    assert host.stop() == 0
    host.assert_nothing_left()


def _script(keys: dict[str, Any]) -> dict[str, Any]:
    return {"script": keys["command"], **{key: value for key, value in keys.items() if key != "command"}}


def test_each_stream_is_kept_or_not_as_the_config_says(start: Start, places: Path) -> None:
    both = "echo to stdout; echo to stderr >&2" + STAY
    (places / "says.py").write_text(
        "import sys\nfrom agenthost import Agent\nclass Says(Agent):\n"
        "    def handle(self, message, ctx): print('to stdout'); print('to stderr', file=sys.stderr)\n"
    )
    says = {"agent": "says.py:Says"}
    host = start(
        tree(
            shell("all", both),
            shell("none", both, log="none"),
            shell("err", both, log={"stdout": "discard"}),
            shell("out", both, log={"stderr": "discard"}),
            {"name": "agent-err", **says, "log": {"stdout": "discard"}},
            {"name": "agent-none", **says, "log": "none"},
            # looked at for its line, and not kept
            shell("ready", both, log="none", ready={"line": "to std"}),
            shell("terminal", both, log="none", pty=True),
        )
    )
    for path in ("/agent-err", "/agent-none"):
        host.call(path)

    def kept(path: str) -> set[str]:
        return set(host.printed(path).splitlines())

    host.wait(lambda: kept("/all") == {"to stdout", "to stderr"}, "both")
    host.wait(lambda: kept("/err") == kept("/agent-err") == {"to stderr"}, "stderr")
    host.wait(lambda: kept("/out") == {"to stdout"}, "stdout")
    for name in ("none", "agent-none", "ready", "terminal"):
        assert not on_disk(host, name)


@pytest.mark.slow
def test_the_bounds_of_a_log_hold_over_restarts_of_program_and_logger(start: Start) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo some line of text with number $i; done" + STAY
    host = start(tree(shell("p", script, log={"max_size": "16KiB", "keep": 3})))

    def has_printed() -> bool:
        return any("number 3000" in line for line in host.printed("/p").splitlines()[-1:])

    host.wait(has_printed, "it has printed all")
    for _ in range(2):
        host.ask("restart", path="/p")
        host.wait_state("/p", "ready")
        host.wait(has_printed, "it has printed all again")
    files = on_disk(host, "p")
    assert [file.name for file in files] == ["p.log", "p.log.1", "p.log.2"]
    assert all(file.stat().st_size <= 16 * 1024 for file in files)
