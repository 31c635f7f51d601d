"""docs/otp.md tells the truth, and the suite is whole."""

from __future__ import annotations

from tests.otp.forms import FORMS
from tests.otp.table import AT_LEAST_REAL, ROOT, rows, text, written

PAGE = ROOT / "docs" / "otp.md"


def test_every_case_has_a_test_whose_name_says_it() -> None:
    missing = [f"{row.number} {row.name}" for row in rows() if not any(row.name in test.name for test in row.tests)]
    assert missing == []
    assert [row.number for row in rows()] == list(range(1, 94))


def test_enough_cases_run_with_real_processes_and_what_does_not_run_in_every_form_says_why() -> None:
    assert sum(row.is_real for row in rows()) >= AT_LEAST_REAL
    assert [row.name for row in rows() if not set(FORMS) <= set(row.worlds) and not row.why] == []


def test_the_page_is_what_the_tests_say_and_all_of_them_have_passed() -> None:
    passed = text({(test.module, test.name): "passed" for test in written()})
    assert PAGE.read_text() == passed, "run: python -m tests.otp.table docs/otp.md"
