"""A whole host with real processes, as a user starts it: a config file and ``agenthost run``.

``Running`` knows the guardian alone, by the process it started; all else it asks the host, or reads from /proc. Every
process of the host carries ``MARK`` in its environment, so what survives is counted from outside, whoever its parent
is by then. However a test ends, nothing outlives ``end``.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agenthost import kernel
from agenthost.client.client import Client
from agenthost.errors import AgenthostError
from agenthost.transport.places import Places
from tests.guardian.driving import interpreter_for
from tests.host.user_client import UserClient
from tests.own_processes import own_pids
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
AGENTS = Path(__file__).resolve().parent / "agents.py"
MARK = "AGENTHOST_TEST_HOST"
NOBODY = 65534
PATIENCE_S = 60.0
"""How long a fact may take to come true on a loaded machine; no test waits longer for anything."""

Record = dict[str, Any]


def agent(name: str, kind: str, **keys: Any) -> dict[str, Any]:
    """The config of one of the agents in ``agents.py``."""
    return {"name": name, "agent": f"{AGENTS}:{kind}", **keys}


def tree(*children: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"children": list(children), **keys}


class Running:
    """``uid``: whose host it is, with folders of its own; ours without it. ``for_all``: it is ours, and its Python is
    one that all users can run. ``wrapper``: words before the command, which then become ``uid`` themselves. Without a
    call of ``start`` nothing runs."""

    def __init__(
        self,
        folder: Path,
        config_tree: dict[str, Any],
        *,
        name: str = "",
        uid: int | None = None,
        for_all: bool = False,
        wrapper: tuple[str, ...] = (),
        **host_keys: Any,
    ) -> None:
        # The name is of this run alone: its cgroups lie beside those of other runs on this machine.
        self.name = name = name or f"t{os.getpid()}"
        self.folder, self.uid = folder, uid
        self.mark = secrets.token_hex(8)
        self.environment = {**os.environ, MARK: self.mark}
        self.python = sys.executable
        if uid is not None:
            self.python, own = as_user(uid, folder)
            self.environment |= own
        elif for_all:
            self.python, own = as_user(NOBODY, folder)
            self.environment["PYTHONPATH"] = own["PYTHONPATH"]
        self.wrapper = wrapper
        self.places = Places(name, uid=os.getuid() if uid is None else uid, environ=self.environment)
        self.config = folder / f"{name}.yaml"
        self.output_file = folder / f"{name}.out"
        self.config.write_text(json.dumps({"agenthost": 1, "name": name, **host_keys, "tree": config_tree}))
        self.process: subprocess.Popen[bytes] | None = None
        self._client: Client | UserClient | None = None
        self._first_event = 1

    # ---- life

    def start(self) -> Running:
        self._first_event = 1
        command = [*self.wrapper, self.python, "-m", "agenthost.cli", "run", str(self.config)]
        who = None if self.wrapper else self.uid
        with open(self.output_file, "ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.folder,
                user=who,
                group=who,
                extra_groups=[] if who else None,
                process_group=0,
                preexec_fn=_end_with_pytest,
            )
        return self

    def wait_ready(self, seconds: float = PATIENCE_S) -> Running:
        self.wait(lambda: self.host().get("state") == "ready", "the host is ready", seconds)
        return self

    def end(self) -> None:
        """KILL the guardian, and then, should the kernel or the host have left something, that too."""
        self.hang_up()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()

        def nobody() -> bool:
            left = self.survivors()
            for pid in left:
                _signal(pid, signal.SIGKILL)
            return not left

        wait_until(nobody, PATIENCE_S, f"nothing marked {self.mark} is left")
        # Those of a host that was killed; the next one of this name would remove them.
        wait_until(lambda: all(map(_try_remove, self.cgroups())), PATIENCE_S, f"{self.cgroups()} are removed")
        shutil.rmtree(self.places.runtime_folder, ignore_errors=True)  # sockets that a killed host left

    def signal(self, signum: int) -> None:
        """To the guardian, as a terminal or systemd does it."""
        assert self.process is not None
        self.process.send_signal(signum)

    def wait_end(self, seconds: float = PATIENCE_S) -> int:
        """The exit status of ``agenthost run``."""
        assert self.process is not None
        wait_until(lambda: self.process.poll() is not None, seconds, f"the guardian has ended:\n{self.output()}")  # type: ignore[union-attr]
        return int(self.process.returncode)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait_end()

    @property
    def guardian_pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    # ---- asking

    @property
    def client(self) -> Client | UserClient:
        """One that is kept. After the host was killed, ``hang_up`` gives the next one a fresh connection."""
        if self._client is None:
            self._client = self.new_client()
        return self._client

    def new_client(self, *, uid: int | None = None, patience_s: float = 5.0) -> Client | UserClient:
        """A client of the host's own user, or of ``uid``."""
        wanted = self.uid if uid is None else uid
        if wanted is None:
            return Client(self.endpoint, patience_s=patience_s)
        python, environment = as_user(wanted, self.folder)
        return UserClient(python, environment, wanted, self.endpoint, patience_s)

    @property
    def endpoint(self) -> str:
        return self.places.control_endpoint(self.places.uid)

    def hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def ask(self, op: str, **args: Any) -> Any:
        return self.client.request(op, args, timeout=PATIENCE_S)

    def call(self, path: str, body: Any = None, timeout: float = PATIENCE_S) -> Any:
        return self.client.call(path, body, timeout)

    def host(self) -> dict[str, Any]:
        """What the host says of itself; empty while it does not answer."""
        if not self.places.control_socket(self.places.uid).exists():
            return {}
        try:
            with self.new_client() as client:
                nobody = {"paths": ["/.host"]}  # of thousands of agents the rows would take the host a while
                found: dict[str, Any] = client.request("status", nobody, timeout=5)["host"]
                return found
        except AgenthostError:
            return {}

    def rows(self, **args: Any) -> dict[str, dict[str, Any]]:
        return {row["path"]: row for row in self.ask("status", **args)["tree"]}

    def row(self, path: str, **args: Any) -> dict[str, Any]:
        return self.rows(**args)[path]

    def state(self, path: str) -> str:
        return str(self.rows()[path]["state"])

    def pid(self, path: str) -> int:
        """As seen outside. Waits until there is one."""
        return int(self.wait(lambda: self.row(path)["pid"], f"{path} has a pid"))

    def own_pids(self, what: str) -> list[int]:
        """Of the host's own processes: "host", "router", "logger", or the beginning of "zygote of ..."."""
        return [one["pid"] for one in self.ask("ps") if one["what"].startswith(what) and one["pid"]]

    def wait_state(self, path: str, *states: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            row = self.rows().get(path)
            return row if row is not None and row["state"] in states else None

        found = self.wait(there, f"{path} is {' or '.join(states)}", seconds)
        assert found is not None
        return found

    def wait_answers(self, path: str, body: Any = "?") -> None:
        """Until a call to the echo at ``path`` comes back; each try on a connection of its own."""

        def answers() -> bool:
            try:
                with self.new_client() as client:
                    return bool(client.call(path, body, 10) == body)
            except AgenthostError:
                return False

        self.wait(answers, f"{path} answers")

    def wait(self, predicate: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
        """As ``wait_until``, for what only a running host makes true: its end, or the time's, shows what it printed."""

        def true_or_ended() -> Any:
            ended = self.process is not None and self.process.poll() is not None
            if not (value := predicate()) and ended:
                raise AssertionError(f"the host has ended before: {what}")
            return value

        try:
            return wait_until(true_or_ended, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- the host has printed:\n{self.output()[-6000:]}") from None

    def events(self, name: str = "", path: str = "") -> list[Record]:
        found = self.ask("events", **{"from": self._first_event})
        return [one for one in found if one["name"].startswith(name) and one["path"].startswith(path)]

    def forget_events(self) -> None:
        """From here on it counts from the next record on."""
        found = self.ask("events", **{"from": self._first_event})
        self._first_event = found[-1]["offset"] + 1 if found else self._first_event

    def wait_event(self, name: str, path: str = "", count: int = 1) -> Record:
        found = self.wait(
            lambda: records if len(records := self.events(name, path)) >= count else None,
            f"{count} records {name} of {path}",
        )
        return dict(found[count - 1])

    def wait_said(self, words: str) -> None:
        """Until the host has printed ``words``."""
        self.wait(lambda: words in self.output(), f"the host has printed {words!r}")

    def output(self) -> str:
        return self.output_file.read_text(errors="replace") if self.output_file.exists() else ""

    def printed(self, path: str) -> str:
        """What the agent has written to stdout and stderr, as kept by the logger."""
        from agenthost.observe.logs import tail

        folder = str(self.places.logs)
        return "\n".join(line.printable() for line in tail(folder, [path], lines=1000))

    def assert_no_bug_of_ours(self) -> None:
        """The host has printed no traceback of its own; those of agents stand within records."""
        output = self.output()
        found = max(output.find("\nTraceback"), output.find("Exception in callback"))
        assert found < 0, output[max(0, found - 1500) : found + 3000]

    # ---- from outside

    def survivors(self) -> dict[int, str]:
        """Living processes with our mark, whoever started them: pid to what it is."""
        return marked(f"{MARK}={self.mark}")

    def cgroups(self) -> list[str]:
        """Folders of this host in any hierarchy. Into those of other hosts it does not look: they may be thousands."""
        found = []
        for place, names, _ in os.walk("/sys/fs/cgroup"):
            found += [f"{place}/{name}" for name in names if name.startswith(f"agenthost-{self.name}.")]
            names[:] = [name for name in names if not name.startswith("agenthost-")]
        return found

    def assert_nothing_left(self, seconds: float = PATIENCE_S) -> None:
        """Called after the end: no process and no cgroup of ours is there any more."""
        wait_until(lambda: not self.survivors(), seconds, f"nothing survives: {self.survivors()}\n{self.output()}")
        wait_until(lambda: not self.cgroups(), seconds, f"no cgroup is left: {self.cgroups()}")


@contextmanager
def running(
    folder: Path, config_tree: dict[str, Any], *, ready_s: float = PATIENCE_S, **keys: Any
) -> Iterator[Running]:
    """A host that is ready. If it still runs at the end of the test it must end as planned, and leave nothing."""
    with ready(Running(folder, config_tree, **keys), ready_s) as one:
        yield one


@contextmanager
def ready(one: Running, ready_s: float = PATIENCE_S) -> Iterator[Running]:
    """The same, of one that was not started yet."""
    try:
        yield one.start().wait_ready(ready_s)
        if one.process is not None and one.process.poll() is None:
            one.hang_up()
            assert one.stop() == 0, one.output()[-6000:]
            one.assert_nothing_left()
        one.assert_no_bug_of_ours()
    except BaseException:
        print(f"--- the host has printed:\n{one.output()[-6000:]}")
        raise
    finally:
        one.end()


def as_user(uid: int, folder: Path) -> tuple[str, dict[str, str]]:
    """An interpreter that another user can run, and the environment in which it finds our code and its own folders."""
    python = interpreter_for(uid)
    if python is None:
        pytest.skip(f"uid {uid} can run no Python 3.11 or later on this machine")
    found = {"PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]), "HOME": "/"}
    for variable, what in (("AGENTHOST_RUNTIME_DIR", "run"), ("AGENTHOST_STATE_DIR", "state")):
        place = folder / f"{what}-{uid}"
        place.mkdir(mode=0o711, exist_ok=True)
        os.chown(place, uid, uid)
        found[variable] = str(place)
    return python, found


def marked(entry: str) -> dict[int, str]:
    """Living processes whose environment has ``entry``; zombies have none to show."""
    found = {}
    wanted = entry.encode()
    for pid in own_pids():
        try:
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
    return found


def _end_with_pytest() -> None:
    """So that a run of tests that is killed with KILL leaves no host behind."""
    kernel.set_parent_death_signal(signal.SIGKILL)


def _try_remove(cgroup: str) -> bool:
    """Whose last process has just ended counts as busy for a moment."""
    try:
        for place, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(place)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOENT):
            raise
        return False
    return True


def is_alive(pid: int) -> bool:
    """By its number alone: the kernel gives numbers in turn, so that of a young process is not given again soon."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid: int) -> None:
    """KILL one process that our host has started."""
    _signal(pid, signal.SIGKILL)


def _signal(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
