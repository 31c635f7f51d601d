"""agenthost under a real systemd. The cases are in ``inside``, each a sentence; each is a test here, by its report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.systemd import image
from tests.systemd.inside.cases import CASES
from tests.systemd.machine import LONGEST_S, Machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.systemd,
    pytest.mark.timeout(LONGEST_S + 1200),
    pytest.mark.skipif(bool(image.why_not()), reason=image.why_not()),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("machine")
    machine = Machine(folder)
    try:
        return machine.wait_end()
    finally:
        machine.kill()
        (folder / "initrd").unlink()


@pytest.mark.parametrize("case", [case.__name__ for case in CASES])
def test_under_systemd(case: str, report: dict[str, dict[str, Any]]) -> None:
    found = report[case]
    print(f"{found['seconds']} s in the machine; {json.dumps(found['facts'], indent=1)}")
    assert not found["why"], found["why"]
