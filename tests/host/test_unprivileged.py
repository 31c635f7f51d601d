"""Nothing escapes from a host without rights either: the same awkward descendants, started by an ordinary user through
the ordinary command line; with a cgroup that was delegated to that user, with user namespaces, with nothing; and where
the cgroup tree is read-only, as in a container.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agenthost.containment import ground, hierarchy, precedence, tiers
from tests.host.awkward import awkward_two, brood, family
from tests.host.running import NOBODY, PATIENCE_S, Running, agent, is_alive, kill, running, tree
from tests.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

SOMEBODY = 54321
READ_ONLY = (
    "mount --make-rprivate /; for place in $(awk '$5 ~ \"^/sys/fs/cgroup\" {print $5}' /proc/self/mountinfo); do "
    'mount -o remount,bind,ro "$place" || exit 9; done; exec "$@"'
)
JOIN = 'echo 0 > "$0/cgroup.procs" && exec "$@"'


def becoming(uid: int) -> tuple[str, ...]:
    """Words before a command; ``as_user`` gives the rest."""
    if uid == 0:
        return ("setpriv", "--pdeathsig", "KILL")
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--pdeathsig", "KILL")


@contextmanager
def delegated(uid: int) -> Iterator[str]:
    """A cgroup that belongs to a user: what systemd's Delegate=yes makes."""
    own = ground.own_folders().get("")
    if own is None or not tiers.probe()[0].available:
        pytest.skip("no cgroup can be given away here")
    folder = f"{own}/unit-{os.getpid()}.service"
    os.mkdir(folder)
    for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(os.path.join(folder, name), uid, uid)
    try:
        yield folder
    finally:
        wait_until(lambda: hierarchy.try_remove(folder), PATIENCE_S, f"{hierarchy.processes(folder)} have left")


@contextmanager
def host_of(way: str, places: Path, record_tier: Callable[..., None]) -> Iterator[Running]:
    """A host with awkward descendants of an agent and of a program."""
    for needed in ("setpriv", "unshare"):
        if shutil.which(needed) is None:
            pytest.skip(f"there is no {needed} (util-linux)")
    kind, _, who = way.partition(" as ")
    uid = {"root": 0, "nobody": NOBODY}.get(who, SOMEBODY)
    keys = {"containment": "walk", "namespace": "never"} if kind == "walk" else {}
    with ExitStack() as stack:
        wrapper = becoming(uid)
        if kind == "cgroup":
            wrapper = ("sh", "-c", JOIN, stack.enter_context(delegated(uid)), *wrapper)
        elif kind == "read-only":
            wrapper = ("unshare", "-m", "sh", "-c", READ_ONLY, "sh", *wrapper)
        one = stack.enter_context(
            running(
                places,
                tree(agent("echo", "Echo"), *awkward_two(), intensity=100),
                uid=uid or None,
                wrapper=wrapper,
                **keys,
            )
        )
        assert {_uid(pid) for pid in one.survivors()} == {uid}
        record_tier(f"{one.host()['containment']} of an ordinary user" if uid else f"{one.host()['containment']}")
        yield one


def _uid(pid: int) -> int:
    return os.stat(f"/proc/{pid}").st_uid


QUICK = ["cgroup", "pidns"]
SLOW = ["walk", "pidns as nobody", "walk as nobody", "read-only", "read-only as root"]
TIER = {"read-only": "pidns"}


@pytest.mark.parametrize("way", [*QUICK, *(pytest.param(way, marks=pytest.mark.slow) for way in SLOW)])
def test_nothing_of_it_survives_a_stop_a_kill_its_own_end_or_its_guardians(
    places: Path, way: str, record_tier: Callable[..., None]
) -> None:
    with host_of(way, places, record_tier) as host:
        kind = way.partition(" as ")[0]
        if host.host()["containment"] != TIER.get(kind, kind):
            pytest.skip(f"this machine gives an ordinary user {host.host()['containment']}")
        for path in ("/awkward", "/program"):
            for verb in ("kill", "stop"):
                members = family(host, path)
                host.ask(verb, path=path)
                assert not [pid for pid in members if is_alive(pid)], (path, verb)
                if verb == "kill":
                    host.wait_state(path, "ready")
            host.ask("start", path=path)
        members = family(host, "/awkward") | family(host, "/program")
        [pid] = host.own_pids("host")
        host.hang_up()
        kill(pid)
        wait_until(lambda: not any(map(is_alive, members)), PATIENCE_S, "all are gone with the host")
        host.wait(lambda: host.host().get("state") == "ready", "it is ready again")
        host.wait_answers("/echo")
        brood(host, "/awkward")
        kill(host.guardian_pid)
        wait_until(lambda: not host.survivors(), PATIENCE_S, f"nothing survives: {host.survivors()}")


@pytest.mark.slow
def test_what_a_delegated_cgroup_lacks_is_said(places: Path, record_tier: Callable[..., None]) -> None:
    with host_of("cgroup", places, record_tier) as host:
        assert host.host()["containment"] == "cgroup"
        said = {one["subject"]: one for one in host.ask("doctor")}
        own = ground.own_folders()[""]
        if "memory" in hierarchy.read(f"{own}/cgroup.controllers").split():
            pytest.skip("cgroup v2 has the controllers here: they are delegated with the folder")
        assert not said["limits"]["ok"]
        assert "memory by rlimit only, for each process alone" in said["limits"]["text"], said
        assert "processes by rlimit only" in said["limits"]["text"]
        assert "Delegate=yes" in said["limits"]["text"]
        # threads in no cpu group: who gives way does so inside of its session alone (sched(7), autogroup)
        apart = precedence.kept_apart()
        if apart:
            assert not said["busy agents"]["ok"]
            assert apart in said["busy agents"]["text"] or "LimitNICE" in said["busy agents"]["text"]
