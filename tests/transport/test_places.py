from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from agenthost.errors import NoHost, StateError, UsageError
from agenthost.transport.places import Places, find_endpoint, running_hosts

ME = os.getuid()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def listen(place: Places) -> socket.socket:
    place.create()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place.control_socket(ME)))
    listener.listen()
    return listener


def test_root_and_others_have_their_folders_where_the_system_wants_them() -> None:
    root = Places("team", 0, {})
    assert str(root.runtime_folder) == "/run/agenthost/team"
    assert str(root.state_folder) == "/var/lib/agenthost/team"
    user = Places("team", 1000, {"XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/home/ana"})
    assert user.control_endpoint(1000) == "ipc:///run/user/1000/agenthost/team/1000/control"
    assert str(user.births) == "/home/ana/.local/state/agenthost/team/births"
    assert str(Places("team", 1000, {"HOME": "/h"}).runtime_folder) == "/tmp/agenthost-1000/team"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "a\n", "x" * 65])
def test_a_name_that_is_no_plain_word_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Places(name)


def test_folders_are_made_with_the_modes_that_keep_others_out(places: Path) -> None:
    place = Places("team")
    place.create()
    place.create()
    assert mode(place.runtime_folder) == 0o711
    assert mode(place.data_folder(ME)) == 0o700
    assert mode(place.state_folder) == 0o700
    assert mode(place.logs) == 0o700
    place.remove_sockets()


def test_a_mode_that_was_loosened_is_put_right(places: Path) -> None:
    place = Places("team")
    place.create()
    place.data_folder(ME).chmod(0o777)
    place.create()
    assert mode(place.data_folder(ME)) == 0o700
    place.remove_sockets()


@pytest.mark.root
def test_each_uid_gets_a_folder_of_its_own(places: Path) -> None:
    place = Places("team")
    place.create([65534])
    folder = place.data_folder(65534)
    assert folder.stat().st_uid == 65534 and mode(folder) == 0o700
    place.remove_sockets()


@pytest.mark.root
def test_a_folder_of_somebody_else_is_refused(places: Path) -> None:
    place = Places("team")
    place.runtime_folder.mkdir(parents=True)
    os.chown(place.runtime_folder, 65534, -1)
    with pytest.raises(StateError, match="belongs to uid 65534"):
        place.create()
    os.rmdir(place.runtime_folder)


def test_a_symbolic_link_in_place_of_a_folder_is_refused(places: Path) -> None:
    place = Places("team")
    place.runtime_folder.symlink_to(places)
    with pytest.raises(StateError, match="no folder"):
        place.create()
    place.runtime_folder.unlink()


def test_a_shared_folder_that_anybody_can_write_into_is_refused(places: Path) -> None:
    (places / "run").chmod(0o777)
    with pytest.raises(StateError, match="others can write"):
        Places("team").create()


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(places: Path) -> None:
    deep = places / ("x" * 80)
    with pytest.raises(StateError, match="AGENTHOST_RUNTIME_DIR"):
        Places("team", ME, {"AGENTHOST_RUNTIME_DIR": str(deep), "AGENTHOST_STATE_DIR": str(places)}).create()
    assert not deep.exists()


def test_running_hosts_are_those_that_listen(places: Path) -> None:
    stale, alive = Places("stale"), Places("alive")
    listen(stale).close()
    with listen(alive):
        assert [host.name for host in running_hosts()] == ["alive"]
        assert find_endpoint() == alive.control_endpoint(ME)
    for place in (stale, alive):
        place.remove_sockets()
        assert not place.runtime_folder.exists()


def test_a_client_that_cannot_know_which_host_is_told_their_names(places: Path) -> None:
    one, two = Places("one"), Places("two")
    with listen(one), listen(two):
        with pytest.raises(NoHost, match="one, two"):
            find_endpoint()
        with pytest.raises(NoHost, match="running: one, two"):
            find_endpoint(host="three")
        assert find_endpoint(host="two") == two.control_endpoint(ME)
    one.remove_sockets()
    two.remove_sockets()


def test_a_client_without_any_host_is_told_how_to_start_one(places: Path) -> None:
    with pytest.raises(NoHost, match="agenthost run"):
        find_endpoint()


def test_an_explicit_socket_comes_first_then_a_name_then_the_environment(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Places("one"), Places("two")
    with listen(one), listen(two):
        monkeypatch.setenv("AGENTHOST_SOCKET", str(one.control_socket(ME)))
        assert find_endpoint() == one.control_endpoint(ME)
        assert find_endpoint(host="two") == two.control_endpoint(ME)
        assert find_endpoint(two.control_endpoint(ME), "one") == two.control_endpoint(ME)
        with pytest.raises(NoHost, match="no socket is there"):
            find_endpoint(str(places / "nothing"))
    one.remove_sockets()
    two.remove_sockets()


@pytest.mark.root
def test_a_host_that_somebody_else_pretends_to_be_is_not_found(places: Path) -> None:
    false = Places("false")
    with listen(false):
        os.chown(false.runtime_folder, 65534, -1)
        assert running_hosts() == []
        os.chown(false.runtime_folder, 0, -1)
        assert [host.name for host in running_hosts()] == ["false"]
    false.remove_sockets()


@pytest.mark.root
def test_a_root_that_somebody_else_owns_is_not_looked_into(places: Path) -> None:
    with listen(Places("false")) as _:
        os.chown(places / "run", 65534, -1)
        assert running_hosts(1000, {"AGENTHOST_RUNTIME_DIR": str(places / "run")}) == []
        os.chown(places / "run", 0, -1)
    Places("false").remove_sockets()
