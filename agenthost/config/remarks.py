"""What a config says that is no mistake, and yet does not do what was likely meant. ``agenthost check`` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agenthost.config.recovery_kinds import below
from agenthost.core.budget.budget import Budget
from agenthost.core.spec import SupervisorSpec


def remarks(tree: SupervisorSpec) -> list[str]:
    """One line each."""
    if tree.prices is not None:
        return []
    bounds = [f"{what} of {path}" for path, child in [("/", tree), *below(tree, "")] for what in _in_money(child)]
    if not bounds:
        return []
    shown = ", ".join(bounds[:5]) + (f" and {len(bounds) - 5} more" if len(bounds) > 5 else "")
    why = f"there are no 'prices': only what ctx.spend(cost=...) says counts for the {shown}"
    return [f"{why}; say what tokens cost under 'prices'"]


def _in_money(child: Any) -> Iterator[str]:
    """The bounds of ``child`` that are money."""
    birth = child if isinstance(child, SupervisorSpec) else child.birth
    budget: Budget | None = getattr(birth, "budget", None)
    if budget is not None and any("cost" in some for some in (budget.turn, budget.session, budget.agent, budget.tree)):
        yield "budget"
    ladder = getattr(birth, "recovery", None)
    if ladder is not None and ladder.spend:
        yield "recovery"
