"""What programs and Python agents have alike (``core.birth.AnyBirth``), from the keys of a worker: env files, secrets,
liveness, log, privileges. An env file is read here only to tell what is wrong with it; its values are not kept.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from agenthost.config.env_file import read_env_file
from agenthost.config.kinds import Reading
from agenthost.config.sections import Found
from agenthost.core.birth import EnvFile, LivenessCheck, LogKeeping, Secret
from agenthost.errors import ConfigError

_NOT_OF_AGENTS = {
    "env_file": "the host reads it, with rights that the agent may not have",
    "secrets": "the host reads them, with rights that the agent may not have",
    "no_new_privs": "an agent cannot give its children more rights",
}


def any_birth(found: Found, folder: str, reading: Reading, *, of_agent: bool) -> dict[str, Any]:
    """The fields of ``AnyBirth`` by name. ``of_agent``: it is an agent that says what its child is."""
    if of_agent:
        for name, why in _NOT_OF_AGENTS.items():
            if name in found.keys and not (name == "no_new_privs" and found.get(name, False)):
                reading.say(found.keys[name], found.where, f"the key {name!r} is not for here: {why}", "remove it")
        return {"liveness": _liveness(found.get("liveness")), "log": _log(found.get("log"))}
    return {
        "env_files": _env_files(found, folder, reading),
        "secrets": tuple(_absolute(one, folder) for one in found.get("secrets", ())),
        "liveness": _liveness(found.get("liveness")),
        "log": _log(found.get("log")),
        "no_new_privileges": found.get("no_new_privs", True),
    }


def _env_files(found: Found, folder: str, reading: Reading) -> tuple[EnvFile, ...]:
    files = tuple(replace(one, path=_join(folder, one.path)) for one in found.get("env_file", ()) if one.path)
    for one in files:
        try:
            read_env_file(one.path, optional=one.optional)
        except ConfigError as error:
            reading.say(found.nodes["env_file"], f"{found.where}.env_file", error.message, error.hint or "")
    return files


def _absolute(secret: Secret, folder: str) -> Secret:
    if secret.kind == "file" and isinstance(secret.source, str):
        return replace(secret, source=_join(folder, secret.source))
    return secret


def _join(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))


def _liveness(found: Found | None) -> LivenessCheck | None:
    if found is None:
        return None
    for kind in ("http", "tcp", "command", "notify"):
        wanted = found.get(kind)
        if wanted is not None:
            return LivenessCheck(
                kind,
                target=wanted if isinstance(wanted, str) else "",
                argv=wanted if isinstance(wanted, tuple) else (),
                interval_s=found.get("interval", 10.0),
                timeout_s=found.get("timeout", 5.0),
                failures=found.get("failures", 3),
            )
    return None


def _log(found: Found | str | None) -> LogKeeping:
    if isinstance(found, str):
        return LogKeeping(stdout=False, stderr=False)
    usual = LogKeeping()
    if found is None:
        return usual
    return LogKeeping(
        max_bytes=found.get("max_size", usual.max_bytes),
        keep=found.get("keep", usual.keep),
        stdout=found.get("stdout", "keep") == "keep",
        stderr=found.get("stderr", "keep") == "keep",
    )
