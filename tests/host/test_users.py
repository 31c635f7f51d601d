"""Agents and programs of other users: who they are, what holds them, whom they can speak to, what they cannot do."""

from __future__ import annotations

import functools
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenthost.containment import tiers
from agenthost.errors import AgenthostError, ConfigError, NotPermitted
from tests.guardian.driving import interpreter_for
from tests.host.awkward import awkward_two
from tests.host.awkward import brood as awkward_brood
from tests.host.conftest import Start
from tests.host.running import AGENTS, NOBODY, PATIENCE_S, Running, agent, as_user, is_alive, kill, tree
from tests.host.test_identity import REQUEST
from tests.host.user_client import UserClient
from tests.waiting import wait_until

pytestmark = pytest.mark.root

FAMILIES = AGENTS.with_name("families.py")
DAEMON = 1
WALLS = [("cgroup", "auto"), ("pidns", "auto"), ("walk", "never")]

probe = functools.lru_cache(maxsize=1)(tiers.probe)

WHO = (
    "import json, os, sys; "
    "print(json.dumps({'ids': os.getresuid() + os.getresgid(), 'groups': sorted(os.getgroups()), "
    "'env': {name: os.environ.get(name) for name in ('HOME', 'LOGNAME', 'SHELL', 'USER', 'XDG_RUNTIME_DIR')}, "
    "'caps': [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapPrm')][0]}))"
)


def who(uid: int, **environment: str) -> dict[str, Any]:
    """What ``WHO`` prints for a process of that user."""
    entry = pwd.getpwuid(uid)
    usual = {"HOME": entry.pw_dir, "LOGNAME": entry.pw_name, "SHELL": entry.pw_shell, "USER": entry.pw_name}
    return {
        "ids": [uid] * 3 + [entry.pw_gid] * 3,
        "groups": sorted(os.getgrouplist(entry.pw_name, entry.pw_gid)),
        "env": {**usual, "XDG_RUNTIME_DIR": None, **environment},
        "caps": "0" * 16,
    }


def doer(name: str, **keys: Any) -> dict[str, Any]:
    return agent(name, "Doer", cwd="/", **keys)


def run(host: Running, path: str, *command: str) -> str:
    done = host.call(path, {"do": "run", "command": list(command)})
    assert done["status"] == 0, done
    return str(done["out"]).strip()


def need(tier: str, record_tier: Callable[..., None]) -> None:
    found = next(one for one in probe() if one.name == tier)
    record_tier(tier, None if found.available else found.why)


def test_a_user_means_ids_groups_and_places_and_no_rights(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/root/closed")
    host = start(
        tree(
            doer("nobody", user="nobody"),
            doer("set", user="nobody", env={"HOME": "/tmp"}),
            doer("daemon", user=DAEMON),
            {"name": "program", "command": ["/usr/bin/python3", "-c", f"{WHO}; import time; time.sleep(1000)"],
             "user": "nobody", "cwd": "/", "env": {"PYTHONUNBUFFERED": "1"}},
        ),
        for_all=True,
    )  # fmt: skip
    assert json.loads(run(host, "/nobody", host.python, "-c", WHO)) == who(NOBODY)
    assert json.loads(run(host, "/set", host.python, "-c", WHO)) == who(NOBODY, HOME="/tmp")
    assert json.loads(run(host, "/daemon", host.python, "-c", WHO)) == who(DAEMON)
    lines = host.wait(lambda: [one for one in host.printed("/program").splitlines() if "ids" in one], "it has printed")
    said = [str(line) for line in lines]
    assert json.loads(said[0][said[0].index("{") :]) == who(NOBODY)
    assert {_uid(pid) for pid in host.own_pids("zygote of")} == {0, NOBODY, DAEMON}
    assert host.row("/daemon")["user"] == DAEMON


def test_agents_of_all_users_can_call_each_other(share: Start) -> None:
    host = share(tree(doer("root"), doer("nobody", user="nobody"), doer("daemon", user="daemon")), for_all=True)
    names = ("root", "nobody", "daemon")
    for caller in names:
        for callee in names:
            if caller != callee:
                done = host.call(f"/{caller}", {"do": "call", "path": f"/{callee}", "body": {"do": "pid"}})
                assert done.get("reply"), (caller, callee, done)
    folders = {uid: host.places.data_folder(uid) for uid in (0, NOBODY, DAEMON)}
    for uid, folder in folders.items():
        found = folder.stat()
        assert (found.st_uid, found.st_mode & 0o777) == (uid, 0o700)
    before = {uid: {one.name for one in folder.iterdir()} for uid, folder in folders.items()}
    name = f"d-{host.row('/nobody')['incarnation']}"
    assert all(name in there for there in before.values()), "who was let to it has a name for it"
    host.ask("stop", path="/nobody")
    assert not any((folder / name).exists() for folder in folders.values())
    host.ask("start", path="/nobody")


def test_an_agent_of_another_user_cannot_lead_its_callers_elsewhere(share: Start) -> None:
    """It owns the folder of its socket, and may put there what it likes."""
    host = share(tree(doer("root"), doer("nobody", user="nobody"), doer("daemon", user="daemon")), for_all=True)
    asks = {"do": "call", "path": "/nobody", "body": {"do": "pid"}, "timeout": 20}
    assert host.call("/root", asks)["reply"]
    socket = host.places.data_folder(NOBODY) / f"d-{host.row('/nobody')['incarnation']}"
    run(host, "/nobody", host.python, "-c", MISLEAD, str(socket), str(host.places.control_socket(DAEMON)))
    assert "socket" in host.call("/daemon", asks)["error"]
    assert not (host.places.data_folder(DAEMON) / socket.name).exists()
    assert host.call("/root", asks)["reply"], "who was let to it before goes on"
    socket.unlink()
    host.ask("kill", path="/nobody")


MISLEAD = "import os, sys; os.rename(sys.argv[1], sys.argv[1] + '.x'); os.symlink(sys.argv[2], sys.argv[1])"


@pytest.fixture(
    params=[WALLS[0], *(pytest.param(pair, marks=pytest.mark.slow) for pair in WALLS[1:])],
    ids=[" ".join(pair) for pair in WALLS],
)
def awkward(request: pytest.FixtureRequest, start: Start, record_tier: Callable[..., None]) -> Running:
    """An agent and a program of nobody's, with awkward descendants."""
    tier, namespace = request.param
    need(tier, record_tier)
    return start(
        tree(agent("echo", "Echo"), *awkward_two(user="nobody", cwd="/"), intensity=100),
        containment=tier,
        namespace=namespace,
        for_all=True,
    )


def brood(host: Running, path: str) -> set[int]:
    found = awkward_brood(host, path)
    assert all(Path(f"/proc/{pid}").stat().st_uid in (NOBODY, 0) for pid in found if is_alive(pid))
    return found


def test_every_tier_holds_what_another_user_has_started(awkward: Running) -> None:
    for path in ("/awkward", "/program"):
        for verb in ("kill", "stop"):
            members = brood(awkward, path) | {awkward.pid(path)}
            awkward.ask(verb, path=path)
            assert not [pid for pid in members if is_alive(pid)], (path, verb)
            if verb == "kill":
                awkward.wait_state(path, "ready")
    assert awkward.call("/echo", 1) == 1


def test_what_another_user_runs_is_frozen_and_thawed(awkward: Running) -> None:
    members = brood(awkward, "/awkward")
    awkward.ask("freeze", path="/awkward")
    assert "frozen" in awkward.row("/awkward")["flags"]
    awkward.ask("thaw", path="/awkward")
    assert awkward.call("/awkward", {"do": "pid"})
    assert all(map(is_alive, members))


@pytest.mark.parametrize("whose", ["host", pytest.param("guardian", marks=pytest.mark.slow)])
def test_when_host_or_guardian_is_killed_nothing_of_another_user_survives(awkward: Running, whose: str) -> None:
    members = brood(awkward, "/awkward") | brood(awkward, "/program")
    pid = awkward.guardian_pid if whose == "guardian" else awkward.own_pids("host")[0]
    awkward.hang_up()
    kill(pid)
    wait_until(lambda: not any(map(is_alive, members)), PATIENCE_S, "all are gone")
    if whose == "host":
        awkward.wait(lambda: awkward.host().get("state") == "ready", "it is ready again")
        awkward.wait_answers("/echo")
    else:
        wait_until(lambda: not awkward.survivors(), PATIENCE_S, f"nothing survives: {awkward.survivors()}")


@pytest.mark.parametrize("namespace", ["auto", pytest.param("never", marks=pytest.mark.slow)])
def test_a_user_of_agents_is_no_operator_and_sees_no_state(start: Start, namespace: str) -> None:
    host = start(tree(agent("echo", "Echo"), doer("nobody", user="nobody")), for_all=True, namespace=namespace)
    endpoint = host.places.control_endpoint(NOBODY)
    assert run(host, "/nobody", host.python, "-c", REQUEST, endpoint) == "not_permitted"
    # the same from outside of the host, over the socket that is there for its agents
    stranger = UserClient(*as_user(NOBODY, host.folder), NOBODY, endpoint, 5)
    with pytest.raises(NotPermitted):
        stranger.request("stop", {"path": "/echo"})
    for folder in (host.places.state_folder, host.places.logs, host.places.data_folder(0)):
        done = host.call("/nobody", {"do": "run", "command": ["ls", str(folder)]})
        assert done["status"] != 0 and "denied" in done["err"], done
    target = str(host.pid("/echo")) if namespace == "never" else "1"
    done = host.call("/nobody", {"do": "run", "command": ["/bin/kill", "-KILL", target]})
    assert done["status"] != 0, done
    done = host.call("/nobody", {"do": "run", "command": ["sh", "-c", f"echo 0 > {_procs(host)}"]})
    assert done["status"] != 0, "out of its cell"
    assert host.state("/echo") == "ready"


def _procs(host: Running) -> str:
    folders = host.cgroups()
    return f"{folders[0]}/system/cgroup.procs" if folders else "/proc/1/none"


def test_a_child_is_of_its_owners_user_and_of_no_other(start: Start) -> None:
    lead = {"agent": f"{FAMILIES}:Parent", "cwd": "/"}
    host = start(tree({"name": "nobody", "user": "nobody", **lead}, {"name": "root", **lead}), for_all=True)
    child = {"agent": f"{FAMILIES}:Worker"}

    def begun(owner: str, name: str, **keys: Any) -> Any:
        return host.call(owner, {"do": "start_child", "name": name, "spec": {**child, **keys}})

    for owner, keys, uid in (
        ("/nobody", {}, NOBODY),
        ("/nobody", {"user": "nobody"}, NOBODY),
        ("/root", {}, 0),
        ("/root", {"user": "daemon"}, DAEMON),
    ):
        name = f"c{len(keys)}"
        begun(owner, name, **keys)
        assert _uid(host.pid(f"{owner}/{name}")) == uid
    for user in ("daemon", "root", 0):
        said = str(begun("/nobody", "other", user=user))
        assert "not permitted" in said and "another user" in said, said
        assert "/nobody/other" not in host.rows()


def _uid(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0])


def test_a_user_that_comes_with_a_reload_is_let_in(start: Start) -> None:
    host = start(tree(doer("root")), for_all=True)
    fresh = tree(doer("root"), doer("daemon", user="daemon"))
    host.config.write_text(json.dumps({"agenthost": 1, "name": host.name, "tree": fresh}))
    host.ask("reload")
    host.wait_state("/daemon", "ready")
    assert host.call("/root", {"do": "call", "path": "/daemon", "body": {"do": "pid"}})["reply"]
    assert host.ask("counters")["router.refused_uid"] == 0


def failure(host: Running, pool: str) -> str:
    """What the first member of that pool is told to fail of."""
    with pytest.raises(AgenthostError) as raised:
        host.ask("start", path=f"{pool}/one")
    return str(raised.value)


def test_what_another_user_cannot_reach_is_said_clearly(start: Start, places: Path) -> None:
    closed = places / "closed"
    closed.mkdir(mode=0o700)
    (closed / "code.py").write_text(AGENTS.read_text())
    common = {"restart": "temporary", "user": "nobody"}
    members = {
        "folder": {"agent": f"{AGENTS}:Echo", "cwd": str(closed)},
        "code": {"agent": f"{closed}/code.py:Echo", "cwd": "/"},
        "where": {"command": ["sleep", "1"], "cwd": str(closed)},
        "program": {"command": [str(closed / "code.py")], "cwd": "/"},
    }
    pools = [{"name": name, "pool": {**member, **common}} for name, member in members.items()]
    host = start(tree(doer("fine"), *pools), for_all=True)
    said = failure(host, "/folder")
    assert f"cannot enter '{closed}': Permission denied" in said and "user nobody" in said
    said = failure(host, "/code")
    assert "Permission denied" in said and "user nobody must be able to read it" in said
    assert f"cannot enter '{closed}': Permission denied" in failure(host, "/where")
    assert "Permission denied" in failure(host, "/program")
    assert host.state("/fine") == "ready"


def test_a_python_that_another_user_cannot_run_is_said_clearly(start: Start) -> None:
    if interpreter_for(NOBODY) == sys.executable:
        pytest.skip("every user can run this Python")
    pool = {"agent": f"{AGENTS}:Echo", "cwd": "/", "restart": "temporary", "user": "nobody"}
    host = start(tree(doer("fine"), {"name": "nobody", "pool": pool}))
    assert "cannot run Python as user nobody" in failure(host, "/nobody")


LIAR = """
import os
from agenthost import Agent
from agenthost.launch import zygote
real = zygote.Forked
zygote.Forked = lambda id, pid: real(id=id, pid=os.getppid())
class Liar(Agent):
    def handle(self, message, ctx):
        return os.getpid()
"""
"""Its zygote says that the host was born."""


def test_a_zygote_of_another_user_cannot_pass_off_a_foreign_process_as_its_child(start: Start, places: Path) -> None:
    code = places / "liar.py"
    code.write_text(LIAR)
    pool = {"agent": f"{code}:Liar", "cwd": "/", "restart": "temporary", "user": "nobody", "start_timeout": "20s"}
    host = start(tree(agent("echo", "Echo"), {"name": "pool", "pool": pool}), for_all=True)
    own = sorted(host.own_pids("host") + host.own_pids("router"))
    host.ask("start", path="/pool/one")  # what the kernel says was born counts, and the liar is ended
    assert _uid(host.pid("/pool/one")) == NOBODY
    assert sorted(host.own_pids("host") + host.own_pids("router")) == own
    assert host.call("/echo", 1) == 1


def check(python: str, environment: dict[str, str], config: Path, **popen: Any) -> str:
    command = [python, "-m", "agenthost.cli", "check", str(config)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, cwd="/", **popen
    )
    assert done.returncode == (0 if "good" in done.stdout else ConfigError.exit_code), done
    return done.stdout + done.stderr


def test_users_that_cannot_be_had_are_refused_before_anything_is_started(places: Path) -> None:
    python, environment = as_user(NOBODY, places)

    def checked(name: Any, **popen: Any) -> str:
        config = places / "checked.yaml"
        config.write_text(json.dumps({"agenthost": 1, "tree": tree({"name": "a", "command": ["true"], "user": name})}))
        return check(python, environment, config, **popen)

    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    assert "good" in checked("daemon")
    assert "there is no user 'no-such-user'" in checked("no-such-user")
    assert "there is no account with uid 54329" in checked(54329)
    assert "good" in checked("nobody", **as_nobody)
    said = checked("daemon", **as_nobody)
    assert "cannot run anything as daemon" in said and "only root may change users" in said
