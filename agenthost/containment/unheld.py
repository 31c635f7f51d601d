"""Which limits of a tree cannot be held here as they are meant: told, or refused where the config says ``strict``."""

from __future__ import annotations

from collections.abc import Iterator

from agenthost.containment.means import Means, not_whole
from agenthost.core.birth import Limits
from agenthost.core.spec import ChildSpec, WorkerSpec
from agenthost.errors import ConfigError

MOST_NAMED = 3
"""Agents, in a sentence about many."""

HINT = "take 'strict' out to go on with what there is"


def refusal(path: str, limits: Limits, had: Means) -> str:
    """Why it cannot be started under its strict limits; empty if it can."""
    left = not_whole(limits, had) if limits.strict else []
    said = "; ".join(had[one].sentence(one) for one in left)
    return f"cannot start {path} under strict limits: {said}" if left else ""


def check(tree: ChildSpec, had: Means) -> None:
    """``ConfigError``: strict limits that cannot be held, of all workers at once."""
    said = [why for path, limits in _limits(tree, "") if (why := refusal(path, limits, had))]
    if said:
        more = [f"and {len(said) - MOST_NAMED} more"] if len(said) > MOST_NAMED else []
        raise ConfigError("\n".join([*said[:MOST_NAMED], *more]), hint=HINT)


def has_strict(tree: ChildSpec) -> bool:
    return any(limits.strict for _, limits in _limits(tree, ""))


def warnings(tree: ChildSpec, had: Means) -> list[str]:
    """One sentence for each limit that somebody set and nobody holds as it is meant."""
    whose: dict[str, list[str]] = {}
    for path, limits in _limits(tree, ""):
        for limit in not_whole(limits, had):
            whose.setdefault(limit, []).append(path)
    return [f"{had[limit].sentence(limit)}: {_listed(paths)}" for limit, paths in whose.items()]


def _limits(spec: ChildSpec, above: str) -> Iterator[tuple[str, Limits]]:
    """Path and limits of each worker; of a pool, of what its members are."""
    path = f"{above}/{spec.name}" if spec.name != "/" else ""
    if isinstance(spec, WorkerSpec):
        limits = getattr(spec.birth, "limits", None)
        if isinstance(limits, Limits):
            yield path, limits
        return
    for child in spec.children:
        yield from _limits(child, path)
    if spec.template is not None:
        yield from _limits(spec.template, above)  # which bears its pool's name


def _listed(paths: list[str]) -> str:
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return ", ".join(paths[:MOST_NAMED]) + more
