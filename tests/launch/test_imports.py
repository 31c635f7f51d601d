"""Releases that import, and those that do not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest

from agenthost.errors import StartFailed
from agenthost.launch.launcher import Release
from agenthost.launch.orders import Forked, ForkFailed, Imported
from agenthost.launch.zygotes import Zygotes
from tests.launch.births import agent, give_birth, launching, within
from tests.waiting import wait_until


def release_of(folder: Path, source: str, name: str = "authors") -> Release:
    (folder / f"{name}.py").write_text(source)
    return Release(modules=(name,), search_path=(str(folder),))


async def failure(zygotes: Zygotes, release: Release) -> StartFailed:
    with pytest.raises(StartFailed) as caught:
        await give_birth(zygotes, agent("end", release=release))
    return caught.value


async def say(zygotes: Zygotes, release: Release, module: str = "authors") -> str:
    newborn = await give_birth(zygotes, agent("call", release=release, module=module, function="say"))
    said = newborn.output()
    assert newborn.wait_ended() == 0
    return said


def test_a_module_is_imported_once_for_all_agents_of_its_release(tmp_path: Path) -> None:
    async def test() -> None:
        release = release_of(
            tmp_path, f"open({str(tmp_path / 'imports')!r}, 'a').write('x')\ndef say(): return 'hello'\n"
        )
        async with launching() as zygotes:
            for _ in range(3):
                assert await say(zygotes, release) == "hello\n"
            (status,) = zygotes.status()
        assert (tmp_path / "imports").read_text() == "x"
        assert status.release == release
        assert (status.born, status.ready, status.under_way) == (3, True, 0)
        assert len(status.digest) == 16

    within(test())


def test_a_file_is_loaded_under_a_name_by_which_others_find_it(tmp_path: Path) -> None:
    from agenthost.launch.modules import module_name

    async def test() -> None:
        file = tmp_path / "my agent.py"
        file.write_text("import sys\ndef say(): return sys.modules[__name__].__name__ == __name__\n")
        async with launching() as zygotes:
            assert await say(zygotes, Release(modules=(str(file),)), module_name(str(file))) == "True\n"

    within(test())


def test_an_import_that_raises_is_permanent_and_shows_only_the_authors_frames(tmp_path: Path) -> None:
    async def test() -> None:
        release = release_of(tmp_path, "def half():\n    return 1 / 0\nhalf()\n")
        async with launching() as zygotes:
            error = await failure(zygotes, release)
        assert error.permanent
        assert error.message == "cannot import authors: ZeroDivisionError: division by zero"
        assert error.trace.startswith(f'Traceback (most recent call last):\n  File "{tmp_path}/authors.py", line 3')
        assert "importlib" not in error.trace
        assert "zygote" not in error.trace

    within(test())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module_at_all\n", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def f(:\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
def test_what_else_an_import_can_do_wrong_is_told(tmp_path: Path, source: str, words: str) -> None:
    async def test() -> None:
        async with launching() as zygotes:
            error = await failure(zygotes, release_of(tmp_path, source))
        assert words in error.message
        assert error.permanent

    within(test())


def test_a_module_that_is_not_there_hints_at_the_search_path() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            error = await failure(zygotes, Release(modules=("no_such_module_at_all",)))
            assert error.hint == "its folder must be in the search path"
            error = await failure(zygotes, Release(modules=("/no/such/file.py",)))
            assert "FileNotFoundError" in error.message
            error = await failure(zygotes, Release(cwd="/no/such/folder"))
            assert error.message == "cannot enter '/no/such/folder': No such file or directory"

    within(test())


def test_a_module_that_starts_a_thread_is_refused_by_name(tmp_path: Path) -> None:
    async def test() -> None:
        source = (
            "import threading\nthreading.Thread(target=threading.Event().wait, name='poller', daemon=True).start()\n"
        )
        async with launching() as zygotes:
            error = await failure(zygotes, release_of(tmp_path, source))
        assert error.message == "cannot fork agents of 'authors': importing it started 1 thread(s) (poller)"
        assert error.permanent

    within(test())


def test_an_import_that_kills_its_process_is_tried_twice_and_told(tmp_path: Path) -> None:
    async def test() -> None:
        tries = tmp_path / "tries"
        source = f"import os, signal\nopen({str(tries)!r}, 'a').write('x')\nos.kill(os.getpid(), signal.SIGSEGV)\n"
        async with launching() as zygotes:
            error = await failure(zygotes, release_of(tmp_path, source))
        assert "the zygote of authors ended while importing (killed by SIGSEGV)" in error.message
        assert not error.permanent
        assert tries.read_text() == "xx"

    within(test())


def test_the_next_birth_after_a_failed_import_tries_anew(tmp_path: Path) -> None:
    async def test() -> None:
        release = release_of(tmp_path, "raise ValueError\n")
        async with launching() as zygotes:
            await failure(zygotes, release)
            release_of(tmp_path, "def say(): return 'mended'\n")
            assert await say(zygotes, release) == "mended\n"

    within(test())


def test_renew_brings_new_code_and_keeps_the_old_if_the_new_does_not_import(tmp_path: Path) -> None:
    async def test() -> None:
        release = release_of(tmp_path, "def say(): return 'old'\n")
        async with launching() as zygotes:
            assert await say(zygotes, release) == "old\n"
            (old,) = zygotes.status()
            release_of(tmp_path, "def say(): return 'much newer'\n")
            assert await say(zygotes, release) == "old\n"
            await zygotes.renew(release)
            assert await say(zygotes, release) == "much newer\n"
            wait_until(lambda: _is_zombie_or_gone(old.pid), what="the old zygote has ended")
            release_of(tmp_path, "1 / 0\n")
            with pytest.raises(StartFailed, match="ZeroDivisionError"):
                await zygotes.renew(release)
            assert await say(zygotes, release) == "much newer\n"
            assert old.digest not in {status.digest for status in zygotes.status() if status.pid != old.pid}

    within(test())


def test_what_an_import_has_opened_stays_open_in_its_agents(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "data").write_text("from the file")
        source = f"file = open({str(tmp_path / 'data')!r})\ndef say(): return file.read()\n"
        async with launching() as zygotes:
            assert await say(zygotes, release_of(tmp_path, source)) == "from the file\n"

    within(test())


def _is_zombie_or_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return not os.path.exists(f"/proc/{pid}")


NOBODY_ASKED = (Forked(id=7, pid=1), ForkFailed(id=7, errno=1, error="x"))


@pytest.mark.parametrize("said", [b"\xc1", *map(msgspec.msgpack.encode, NOBODY_ASKED)])
def test_a_zygote_that_says_what_none_of_ours_would_is_ended(tmp_path: Path, said: bytes) -> None:
    """The author's code runs in it, with its descriptors."""
    source = (
        "import os, socket\n"
        "for number in map(int, os.listdir('/proc/self/fd')):\n"
        "    try:\n"
        f"        socket.socket(fileno=os.dup(number)).send({said!r})\n"
        "    except OSError:\n"
        "        pass\n"
    )

    async def test() -> None:
        async with launching() as zygotes:
            error = await failure(zygotes, release_of(tmp_path, source))
            # it may have said that it had imported before its lie was read
            assert re.search(r"ended (while importing|before it was born) \(killed by SIGKILL\)", str(error)), error
            assert await say(zygotes, release_of(tmp_path, "def say(): return 'well'", "others"), "others") == "well\n"

    within(test())


def test_descriptors_that_nobody_asked_a_zygote_for_are_closed(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    said = msgspec.msgpack.encode(Imported(digest="mine"))
    source = (
        "import os, socket\n"
        f"mine = os.open({str(marker)!r}, os.O_CREAT | os.O_RDONLY)\n"
        "for number in map(int, os.listdir('/proc/self/fd')):\n"
        "    try:\n"
        f"        socket.send_fds(socket.socket(fileno=os.dup(number)), [{said!r}], [mine, mine])\n"
        "    except OSError:\n"
        "        pass\n"
        "def say(): return 'well'\n"
    )

    async def test() -> None:
        async with launching() as zygotes:
            assert await say(zygotes, release_of(tmp_path, source)) == "well\n"
            (status,) = zygotes.status()
            assert status.digest != "mine", "the zygote's own word came later"
            assert str(marker) not in {_target(number) for number in os.listdir("/proc/self/fd")}

    within(test())


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
