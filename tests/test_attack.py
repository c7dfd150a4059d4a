"""The short form of the attack suite: answers, rows and stored state, but no timings."""

import os
import subprocess
import sys

import pytest
from django.conf import settings


@pytest.mark.timeout(600)
def test_no_attack_succeeds_or_stops_the_answers_to_others() -> None:
    command = [sys.executable, "-m", "tests.attack", "--short"]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # none of the tests' own settings
    suite = subprocess.run(command, cwd=settings.BASE_DIR, env=env, check=False, capture_output=True, text=True)
    assert suite.returncode == 0, suite.stdout + suite.stderr
