"""Who gets a way to whose socket: the folders of users, with real sockets and without a host."""

from __future__ import annotations

import os
import socket
import stat
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from agenthost.containment.walk import WalkContainment
from agenthost.core.birth import AgentBirth, Limits
from agenthost.errors import NotPermitted, NotRunning
from agenthost.host.doors import Doors
from agenthost.host.incarnation import Incarnation
from agenthost.transport.places import Places

pytestmark = pytest.mark.root
A, B, C = 54321, 54322, 54323


@pytest.fixture
def doors(places: Path) -> Doors:
    here = Places("doors", environ={"AGENTHOST_RUNTIME_DIR": str(places / "run"), "AGENTHOST_STATE_DIR": str(places)})
    here.create((A, B))
    return Doors(here, (A, B))


def callee(user: int | None) -> Incarnation:
    birth = AgentBirth("m:A", user=user)
    cell = WalkContainment().cell("/a", "1.7", Limits())
    return Incarnation("/a", 7, "1.7", birth, cell, time.monotonic())


def bind(stack: ExitStack, doors: Doors, it: Incarnation) -> Path:
    listening = stack.enter_context(socket.socket(socket.AF_UNIX))
    path = Path(doors.data_folder(it.birth.user), f"d-{it.name}")
    listening.bind(str(path))
    listening.listen()
    os.chown(path, it.birth.user or 0, -1)
    return path


def reaches(uid: int, address: str) -> bool:
    """Whether a process of that user can connect."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(address.removeprefix("ipc://"))
            os._exit(0)
        except OSError:
            os._exit(1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("owner", [None, A])
def test_only_who_was_let_through_can_connect(doors: Doors, owner: int | None) -> None:
    it = callee(owner)
    with ExitStack() as stack:
        own = bind(stack, doors, it)
        assert reaches(owner or 0, doors.address(it, owner or 0))
        theirs = [f"ipc://{doors.data_folder(uid)}/{own.name}" for uid in (B,)]
        assert not any(reaches(B, address) for address in (f"ipc://{own}", *theirs))
        assert reaches(B, doors.address(it, B))
        assert not reaches(C, f"ipc://{own}") and not reaches(C, doors.address(it, B))
        assert doors.address(it, B) == doors.address(it, B)
        doors.close(it)
        assert not own.exists() and not Path(doors.data_folder(B), own.name).exists()
        doors.close(it)


def test_who_has_no_folder_is_refused(doors: Doors) -> None:
    with pytest.raises(NotPermitted, match=f"as uid {C}"):
        doors.address(callee(A), C)


def test_a_user_that_comes_later_gets_a_folder_once() -> None:
    told: list[int] = []
    places = Places("later")
    places.create()
    doors = Doors(places, (), told.append)
    for user in (None, A, A, B):
        doors.admit(user)
    assert told == [A, B]
    for uid in told:
        found = places.data_folder(uid).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (uid, 0o700)


def test_what_is_not_the_callees_own_socket_is_not_handed_on(doors: Doors) -> None:
    it = callee(A)
    path = Path(doors.data_folder(A), f"d-{it.name}")
    with pytest.raises(NotRunning, match="No such file"):
        doors.address(it, B)
    for put in (lambda: path.symlink_to("/run/elsewhere"), lambda: path.write_text("x"), lambda: path.mkdir()):
        put()
        with pytest.raises(NotRunning, match="socket"):
            doors.address(it, B)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    with ExitStack() as stack:
        bind(stack, doors, it)
        os.chown(path, B, -1)  # a socket of somebody else's, under its name
        with pytest.raises(NotRunning, match="not the agent's own"):
            doors.address(it, B)
        assert not Path(doors.data_folder(B), path.name).exists()
        doors.close(it)
