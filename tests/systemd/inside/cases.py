"""All cases, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.systemd.inside import ordinary, system, user

Facts = dict[str, Any]
"""What a case has measured, for the report."""

CASES: list[Callable[[Facts], None]] = [*system.CASES, *user.CASES, *ordinary.CASES]
