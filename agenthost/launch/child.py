"""What a newborn does between clone and the author's code: contain itself, say Here, become the agent or the program.

It runs in a fork of a zygote, so nothing here may depend on the zygote going on, and nothing returns to it. Each step
has a name; if it fails, ``BirthFailed`` tells the host which.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import msgspec

from agenthost import kernel
from agenthost.launch.account import become
from agenthost.launch.inheritance import close_all_but, exit_if_dead
from agenthost.launch.orders import Body
from agenthost.protocol import birth
from agenthost.protocol.birth import Certificate

Runtime = Callable[[Certificate, socket.socket], int | None]

NOT_BORN_STATUS = 70  # EX_SOFTWARE: containment failed
NOT_FOUND_STATUS, NOT_RUNNABLE_STATUS = 127, 126  # as shells say it

_encode = msgspec.msgpack.encode
_HERE = _encode(birth.Here())
_decode_go = msgspec.msgpack.Decoder(birth.ToProcess).decode
_PACKET_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What the newborn has in hand. ``kept`` were opened by the release's import: the author's objects own them."""

    birth: int
    stdout: int
    stderr: int
    host: int
    null: int
    kept: frozenset[int] = frozenset()
    stdin: int | None = None
    """None: /dev/null."""
    ready: int | None = None
    """The end of the pipe that a program writes a line end to."""


class _NotBorn(Exception):
    def __init__(self, step: str, error: str, number: int, status: int = NOT_BORN_STATUS) -> None:
        super().__init__(error)
        self.status = status
        self.packet = _encode(birth.BirthFailed(step=step, error=error, errno=number))


def begin(body: Body, descriptors: Descriptors, runtime: Runtime | None, failed: int | None = None) -> NoReturn:
    """Never returns. ``failed`` gets a byte if the author's code was not reached; the init of a namespace reads it."""
    status = NOT_BORN_STATUS
    try:
        if descriptors.ready is not None:
            descriptors, failed = _number_ready(body.ready_number, descriptors, failed)
        _contain(body, descriptors, failed)
        os.write(descriptors.birth, _HERE)
        if body.hold:
            _wait_go(descriptors.birth)
        if body.certificate is None:
            _execute(body)
        elif runtime is None:
            raise _NotBorn("runtime", f"cannot begin {body.path}: this zygote has no runtime for agents", 0)
        else:
            status = _run(runtime, body.certificate, descriptors.birth)
    except _NotBorn as problem:
        status = problem.status
        if failed is not None:
            os.write(failed, b"!")
        _tell(descriptors.birth, problem.packet)
    except BaseException:  # whatever it is, it must not reach the zygote's frames below this one
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status & 0xFF)


def _contain(body: Body, descriptors: Descriptors, failed: int | None) -> None:
    step = "session"
    try:
        os.setsid()
        kernel.set_parent_death_signal(signal.SIGKILL)
        exit_if_dead(descriptors.host)
        step = "cell"
        if body.subreaper:
            kernel.become_subreaper()
        for file in body.join:
            _write(file, b"0")
        step = "descriptors"
        os.dup2(descriptors.null if descriptors.stdin is None else descriptors.stdin, 0)
        os.dup2(descriptors.stdout, 1)
        os.dup2(descriptors.stderr, 2)
        close_all_but(
            {0, 1, 2, descriptors.birth, descriptors.host, *descriptors.kept, *(() if failed is None else (failed,))}
        )
        if body.terminal:
            step = "terminal"
            _take_terminal()
        step = "limits"
        for kind, soft, hard in body.rlimits:
            resource.setrlimit(kind, (soft, hard))
        if body.files:  # imported while we may read Python's files: another user may not
            from agenthost.launch.files import file_in_memory
        if body.become is not None:
            step = "user"
            become(*body.become)
            exit_if_dead(descriptors.host)
        os.close(descriptors.host)
        if body.no_new_privileges:
            kernel.set_no_new_privileges()
        step = "environment"
        os.environ["AGENTHOST_PATH"] = body.path
        os.environ["AGENTHOST_INCARNATION"] = body.incarnation
        os.environb.update(body.private)
        for name, content in body.files:
            os.environ[name] = file_in_memory(name, content)
        kernel.set_process_name(body.path.rsplit("/", 1)[-1] or body.path)
    except (OSError, ValueError) as error:  # setrlimit raises ValueError for what it may not raise
        why = f"cannot contain {body.path} ({step}): {error}"
        raise _NotBorn(step, why, getattr(error, "errno", None) or 0) from None


def _number_ready(number: int, descriptors: Descriptors, failed: int | None) -> tuple[Descriptors, int | None]:
    """Put the readiness pipe where the program looks for it; who stood there moves up."""
    import fcntl

    def away(descriptor: int) -> int:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, number + 1) if descriptor == number else descriptor

    assert descriptors.ready is not None
    taken = {
        name: away(getattr(descriptors, name))
        for name in ("birth", "stdout", "stderr", "host", "null", "stdin")
        if getattr(descriptors, name) is not None
    }
    failed = None if failed is None else away(failed)
    if descriptors.ready != number:
        os.dup2(descriptors.ready, number)
    os.set_inheritable(number, True)
    return replace(descriptors, kept=descriptors.kept | {number}, **taken), failed


def _take_terminal() -> None:
    """Stdin, as the controlling terminal of the session that this process leads (tty_ioctl(4))."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _wait_go(descriptor: int) -> None:
    while True:
        packet = os.read(descriptor, _PACKET_BYTES)
        if not packet:
            os._exit(0)  # the host has gone or does not want us
        if isinstance(_decode_go(packet), birth.Go):
            return


def _execute(body: Body) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is ignored survives the exec
        signal.signal(number, signal.SIG_DFL)
    env = dict(body.env)
    for name in ("AGENTHOST_PATH", "AGENTHOST_INCARNATION", "AGENTHOST_HOST"):
        if name in os.environ:
            env[name] = os.environ[name]
    for name in (*(os.fsdecode(name) for name, _ in body.private), *(name for name, _ in body.files)):
        env[name] = os.environ[name]
    try:
        os.chdir(body.cwd)
    except OSError as error:
        by = f" and be open to uid {body.become[0]}" if body.become else ""
        why = f"cannot enter {body.cwd!r}: {error.strerror}; the cwd of {body.path} must exist{by}"
        raise _NotBorn("cwd", why, error.errno or 0, NOT_RUNNABLE_STATUS) from None
    try:
        os.execvpe(body.argv[0], body.argv, env)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        why = f"cannot run {body.argv[0]!r}: {_why_not(body.argv[0], error, env)}"
        raise _NotBorn("exec", why, error.errno or 0, NOT_FOUND_STATUS if missing else NOT_RUNNABLE_STATUS) from None
    except ValueError as error:  # a NUL byte, an "=" in a name
        raise _NotBorn("exec", f"cannot run {body.argv[0]!r}: {error}", errno.EINVAL, NOT_RUNNABLE_STATUS) from None


def _why_not(program: str, error: OSError, env: dict[str, str]) -> str:
    if error.errno == errno.ENOENT:
        if "/" not in program:
            return f"no such file in PATH ({env.get('PATH', os.defpath)})"
        if os.path.exists(program):
            return "the interpreter its first line names does not exist"
    if error.errno == errno.E2BIG:
        return "its arguments and environment are too long"
    return error.strerror or str(error)


def _run(runtime: Runtime, certificate: Certificate, descriptor: int) -> int:
    """The author's code, and what the interpreter does at its end; the zygote's own state is not torn down."""
    kernel.set_dumpable(True)  # the zygote of another user is not; by now we are in our cell
    kernel.try_let_trace(os.getppid())  # the host may have somebody look at our stack
    status = _status_of(runtime, certificate, descriptor)
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # joins threads that are no daemons
        atexit._run_exitfuncs()  # what was registered since the fork; the zygote cleared the rest
        if logging := sys.modules.get("logging"):
            logging.shutdown()
    except BaseException:  # the author's: reported as the interpreter does, then we end all the same
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # its reader has gone, it was closed, or it is None
            status = status or 120  # as the interpreter does
    return status


def _status_of(runtime: Runtime, certificate: Certificate, descriptor: int) -> int:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=descriptor) as sock:
            return int(runtime(certificate, sock) or 0)
    except SystemExit as end:
        code: Any = end.code
        if code is None or isinstance(code, int):
            return code or 0
        sys.stderr.write(f"{code}\n")  # as the interpreter does
        return 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)  # so that whoever waits sees what ended us
        return 130
    except BaseException:  # the author's code may raise anything; it is told on stderr, with its traceback
        sys.excepthook(*sys.exc_info())
        return 1


def _write(file: str, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _tell(descriptor: int, packet: bytes) -> None:
    try:
        os.write(descriptor, packet)
    except OSError:
        pass  # the host no longer listens; the exit status says the rest
