"""Begin a supervisor under test in one of the forms, and see to it that nothing of it is left at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.host.conftest import Start
from tests.otp.real import Real
from tests.otp.shape import Sup
from tests.otp.sim import Sim
from tests.otp.stage import Answer, Stage


class Play:
    """``form`` is "sim" or one of ``FORMS``."""

    def __init__(self, form: str, start: Start, folder: Path) -> None:
        self.form = form
        self._start, self._folder = start, folder
        self._played: list[Stage] = []

    def __call__(
        self,
        shape: Sup,
        *,
        plan: Mapping[str, tuple[str, ...]] | None = None,
        asked: Mapping[str, str] | None = None,
        strict: bool = True,
        static: bool = False,
        fails: bool = False,
    ) -> Any:
        """A ``Sim`` or a ``Real``, up; at most one real one a test.

        ``plan`` and ``asked`` hold from the first start on. ``fails``: it must not come up, ``stage.answer`` says why.
        ``static``: it stands in the config, so that a reload can change it.
        """
        answer: Answer
        stage: Sim | Real
        if self.form == "sim":
            stage = Sim(shape, strict=strict, static=static)
        else:
            stage = Real(self.form, shape, self._folder, strict=strict, static=static)
        for path, words in (plan or {}).items():
            stage.plan(path, *words)
        for path, word in (asked or {}).items():
            stage.asked(path, word)
        answer = stage.begin() if isinstance(stage, Sim) else stage.begin(self._start)
        self._played.append(stage)
        assert (answer.error is not None) == fails, answer
        stage.answer = answer
        return stage

    def end(self) -> None:
        """After the test: what still runs is stopped, and of all that ever ran there is nothing left."""
        for stage in self._played:
            if not stage.over:
                stage.stop()
            stage.wait_gone()
