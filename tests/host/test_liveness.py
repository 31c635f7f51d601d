"""Whether what is ready still works is looked at again and again, and what does not work is ended and started anew."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import Start
from tests.host.running import Running, agent, tree
from tests.host.test_programs import NOTIFY, TIERS, python, shell

QUICK = {"interval": "50ms", "timeout": "5s", "failures": 3}
STAY = "exec sleep 1000"


@contextmanager
def serving(status: list[int]) -> Iterator[str]:
    """A real server whose answers have the last of ``status``. Yields its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[-1])
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/health"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent() -> Iterator[str]:
    """Accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def reason(host: Running, path: str) -> str:
    return str(host.wait_event("agent.exited", path)["fields"]["reason"])


def test_who_fails_so_often_in_a_row_is_asked_to_end_and_started_anew(start: Start, places: Path) -> None:
    tidy = f"trap 'touch {places}/tidy; exit 0' TERM; while :; do sleep 0.01; done"
    status = [200]
    with serving(status) as url:
        host = start(tree(shell("p", tidy, liveness={"http": url, **QUICK})))
        first = host.row("/p")["incarnation"]
        status.append(503)
        assert reason(host, "/p") == f"unhealthy: GET {url} answered 503, 3 times in a row"
        assert (places / "tidy").exists()
        unwell = [one["fields"]["text"] for one in host.events("agent.unwell", "/p")]
        assert unwell[:2] == [f"GET {url} answered 503 (1 of 3)", f"GET {url} answered 503 (2 of 3)"]
        status.append(204)
        host.wait(lambda: host.row("/p")["incarnation"] != first and host.state("/p") == "ready", "it runs anew")


@pytest.mark.slow
def test_who_does_not_end_when_asked_is_killed_and_the_reason_stays(start: Start) -> None:
    deaf = "trap '' TERM; while :; do sleep 0.01; done"
    host = start(tree(shell("p", deaf, liveness={"tcp": "127.0.0.1:1", **QUICK}, shutdown="200ms")))
    assert reason(host, "/p") == "unhealthy: connecting to 127.0.0.1:1 was refused, 3 times in a row"
    assert host.wait_event("agent.exited", "/p")["fields"]["status"] == "killed by SIGKILL"


@pytest.mark.slow
def test_one_good_look_forgives_the_bad_ones_before(start: Start, places: Path) -> None:
    script = f"n=$(cat {places}/n 2>/dev/null || echo 0); echo $((n+1)) >{places}/n; test $((n % 3)) = 2"
    host = start(tree(shell("p", STAY, liveness={"command": ["sh", "-c", script], **QUICK})))
    host.wait(lambda: len(host.events("agent.unwell", "/p")) >= 8, "it was unwell many times")
    assert not host.events("agent.exited", "/p")
    assert {one["fields"]["text"][-8:] for one in host.events("agent.unwell", "/p")} == {"(1 of 3)", "(2 of 3)"}


@pytest.mark.parametrize("tier", TIERS)
def test_a_command_looks_from_the_cell_of_its_agent_with_its_environment(start: Start, places: Path, tier: str) -> None:
    script = f'echo "$WHO $SECRET $AGENTHOST_PATH $(pwd)" >>{places}/said; echo looked; echo badly >&2'
    (places / "secret").write_text("whispered\n")
    keys = {"env": {"WHO": "me"}, "secrets": {"SECRET": {"file": "secret"}}, "cwd": "/usr"}
    check = {"command": ["sh", "-c", script], **QUICK}
    host = start(tree(shell("p", STAY, liveness=check, **keys)), containment=tier)
    said = places / "said"
    host.wait(lambda: said.exists() and len(said.read_text().splitlines()) >= 2, "it was looked at twice")
    assert said.read_text().splitlines()[0].startswith("me whispered /p/.live")
    assert said.read_text().splitlines()[0].endswith(" /usr")
    host.wait(lambda: {"looked", "badly"} <= set(host.printed("/p").splitlines()), "its output is the agent's")
    assert host.state("/p") == "ready" and not host.events("agent.exited")


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.slow
def test_a_command_never_outlives_its_timeout_nor_does_what_it_started(start: Start, tier: str) -> None:
    script = "setsid sleep 987 & setsid sleep 986 & wait; sleep 985"
    check = {"command": ["sh", "-c", script], "interval": "50ms", "timeout": "300ms", "failures": 2}
    host = start(tree(shell("p", STAY, liveness=check, restart="temporary")), containment=tier)
    assert reason(host, "/p") == "unhealthy: sh did not end within 0.3 s, 2 times in a row"
    host.wait(lambda: "sleep" not in host.survivors().values(), "nothing of it is left")


@pytest.mark.slow
def test_a_command_that_is_not_there_is_named(start: Start) -> None:
    host = start(tree(shell("p", STAY, liveness={"command": "no-such-check", **QUICK}, restart="temporary")))
    assert reason(host, "/p").startswith("unhealthy: no-such-check: failed to start: cannot run 'no-such-check'")


@pytest.mark.slow
def test_who_stops_beating_is_ended(start: Start) -> None:
    script = (
        NOTIFY
        + """
assert os.environ["WATCHDOG_USEC"] == "50000"
say("READY=1")
for _ in range(40):
    say("WATCHDOG=1")
    time.sleep(0.02)
time.sleep(1000)
"""
    )
    check = {"notify": True, "interval": "50ms", "timeout": "1s", "failures": 1}
    host = start(tree(python("p", script, ready={"notify": True}, liveness=check, restart="temporary")))
    assert reason(host, "/p").startswith("unhealthy: no WATCHDOG=1 for 1.")


@pytest.mark.slow
def test_who_says_itself_that_it_is_sick_is_ended_at_once(start: Start) -> None:
    script = NOTIFY + "say('WATCHDOG=trigger'); time.sleep(1000)"
    check = {"notify": True, "interval": "1h"}
    host = start(tree(python("p", script, liveness=check, restart="temporary")))
    assert reason(host, "/p") == "unhealthy: it said so itself, by WATCHDOG=trigger"


@pytest.mark.slow
def test_nobody_is_looked_at_while_frozen(start: Start, places: Path) -> None:
    script = f"echo >>{places}/looks; test ! -e {places}/bad"
    host = start(tree(shell("p", STAY, liveness={"command": ["sh", "-c", script], **QUICK}), shell("q", STAY)))
    looks = places / "looks"

    def count() -> int:
        return len(looks.read_text()) if looks.exists() else 0

    host.wait(lambda: count() > 1, "it is looked at")
    host.ask("freeze", path="/p")
    (places / "bad").touch()
    before = count()
    for _ in range(3):  # far more time than three looks take
        host.ask("restart", path="/q")
        host.wait_state("/q", "ready")
    assert count() <= before + 1 and not host.events("agent.exited", "/p")
    host.ask("thaw", path="/p")
    assert reason(host, "/p").endswith("3 times in a row")


@pytest.mark.slow
def test_a_look_that_takes_long_delays_nobody_else(start: Start) -> None:
    with silent() as slow:
        sick = [shell(f"s{n}", STAY, liveness={"http": slow, **QUICK, "timeout": "50s"}) for n in range(20)]
        other = shell("p", STAY, liveness={"tcp": "127.0.0.1:1", **QUICK}, restart="temporary")
        host = start(tree(*sick, other))
        assert "was refused, 3 times in a row" in reason(host, "/p")
        assert not host.events("agent.unwell", "/s")


@pytest.mark.slow
def test_who_gives_no_answer_in_time_is_unhealthy(start: Start) -> None:
    with silent() as slow:
        check = {"http": slow, "interval": "50ms", "timeout": "100ms", "failures": 1}
        host = start(tree(shell("p", STAY, liveness=check, restart="temporary")))
        assert reason(host, "/p") == f"unhealthy: GET {slow} gave no answer within 0.1 s"


@pytest.mark.slow
def test_agents_and_programs_of_lines_are_looked_at_too(start: Start) -> None:
    check = {"command": "false", **QUICK, "failures": 1}
    lines = {"name": "l", "command": ["cat"], "protocol": "lines", "liveness": check, "restart": "temporary"}
    host = start(tree(agent("a", "Echo", liveness=check, restart="temporary"), lines))
    for path in ("/a", "/l"):
        assert reason(host, path) == "unhealthy: false: exit status 1"
    assert host.stop() == 0
