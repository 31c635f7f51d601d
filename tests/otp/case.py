"""``@case(19)``: which of the 93 cases a test is, and in which worlds it runs.

A test that takes ``play`` runs once in each of its ``forms``. For one without it they are words for the table:
"spec" is about values alone, "host" about a host whatever its children are. ``why`` says why not every form is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from tests.otp.forms import FORMS

SIM = ("sim",)
EVERYWHERE = ("sim", *FORMS)
SLOW = FORMS
"""With real processes the suite takes five minutes: left to ``make test-all``."""

Test = TypeVar("Test", bound=Callable[..., Any])


def case(*numbers: int, forms: tuple[str, ...] = EVERYWHERE, why: str = "") -> Callable[[Test], Test]:
    assert why or forms == EVERYWHERE, "say why it does not run in every form"

    def mark(test: Test) -> Test:
        if "play" in test.__code__.co_varnames[: test.__code__.co_argcount]:
            worlds = [pytest.param(form, marks=pytest.mark.slow if form in SLOW else ()) for form in forms]
            test = pytest.mark.parametrize("play", worlds, indirect=True)(test)
        marked: Test = pytest.mark.otp(*numbers, forms=forms, why=why)(test)
        return marked

    return mark
