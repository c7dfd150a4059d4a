"""The short form of the attack suite: answers, rows and stored state, but no timings."""

import pytest

from tests.running import passes


@pytest.mark.timeout(600)
def test_no_attack_succeeds_or_stops_the_answers_to_others() -> None:
    passes("tests.attack")
