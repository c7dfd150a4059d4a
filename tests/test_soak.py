"""The short form of the soak: answers, ledger, log, open files and connections while a day passes, but neither memory nor times."""

import os
import subprocess
import sys

import pytest
from django.conf import settings


@pytest.mark.timeout(600)
def test_a_day_passes_under_load_without_a_bad_answer_or_a_gap_in_the_ledger() -> None:
    command = [sys.executable, "-m", "tests.soak", "--short"]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # none of the tests' own settings
    soak = subprocess.run(command, cwd=settings.BASE_DIR, env=env, check=False, capture_output=True, text=True)
    assert soak.returncode == 0, soak.stdout + soak.stderr
