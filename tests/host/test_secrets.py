"""Secrets and env files: their values reach the process that they are for, and nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import Start
from tests.host.running import NOBODY, ROOT, Running, agent, tree
from tests.host.test_programs import STAY, reason, shell

VALUES = {"file": "vAlUe-of-a-file", "command": "vAlUe-of-a-command", "env": "vAlUe-of-a-variable"}
"""Each begins with what is looked for; no code of ours and no config has it."""
TRACE = b"vAlUe-of-a"
SECRETS = {
    "FILE": {"file": "secret.txt"},
    "FILE_PATH": {"file": "secret.txt", "as": "file"},
    "COMMAND": {"command": ["cat", "secret2.txt"]},
    "VARIABLE": {"env": "OUTER_SECRET"},
}

AGENT = """
import os, subprocess
from agenthost import Agent

class Knows(Agent):
    def handle(self, message, ctx):
        lengths = {name: len(os.environ.get(name, "")) for name in message.body}
        lengths["content"] = len(open(os.environ["FILE_PATH"]).read())
        lengths["in a child"] = len(subprocess.run(["printenv", "FILE"], capture_output=True).stdout)
        return lengths
"""
SAYS_LENGTHS = "echo ${#FILE} ${#COMMAND} ${#VARIABLE} $(wc -c <$FILE_PATH)"
LINES = """
import os
for line in iter(input, None):
    value = os.environ[line.strip()[1:-1]]
    print(len(open(value).read() if value.startswith("/proc") else value), flush=True)
"""
LENGTHS = {"FILE": 15, "COMMAND": 18, "VARIABLE": 19}


@pytest.fixture
def secrets(places: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (places / "secret.txt").write_text(VALUES["file"] + "\n")
    (places / "secret2.txt").write_text(VALUES["command"] + "\n")
    (places / "knows.py").write_text(AGENT)
    monkeypatch.setenv("OUTER_SECRET", VALUES["env"])
    return places


def the_three(places: Path) -> list[dict[str, Any]]:
    return [
        shell("program", SAYS_LENGTHS + STAY, secrets=SECRETS),
        {"name": "agent", "agent": "knows.py:Knows", "secrets": SECRETS},
        {"name": "lines", "command": [sys.executable, "-c", LINES], "protocol": "lines", "secrets": SECRETS},
        agent("other", "Echo"),
        shell("plain", "exec sleep 1000"),
    ]


def holders(place: str, host: Running) -> dict[str, int]:
    """Processes of the host in whose ``place`` below /proc/PID a value stands: name to pid."""
    found = {}
    for pid, name in host.survivors().items():
        try:
            content = Path(f"/proc/{pid}/{place}").read_bytes()
        except OSError:
            continue  # it has ended
        if TRACE in content:
            found[f"{name}"] = pid
    return found


def with_children(pid: int) -> set[int]:
    return {pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())}


def in_memory(pid: int) -> bool:
    """Whether a value stands anywhere in the writable memory of a process."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if not rights.startswith("rw") or "[vvar" in line:
                continue
            first, last = (int(number, 16) for number in span.split("-"))
            try:
                memory.seek(first)
                if TRACE in memory.read(last - first):
                    return True
            except (OSError, ValueError, OverflowError):
                continue
    return False


def files_with_values(*folders: Path) -> list[str]:
    found = []
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place, name)
                if path.is_file() and TRACE in path.read_bytes():
                    found.append(str(path))
    return found


def said_by_commands(host: Running) -> str:
    """The output of every command that looks."""
    said = ""
    commands = ["status -o json", "status -o yaml", "tree", "ps", "events", "doctor", "plan", "logs -n 1000", "schema"]
    for words in (*commands, f"check {host.config}", "status /program /agent -o wide", "events -o json", "ps -o json"):
        ran = subprocess.run(
            [host.python, "-m", "agenthost.cli", *words.split()],
            env={**host.environment, "AGENTHOST_NAME": host.name},
            cwd=ROOT,
            capture_output=True,
            timeout=60,
        )
        assert ran.stdout, (words, ran.stderr)
        said += (ran.stdout + ran.stderr).decode()
    return said


@pytest.mark.slow
def test_a_secret_reaches_the_process_it_is_for(start: Start, secrets: Path) -> None:
    host = start(tree(*the_three(secrets)))
    names = list(LENGTHS)
    assert host.call("/agent", names) == {**LENGTHS, "content": 16, "in a child": 16}
    assert [host.call("/lines", name) for name in names] == list(LENGTHS.values())
    assert host.call("/lines", "FILE_PATH") == 16
    host.wait(lambda: host.printed("/program") == "15 18 19 16", "the program knows them")
    host.assert_no_bug_of_ours()


def test_nobody_else_sees_a_secret(start: Start, secrets: Path) -> None:
    host = start(tree(*the_three(secrets)))
    host.call("/agent", [])
    host.call("/lines", "FILE")
    for path in ("/program", "/agent", "/lines"):
        host.ask("restart", path=path)
        host.wait_state(path, "ready")
    host.call("/lines", "FILE")
    host.wait(lambda: host.printed("/program").count("15 18 19 16") == 2, "the program has ended all but itself")
    of_host = {host.guardian_pid, *host.own_pids("host")}
    may = {host.pid("/program"), host.pid("/agent"), *with_children(host.pid("/lines"))}

    assert not holders("cmdline", host)
    seen = set(holders("environ", host).values())
    # whoever started the host gave it the variable: these two and the init between them show it for good
    inits = {pid for pid, name in host.survivors().items() if name.startswith("agenthost-init") or name == "ah-init"}
    assert seen - may - of_host - inits == set(), {pid: host.survivors().get(pid) for pid in seen}
    assert not [pid for pid in (*host.own_pids("zygote"), *host.own_pids("router"), *host.own_pids("logger"))
                if in_memory(pid)]  # fmt: skip
    assert in_memory(host.pid("/program")), "the test can see a value where there is one"
    assert not in_memory(host.pid("/other"))
    assert not in_memory(host.pid("/plain"))
    assert not files_with_values(host.places.state_folder, host.places.runtime_folder)
    assert TRACE.decode() not in said_by_commands(host)
    assert TRACE.decode() not in host.output()


@pytest.mark.slow
def test_a_secret_is_read_anew_at_every_start(start: Start, secrets: Path) -> None:
    host = start(
        tree(shell("p", SAYS_LENGTHS + STAY, secrets=SECRETS, env_file={"path": "more.env", "optional": True}))
    )
    host.wait(lambda: host.printed("/p") == "15 18 19 16", "the first")
    (secrets / "secret.txt").write_text("short")
    host.ask("restart", path="/p")
    host.wait(lambda: host.printed("/p").splitlines()[1:] == ["5 18 19 5"], "the second")


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ({"file": "none.txt"}, "its secret S: cannot read {folder}/none.txt: No such file or directory"),
        ({"env": "NOT_SET_AT_ALL"}, "its secret S: NOT_SET_AT_ALL is not set in the host's environment"),
        ({"command": ["no-such-program"]}, "its secret S: no-such-program: failed to start: cannot run"),
        ({"command": ["sh", "-c", "echo vAlUe-of-a; exit 3"]}, "its secret S: sh: exit status 3"),
        ({"command": ["head", "-c", "5", "/dev/zero"]}, "its secret S: it has a NUL byte"),
        ({"command": ["sh", "-c", "yes vAlUe-of-a | head -c 70000"]}, "its secret S: it is longer than 65536 bytes"),
    ],
    ids=["no file", "not set", "no program", "fails", "NUL", "long"],
)  # fmt: skip
@pytest.mark.slow
def test_a_secret_that_cannot_be_read_is_named_and_never_shown(
    start: Start, secrets: Path, secret: dict[str, Any], said: str
) -> None:
    pool = {"name": "p", "pool": {"command": ["sleep", "1000"], "secrets": {"S": secret}, "restart": "temporary"}}
    host = start(tree(pool))
    host.ask("start", path="/p/x", wait=False)
    assert said.format(folder=secrets) in reason(host, "/p/x")
    assert TRACE.decode() not in host.output()
    assert not files_with_values(host.places.state_folder)


@pytest.mark.slow
def test_a_secret_command_that_never_ends_ends_with_its_agent(start: Start, secrets: Path) -> None:
    host = start(tree({"name": "p", "pool": {"command": ["sleep", "1"], "secrets": {"S": {"command": "sleep 999"}}}}))
    host.ask("start", path="/p/x", wait=False)
    host.wait(lambda: "sleep" in host.survivors().values(), "the command runs")
    host.ask("kill", path="/p/x")
    host.wait(lambda: "sleep" not in host.survivors().values(), "it is gone")


def test_env_files_are_below_env_and_read_anew(start: Start, places: Path) -> None:
    (places / "one.env").write_text("A=one\nB=one\nC=one\nHOME=/nowhere\n")
    (places / "two.env").write_text("B=two\nC=two\n")
    keys: dict[str, Any] = {"env_file": ["one.env", "two.env", "three.env?"], "env": {"C": "config"}}
    (places / "knows.py").write_text(
        "import os\nfrom agenthost import Agent\nclass Env(Agent):\n"
        "    def handle(self, message, ctx): return ' '.join(os.environ[name] for name in 'A B C HOME'.split())\n"
    )
    host = start(tree(shell("p", "echo $A $B $C $HOME" + STAY, **keys), {"name": "a", "agent": "knows.py:Env", **keys}))
    host.wait(lambda: host.printed("/p") == "one two config /nowhere", "the program has them")
    assert host.call("/a") == "one two config /nowhere"
    (places / "three.env").write_text("A=three\n")
    for path in ("/a", "/p"):
        host.ask("restart", path=path)
        host.wait_state(path, "ready")
    assert host.call("/a") == "three two config /nowhere"
    host.wait(lambda: "three two config /nowhere" in host.printed("/p"), "and again")


@pytest.mark.slow
def test_an_env_file_that_has_gone_bad_is_named_at_the_next_start(start: Start, places: Path) -> None:
    (places / "one.env").write_text("A=1\n")
    host = start(tree(shell("p", "exec sleep 1000", env_file="one.env", backoff={"initial": "60s", "max": "60s"})))
    (places / "one.env").write_text("A=1\nvAlUe-of-a-line\n")
    host.ask("stop", path="/p")
    host.ask("start", path="/p", wait=False)
    ended = host.wait_event("agent.exited", "/p", count=2)
    assert f"cannot read {places}/one.env:2: there is no NAME= in it" in ended["fields"]["reason"]
    assert TRACE.decode() not in host.output()


@pytest.mark.slow
def test_an_agent_cannot_have_the_host_read_secrets_for_its_children(start: Start, places: Path) -> None:
    (places / "parent.py").write_text(
        "from agenthost import Agent\nclass Parent(Agent):\n"
        "    def handle(self, message, ctx):\n"
        "        try: ctx.start('c', **message.body)\n"
        "        except Exception as error: return str(error)\n"
    )
    host = start(tree({"name": "a", "agent": "parent.py:Parent"}))
    for keys in ({"secrets": {"S": {"file": "/etc/shadow"}}}, {"env_file": "/etc/shadow"}, {"no_new_privs": False}):
        said = host.call("/a", {"command": ["sleep", "1"], **keys})
        assert "is not for here" in said, said


@pytest.mark.root
def test_a_secret_in_a_file_reaches_another_user_who_cannot_read_python(start: Start, secrets: Path) -> None:
    """It is made by the newborn, which is that user by then."""
    host = start(
        tree(
            {
                "name": "other",
                "command": ["sh", "-c", 'id -u; cat "$CONTENT"; exec sleep 1000'],
                "user": "nobody",
                "cwd": "/",
                "secrets": {"CONTENT": {"file": str(secrets / "secret.txt"), "as": "file"}},
                "liveness": {"command": ["sh", "-c", 'cat "$CONTENT" >/dev/null'], "interval": "100ms", "failures": 1},
            }
        )
    )
    wanted = f"{NOBODY}\n{VALUES['file']}"
    host.wait(lambda: host.printed("/other") == wanted, "the other user has read it")
    host.assert_no_bug_of_ours()
