"""The file system of the machine: Debian as this one, with systemd, and agenthost from a wheel of the tree.

Two archives, one behind the other, which the kernel unpacks into memory (initramfs): a base that costs a minute and
changes rarely, kept in a folder outside of the tree under the digest of what goes into it; and what is tested, made
anew for each run. Whoever builds holds a lock; nothing half-built is ever used.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("mmdebstrap", "qemu-system-x86_64", "cpio")
PACKAGES = (
    "systemd-sysv systemd dbus dbus-user-session libpam-systemd udev procps kmod python3 python3-venv"
    " linux-image-cloud-amd64"
).split()
WITHOUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer getty@.service"
    " serial-getty@.service systemd-networkd-wait-online.service systemd-resolved.service systemd-timesyncd.service"
).split()
USER, UID = "agent", 1500
LIBRARIES = "requirements/runtime.txt"
AGENTHOST = "/opt/agenthost"
TESTS = "/opt/tests"
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_LEFT_OUT = ("boot", "usr/lib/modules", "var/cache/apt", "var/lib/apt/lists", "dev", "proc", "sys", "opt/wheels")
_STEP_S = 900


def why_not() -> str:
    """Why no machine can be built here; empty if one can."""
    if platform.machine() != "x86_64":
        return f"the machine is built for x86_64 only, not for {platform.machine()}"
    if os.geteuid() != 0:
        return "building the file system needs root"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"{', '.join(missing)} is missing: scripts/setup.sh systemd installs it"
    if _release().get("ID") != "debian" or not any(file.exists() for file in _SOURCES):
        return "the file system is made of the packages that this machine's apt gets, and this is no Debian with one"
    return ""


def cache_folder() -> Path:
    given = os.environ.get("AGENTHOST_VM_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return Path(given or Path.home() / ".cache").absolute() / "agenthost-systemd"


def digest() -> str:
    """Of all that the base is made of but the versions that Debian has today."""
    said = [PACKAGES, WITHOUT, MASKED, USER, UID, _release().get("VERSION_CODENAME"), (ROOT / LIBRARIES).read_text()]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def base() -> Path:
    """A folder with ``base.cpio`` and ``vmlinuz``, built if it is not there. Older ones are removed."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / digest()
    with _locked(cache / "lock"):
        if not made.is_dir():
            for old in cache.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            partial = cache / "partial"
            partial.mkdir()
            _build(partial)
            partial.rename(made)
    return made


def initrd(folder: Path) -> Path:
    """The whole file system in ``folder``, of the tree as it is now."""
    stage = folder / "stage"
    _stage(stage)
    whole = folder / "initrd"
    shutil.copyfile(base() / "base.cpio", whole)
    with whole.open("ab") as file:
        file.write(_archive(stage))
    shutil.rmtree(stage)
    return whole


def _build(folder: Path) -> None:
    root, wheels = folder / "root", folder / "root" / "opt" / "wheels"
    sources = next(file for file in _SOURCES if file.exists())
    _run(
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt=path-exclude={path}" for path in WITHOUT),
        _release()["VERSION_CODENAME"],
        str(root),
        str(sources),
    )
    version = _run("chroot", str(root), "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    wanted = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
    for tag in ("manylinux2014_x86_64", "manylinux_2_28_x86_64"):
        wanted.append(f"--platform={tag}")
    _run(*_PIP, "download", "-q", *wanted, "-d", str(wheels), "-r", str(ROOT / LIBRARIES))
    shutil.copy(ROOT / LIBRARIES, wheels / "runtime.txt")
    _run("chroot", str(root), "python3", "-m", "venv", AGENTHOST)
    inside = ["install", "-q", "--no-index", "--find-links=/opt/wheels", "-r", "/opt/wheels/runtime.txt"]
    _run("chroot", str(root), f"{AGENTHOST}/bin/pip", *inside)
    _run("chroot", str(root), "useradd", "--create-home", f"--uid={UID}", "--shell=/bin/bash", USER)
    units = root / "etc/systemd/system"
    for name in MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    (root / "etc/hostname").write_text("agenthost\n")
    for name in ("dev", "proc", "sys"):
        (root / name).mkdir(exist_ok=True)
    kernel = max((root / "boot").glob("vmlinuz-*"))
    shutil.copy(kernel, folder / "vmlinuz")
    (folder / "base.cpio").write_bytes(_archive(root, _LEFT_OUT))
    shutil.rmtree(root)


def _stage(stage: Path) -> None:
    wheels = stage / "opt/wheels"
    wheels.mkdir(parents=True)
    _run(*_PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(ROOT))
    for name in ("waiting.py", "__init__.py", "chaos/__init__.py", "chaos/awkward.py", "systemd/__init__.py"):
        _copy(ROOT / "tests" / name, stage / TESTS[1:] / "tests" / name)
    for file in (ROOT / "tests/systemd/inside").glob("*.py"):
        _copy(file, stage / TESTS[1:] / "tests/systemd/inside" / file.name)
    units = stage / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    _copy(ROOT / "tests/systemd/inside/inside.service", units / "inside.service")
    (units / "multi-user.target.wants/inside.service").symlink_to("/etc/systemd/system/inside.service")


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


def _archive(root: Path, left_out: tuple[str, ...] = ()) -> bytes:
    """A cpio archive as the kernel wants it. The folders ``left_out`` are in it, empty."""
    names: list[str] = []
    for folder, folders, files in os.walk(root):
        relative = os.path.relpath(folder, root)
        if relative in left_out:
            folders.clear()
            continue
        names += [os.path.normpath(f"{relative}/{name}") for name in (*folders, *files)]
    given = "\0".join([".", *sorted(names)])
    done = subprocess.run(
        ["cpio", "--null", "--create", "--format=newc", "--quiet"],
        cwd=root,
        input=given.encode("utf-8", "surrogateescape"),
        stdout=subprocess.PIPE,
        timeout=_STEP_S,
        check=True,
    )
    return done.stdout


def _run(*words: str) -> str:
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_STEP_S, check=False
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise RuntimeError(f"cannot build the file system: {' '.join(words)[:200]}: status {done.returncode}\n{said}")
    return done.stdout


_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")


def _release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
