"""What only the process itself may know: its secrets, and what its env files say. Read anew at every birth, handed on
in its order, kept nowhere. The rule it keeps: no value stands in an error, a record or a spec.

A variable that a secret comes from is taken out of the host's environment, so that nothing started later inherits it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from agenthost.config.env_file import read_env_file, read_small_file
from agenthost.core.birth import AnyBirth, Secret
from agenthost.core.spec import ChildSpec, SupervisorSpec
from agenthost.errors import ConfigError, StartFailed
from agenthost.host.scrubbing import Known, is_named_secret

MOST_BYTES = 64 * 1024
"""One variable of execve(2) has at most 128 KiB, its name included."""
MOST_FILE_BYTES = 1024 * 1024

Print = Callable[[tuple[str, ...], str], Awaitable[bytes]]
"""``print(argv, what)``: what the program printed; ``StartFailed`` if it failed, where ``what`` names it."""

_kept: dict[str, bytes] = {}
"""Of this process: what was taken out of its environment."""


@dataclass(frozen=True, slots=True)
class Private:
    """``env`` is below what the config's ``env`` says, ``secrets`` above it; ``files`` become files in memory."""

    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secrets: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    files: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    _known: dict[str, Known] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def declared(self) -> Known:
        """What was declared to be secret; of ``env`` what is so by its name. A path or a flag in there is no secret,
        and to hide it would spoil every text that has it."""
        if "declared" not in self._known:
            self._known["declared"] = Known(self._declared())
        return self._known["declared"]

    @property
    def all_values(self) -> Known:
        """Everything in it."""
        if "all" not in self._known:
            self._known["all"] = Known([*self._declared(), *(value for _, value in self.env)])
        return self._known["all"]

    def _declared(self) -> list[str]:
        values = [value.decode("utf-8", "replace") for _, value in (*self.secrets, *self.files)]
        return values + [value for name, value in self.env if is_named_secret(name)]


NOTHING = Private()


def hide_variables(spec: ChildSpec) -> None:
    """Take the variables that secrets of the tree come from out of this process's environment, and remember them."""
    for name in _variables(spec):
        value = os.environb.pop(os.fsencode(name), None)
        if value is not None:
            _kept[name] = value


def environment_of_config() -> dict[str, str]:
    """What a config is read by: as if nothing had been taken out."""
    return dict(os.environ) | {name: os.fsdecode(value) for name, value in _kept.items()}


async def read_private(birth: AnyBirth, path: str, run: Print) -> Private:
    """``StartFailed``, or ``ConfigError`` of an env file, names what is wrong and where."""
    if not birth.env_files and not birth.secrets:
        return NOTHING
    env: dict[str, str] = {}
    for file in birth.env_files:
        try:
            env |= await asyncio.to_thread(read_env_file, file.path, optional=file.optional)
        except ConfigError as error:
            raise StartFailed(f"cannot start {path}: {error.message}", hint=error.hint) from None
    secrets, files = [], []
    for secret in birth.secrets:
        value = await _value(secret, f"cannot start {path}: its secret {secret.name}", run)
        if secret.as_file:
            files.append((secret.name, value))
        else:
            secrets.append((os.fsencode(secret.name), value))
    return Private(tuple(env.items()), tuple(secrets), tuple(files))


async def _value(secret: Secret, what: str, run: Print) -> bytes:
    most = MOST_FILE_BYTES if secret.as_file else MOST_BYTES
    if isinstance(secret.source, tuple):
        value = await run(secret.source, what)
    elif secret.kind == "env":
        value = _of_environment(secret.source, what)
    else:
        try:
            value = await asyncio.to_thread(read_small_file, secret.source, MOST_FILE_BYTES)
        except OSError as error:
            raise StartFailed(f"{what}: cannot read {secret.source}: {error.strerror or error}") from None
    if not secret.as_file:
        value = value.removesuffix(b"\n").removesuffix(b"\r")
        if b"\0" in value:
            raise StartFailed(f"{what}: it has a NUL byte, which no variable can hold", hint="write 'as: file'")
    if len(value) > most:
        hint = "" if secret.as_file else "write 'as: file'"
        raise StartFailed(f"{what}: it is longer than {most} bytes", hint=hint)
    return value


def _of_environment(name: str, what: str) -> bytes:
    encoded = os.fsencode(name)
    if encoded in os.environb:
        _kept[name] = os.environb.pop(encoded)
    if name not in _kept:
        raise StartFailed(
            f"{what}: {name} is not set in the host's environment", hint="set it where the host is started"
        )
    return _kept[name]


def _variables(spec: ChildSpec) -> Iterable[str]:
    if isinstance(spec, SupervisorSpec):
        for child in (*spec.children, *(() if spec.template is None else (spec.template,))):
            yield from _variables(child)
    elif isinstance(spec.birth, AnyBirth):
        yield from (one.source for one in spec.birth.secrets if one.kind == "env" and isinstance(one.source, str))
