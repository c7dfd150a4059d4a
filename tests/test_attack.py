"""The short form of the attack suite: answers, rows and stored state, but no timings."""

import subprocess
import sys

import pytest
from django.conf import settings


@pytest.mark.timeout(600)
def test_no_attack_succeeds_or_stops_the_answers_to_others() -> None:
    command = [sys.executable, "-m", "tests.attack", "--short"]
    suite = subprocess.run(command, cwd=settings.BASE_DIR, check=False, capture_output=True, text=True)
    assert suite.returncode == 0, suite.stdout + suite.stderr
