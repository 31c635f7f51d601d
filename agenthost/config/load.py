"""``config.yaml`` to a ``HostConfig``, or every problem of the file at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping as Environment
from dataclasses import replace
from pathlib import Path

from agenthost.config import keys
from agenthost.config.agents import Agents
from agenthost.config.answer_kinds import check_judges
from agenthost.config.births import Births, Usual
from agenthost.config.budget_kinds import prices_of
from agenthost.config.build import Builder
from agenthost.config.document import MAX_BYTES, Scalar, decode, parse
from agenthost.config.kinds import NAME_PATTERN, Reading
from agenthost.config.model import HostConfig
from agenthost.config.problem import ConfigProblems, Problem, Refused
from agenthost.config.recovery_kinds import check_falls
from agenthost.core.spec import SupervisorSpec


def load(path: str | Path, *, environment: Environment[str, str] | None = None) -> HostConfig:
    """Read the file. ``environment`` (default: this process's own) is what ``${NAME}`` is taken from.

    Raises ``ConfigProblems``. Runs nothing that the config names, and imports none of it.
    """
    return read_config(_read(path), path, environment=environment)


def read_config(raw: bytes, path: str | Path, *, environment: Environment[str, str] | None = None) -> HostConfig:
    """As ``load``, for text that is at hand; ``path`` is where it belongs."""
    file = str(path)
    node, problems = parse(decode(raw, file), file)
    if node is None or (isinstance(node, Scalar) and node.value() is None):
        raise ConfigProblems([*problems, Problem(file, 0, 0, "", "the file is empty", "begin it with 'agenthost: 1'")])
    reading = Reading(file, dict(os.environ if environment is None else environment), problems)
    absolute = Path(os.path.abspath(path))
    folder = str(absolute.parent)
    try:
        found = keys.HOST.find(node, "", reading)
    except Refused as refused:
        whole = Problem(file, node.line, node.column, "", refused.what, refused.hint)
        raise ConfigProblems([*problems, whole]) from None
    births = Births(reading, folder, Agents(folder), Usual(cwd=folder))
    tree = Builder(reading, births).tree(found.get("tree")) if "tree" in found.values else SupervisorSpec("/")
    check_falls(tree, births.falls, reading)
    check_judges(tree, births.judges, reading)
    name = found.get("name") or absolute.stem
    if "name" not in found.keys and not re.fullmatch(NAME_PATTERN, name):
        reading.say(node, "", f"cannot make a name of the file's name {name!r}", "add the key 'name'")
    if reading.problems:
        raise ConfigProblems(reading.problems)
    if (prices := prices_of(found.get("prices"))) is not None:
        tree = replace(tree, prices=prices)
    return HostConfig(
        name=name,
        file=absolute,
        folder=absolute.parent,
        tree=tree,
        containment=found.get("containment", "auto"),
        namespace=found.get("namespace", "auto"),
        operators=tuple(dict.fromkeys(found.get("operators", ()))),
        strays=found.get("strays", "end"),
        durability=found.get("durability", "process"),
    )


def _read(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "name the file inside it" if isinstance(error, IsADirectoryError) else ""
        what = f"cannot read it: {error.strerror or error}"
    except ValueError as error:  # a NUL in the path
        hint, what = "", f"cannot read it: {error}"
    raise ConfigProblems([Problem(str(path), 0, 0, "", what, hint)])
