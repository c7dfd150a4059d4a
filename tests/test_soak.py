"""The short form of the soak: answers, ledger, log, open files and connections while a day passes, but neither memory nor times."""

import pytest

from tests.running import passes


@pytest.mark.timeout(600)
def test_a_day_passes_under_load_without_a_bad_answer_or_a_gap_in_the_ledger() -> None:
    passes("tests.soak")
