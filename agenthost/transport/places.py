"""Where a host's files and sockets are. Nothing else composes these paths.

A host named ``team`` of user 1000, by default::

    $XDG_RUNTIME_DIR/agenthost/team/1000/control    the router's socket for uid 1000
                                         sessions   where that uid follows sessions: the journal's
                                         d-7.12     data socket of incarnation 7.12
    ~/.local/state/agenthost/team/                  lock, boot, births, journal.db, logs/

Folders are made with their mode and must belong to whom they should: in ``/tmp`` somebody else may have been first.
Sockets that an ended host left are removed by the next one that binds there.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agenthost.errors import NoHost, StateError, UsageError
from agenthost.protocol.limits import SOCKET_PATH_BYTES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONTROL = "control"
_DATA_SOCKET_BYTES = len("/d-4294967295.4294967295")


@dataclass(frozen=True)
class Places:
    """The places of host ``name``, which runs as ``uid``. ``UsageError`` for a name unfit for a path."""

    name: str
    uid: int = field(default_factory=os.getuid)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"cannot name a host {self.name!r}: a name is 1 to 64 letters, digits, '.', '_' or '-'",
                hint="begin it with a letter or digit",
            )

    @property
    def runtime_folder(self) -> Path:
        return runtime_root(self.uid, self.environ) / self.name

    @property
    def state_folder(self) -> Path:
        return state_root(self.uid, self.environ) / self.name

    @property
    def lock(self) -> Path:
        return self.state_folder / "lock"

    @property
    def boot(self) -> Path:
        return self.state_folder / "boot"

    @property
    def begun(self) -> Path:
        """The number of the boot that has begun and has not ended as planned."""
        return self.state_folder / "begun"

    @property
    def births(self) -> Path:
        return self.state_folder / "births"

    @property
    def journal(self) -> Path:
        return self.state_folder / "journal.db"

    @property
    def logs(self) -> Path:
        return self.state_folder / "logs"

    def data_folder(self, uid: int) -> Path:
        """Where agents of ``uid`` bind their data sockets; also the folder of that uid's control socket."""
        return self.runtime_folder / str(uid)

    def control_socket(self, uid: int) -> Path:
        return self.data_folder(uid) / _CONTROL

    def sessions_socket(self, uid: int) -> Path:
        return self.data_folder(uid) / "sessions"

    def control_endpoint(self, uid: int) -> str:
        return f"ipc://{self.control_socket(uid)}"

    def create(self, uids: Iterable[int] = ()) -> None:
        """Make all folders, for the host's own uid and ``uids``. ``StateError``: one is foreign, a path too long."""
        uids = {self.uid, *uids}
        for uid in uids:
            _check_length(self.data_folder(uid))
        _make_base(self.runtime_folder.parent, self.uid, 0o755)
        _make_folder(self.runtime_folder, self.uid, 0o711)
        for uid in sorted(uids):
            _make_folder(self.data_folder(uid), uid, 0o700)
        _make_base(self.state_folder.parent, self.uid, 0o700)
        _make_folder(self.state_folder, self.uid, 0o700)
        _make_folder(self.logs, self.uid, 0o700)

    def remove_sockets(self) -> None:
        """At a planned end: sockets and folders of the runtime folder. What is not ours stays, and its folder."""
        try:
            folders = [entry for entry in os.scandir(self.runtime_folder) if entry.name.isdecimal()]
        except FileNotFoundError:
            return
        for folder in folders:
            for entry in os.scandir(folder.path):
                if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                    os.unlink(entry.path)
            _remove_if_empty(folder.path)
        _remove_if_empty(self.runtime_folder)


class RunningHost(NamedTuple):
    name: str
    endpoint: str


def runtime_root(uid: int, environ: Mapping[str, str]) -> Path:
    """The part before NAME of the runtime folder of a host that runs as ``uid``."""
    if given := environ.get("AGENTHOST_RUNTIME_DIR"):
        return Path(given).absolute()
    if uid == 0:
        return Path("/run/agenthost")
    if given := environ.get("XDG_RUNTIME_DIR"):
        return Path(given).absolute() / "agenthost"
    return Path(f"/tmp/agenthost-{uid}")


def state_root(uid: int, environ: Mapping[str, str]) -> Path:
    if given := environ.get("AGENTHOST_STATE_DIR"):
        return Path(given).absolute()
    if uid == 0:
        return Path("/var/lib/agenthost")
    if given := environ.get("XDG_STATE_HOME"):
        return Path(given).absolute() / "agenthost"
    home = environ.get("HOME")
    if not home:
        try:
            home = pwd.getpwuid(uid).pw_dir
        except KeyError:
            raise StateError(
                f"cannot find a place for the state of uid {uid}: it has no home", hint="set AGENTHOST_STATE_DIR"
            ) from None
    return Path(home) / ".local" / "state" / "agenthost"


def chat_history(uid: int, environ: Mapping[str, str]) -> Path:
    """What ``uid`` has typed in ``agenthost chat``."""
    return state_root(uid, environ) / ".chat-history"


def running_hosts(uid: int | None = None, environ: Mapping[str, str] | None = None) -> list[RunningHost]:
    """Hosts that ``uid`` may speak to and whose router listens, by name; the user's own before the system's."""
    uid = os.getuid() if uid is None else uid
    environ = os.environ if environ is None else environ
    found: dict[str, RunningHost] = {}
    for root, owner in _roots(uid, environ):
        for name in _names(root, owner):
            folder = root / name
            path = folder / str(uid) / _CONTROL
            if name not in found and _belongs(folder, owner) and _belongs(path.parent, uid) and _listens(path):
                found[name] = RunningHost(name, f"ipc://{path}")
    return sorted(found.values())


def hosts_with_state(uid: int | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """Names of the hosts of ``uid`` that have a journal, running or not."""
    root = state_root(os.getuid() if uid is None else uid, os.environ if environ is None else environ)
    try:
        return sorted(entry.name for entry in os.scandir(root) if (root / entry.name / "journal.db").is_file())
    except OSError:
        return []


def find_endpoint(
    socket: str | None = None,
    host: str | None = None,
    uid: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """The endpoint that a client shall speak to: ``socket`` (``--socket``, a path or ``ipc://``), else the host named
    ``host``, else ``AGENTHOST_SOCKET``, else the only host that runs. ``NoHost`` says what there is instead."""
    environ = os.environ if environ is None else environ
    explicit = socket or (None if host else environ.get("AGENTHOST_SOCKET"))
    if explicit:
        path = Path(explicit.removeprefix("ipc://")).absolute()
        if not path.is_socket():
            raise NoHost(
                f"cannot reach a host at {path}: no socket is there", hint=_others(running_hosts(uid, environ))
            )
        return f"ipc://{path}"
    hosts = running_hosts(uid, environ)
    if host:
        for running in hosts:
            if running.name == host:
                return running.endpoint
        raise NoHost(f"cannot reach the host {host!r}: it does not run", hint=_others(hosts))
    if not hosts:
        raise NoHost("cannot reach a host: none runs for this user", hint="start one with: agenthost run config.yaml")
    if len(hosts) > 1:
        names = ", ".join(running.name for running in hosts)
        raise NoHost(f"cannot choose between {len(hosts)} running hosts", hint=f"name one with --host: {names}")
    return hosts[0].endpoint


def _others(hosts: list[RunningHost]) -> str:
    if not hosts:
        return "none runs for this user; start one with: agenthost run config.yaml"
    return f"running: {', '.join(running.name for running in hosts)}"


def _roots(uid: int, environ: Mapping[str, str]) -> list[tuple[Path, int]]:
    """Where hosts may be that ``uid`` can speak to, and to whom the folder must belong."""
    roots = [(runtime_root(uid, environ), uid)]
    if not environ.get("AGENTHOST_RUNTIME_DIR") and uid != 0:
        roots.append((Path(f"/tmp/agenthost-{uid}"), uid))
        roots.append((Path("/run/agenthost"), 0))
    return roots


def _belongs(folder: Path, uid: int) -> bool:
    """Nobody but ``uid`` and root could have put a socket there in somebody's name."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid in (uid, 0)


def _names(root: Path, owner: int) -> list[str]:
    try:
        return sorted(os.listdir(root)) if _belongs(root, owner) else []
    except OSError:
        return []  # not ours to look into


def _listens(path: Path) -> bool:
    """Whether a process listens on the socket: connecting says so, and the router takes no offence."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its backlog is full: connect(2) on a unix socket
        except OSError:
            return False
        return True


def _check_length(folder: Path) -> None:
    longest = len(os.fsencode(folder)) + max(len(_CONTROL) + 1, _DATA_SOCKET_BYTES)
    if longest > SOCKET_PATH_BYTES:
        raise StateError(
            f"cannot put sockets into {folder}: their paths would have {longest} bytes, {SOCKET_PATH_BYTES} fit",
            hint="set AGENTHOST_RUNTIME_DIR to a shorter folder, or give the host a shorter name",
        )


def _make_base(folder: Path, uid: int, mode: int) -> None:
    """The part before NAME, which hosts share. An existing one keeps its mode, unless others could write into it."""
    missing = [folder, *(above for above in folder.parents if not above.exists())]
    try:
        for above in reversed(missing[1:]):
            above.mkdir(mode=0o755, exist_ok=True)
        try:
            folder.mkdir(mode=mode)
            folder.chmod(mode)
        except FileExistsError:
            pass
    except OSError as error:
        raise StateError(f"cannot make {folder}: {error.strerror}") from None
    found = _lstat_folder(folder, (uid, 0, os.geteuid()))
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise StateError(f"cannot use {folder}: others can write into it", hint=f"chmod go-w {folder}")


def _make_folder(folder: Path, uid: int, mode: int) -> None:
    try:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            _lstat_folder(folder, (uid,))
        else:
            if uid != os.geteuid():
                os.chown(folder, uid, -1)
        if stat.S_IMODE(os.lstat(folder).st_mode) != mode:
            folder.chmod(mode)
    except OSError as error:
        raise StateError(f"cannot make {folder} for uid {uid}: {error.strerror}") from None


def _lstat_folder(folder: Path, owners: tuple[int, ...]) -> os.stat_result:
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(f"cannot use {folder}: it is no folder", hint="remove it")
    if found.st_uid not in owners:
        raise StateError(
            f"cannot use {folder}: it belongs to uid {found.st_uid}, not {owners[0]}",
            hint="remove it, or set AGENTHOST_RUNTIME_DIR and AGENTHOST_STATE_DIR",
        )
    return found


def _remove_if_empty(folder: str | Path) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # something in it is not ours to remove
