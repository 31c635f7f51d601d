"""Reading /proc and the files that say where cgroups are."""

from __future__ import annotations

import os
import threading

from hypothesis import given
from hypothesis import strategies as st

from agenthost.containment import hierarchy, procfs
from agenthost.containment.hierarchy import Mount
from tests.containment import births
from tests.waiting import wait_until


@given(
    pid=st.integers(1, 2**22),
    name=st.binary(max_size=60).filter(lambda name: b"\0" not in name),
    ppid=st.integers(0, 2**22),
    session=st.integers(0, 2**22),
    ticks=st.lists(st.integers(0, 2**40), min_size=4, max_size=4),
    threads=st.integers(0, 1000),
    start=st.integers(0, 2**50),
)
def test_a_stat_line_is_read_whatever_the_process_calls_itself(
    pid: int, name: bytes, ppid: int, session: int, ticks: list[int], threads: int, start: int
) -> None:
    head = b"%d (%s) S %d 1 %d 0 -1 4194560 1 2 3 4 " % (pid, name, ppid, session)
    line = head + b"%d %d %d %d 20 0 %d 0 %d 1000 25\n" % (*ticks, threads, start)
    assert procfs.parse_stat(line) == procfs.Stat(pid, ppid, "S", session, threads, start, sum(ticks))


def test_our_own_stat_is_true() -> None:
    mine = procfs.stat(os.getpid())
    assert mine
    assert (mine.pid, mine.ppid, mine.session) == (os.getpid(), os.getppid(), os.getsid(0))
    assert mine.alive
    assert 0 < mine.start_time <= procfs.now_ticks()


def test_now_is_on_the_clock_of_start_times() -> None:
    before = procfs.now_ticks()
    pid = births.child(lambda: None)
    after = procfs.now_ticks()
    since = procfs.start_time(pid)
    os.waitpid(pid, 0)
    assert since is not None and before - 1 <= since <= after + 1


def test_who_has_gone_is_none_not_an_error() -> None:
    pid = births.child(lambda: None)
    os.waitpid(pid, 0)
    assert procfs.stat(pid) is None
    assert procfs.start_time(pid) is None
    assert procfs.children(pid) == []
    assert procfs.descendants([pid]) == {}
    assert procfs.environ(pid, "PATH") == {}


def test_a_zombie_is_not_alive() -> None:
    pid = births.child(lambda: None)
    wait_until(lambda: not (one := procfs.stat(pid)) or one.state == "Z")
    one = procfs.stat(pid)
    assert one and not one.alive
    assert procfs.living(pid, one.start_time) is None
    os.waitpid(pid, 0)


def test_a_leader_that_ended_beside_running_threads_is_alive() -> None:
    def act() -> None:
        threading.Thread(target=births.rest_quietly).start()
        births.exit_thread()

    pid = births.child(act)
    wait_until(lambda: (one := procfs.stat(pid)) and one.state == "Z", what="the leader is a zombie")
    one = procfs.stat(pid)
    assert one and one.alive
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_descendants_are_found_parents_first() -> None:
    told, tell = os.pipe()

    def deep(depth: int) -> None:
        if depth:
            births.child(lambda: deep(depth - 1))
        os.write(tell, b".")
        births.rest()

    top = births.child(lambda: deep(3))
    heard = b""
    while len(heard) < 4:
        heard += os.read(told, 4)
    os.close(told)
    os.close(tell)
    found = procfs.descendants([top])
    line = list(found)
    assert len(line) == 3
    assert [found[pid].ppid for pid in line] == [top, *line[:-1]]
    below = procfs.children_map(procfs.snapshot().values())
    assert below[top] == [line[0]]
    for pid in (*reversed(line), top):
        os.kill(pid, 9)
    os.waitpid(top, 0)


MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
26 25 0:22 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
27 25 0:23 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
28 25 0:24 /docker/ab /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
29 25 0:25 / /odd\040place\134x rw - cgroup cgroup rw,memory
broken line
30 25
"""


def test_mounts_are_read() -> None:
    assert hierarchy.parse_mounts(MOUNTINFO) == [
        Mount("/sys/fs/cgroup/unified", "/", frozenset()),
        Mount("/sys/fs/cgroup/cpu,cpuacct", "/docker/ab", frozenset({"cpu"})),
        Mount("/odd place\\x", "/", frozenset({"memory"})),
    ]


def test_our_folders_follow_from_mounts_and_entries() -> None:
    mine = hierarchy.parse_entries(b"7:memory:/m\n3:cpu,cpuacct:/docker/ab/c\n1:name=systemd:/\n0::/user.slice/a:b\n")
    assert mine == {
        "memory": "/m",
        "cpu": "/docker/ab/c",
        "cpuacct": "/docker/ab/c",
        "name=systemd": "/",
        "": "/user.slice/a:b",
    }
    assert hierarchy.folders(hierarchy.parse_mounts(MOUNTINFO), mine) == {
        "": "/sys/fs/cgroup/unified/user.slice/a:b",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/c",
        "memory": "/odd place\\x/m",
    }


def test_an_entry_that_the_mount_does_not_show_has_no_folder() -> None:
    mount = Mount("/c", "/docker/ab", frozenset())
    assert mount.folder("/docker/ab") == "/c"
    assert mount.folder("/docker/abc") is None
    assert mount.folder("/other") is None
    assert mount.folder("/../x") is None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    hierarchy.parse_mounts(data)
    hierarchy.parse_entries(data)


@given(st.text(min_size=1, max_size=400), st.text(min_size=1, max_size=400))
def test_folder_names_are_short_safe_and_different(one: str, other: str) -> None:
    try:
        name = hierarchy.folder_name("a", one)
        second = hierarchy.folder_name("a", other)
    except UnicodeEncodeError:  # a lone surrogate is no name; config and wire are UTF-8
        return
    assert len(name) <= 255 and name.startswith("a-")
    assert not set(name) & set("/\n\0")
    assert (name == second) == (one == other)
