"""The short form of the soak: one day passes under load; answers and ledger are checked, memory and times are not."""

import os
import subprocess
import sys

import pytest
from django.conf import settings


@pytest.mark.timeout(300)
def test_a_day_passes_under_load_without_a_bad_answer_and_with_a_consistent_ledger() -> None:
    command = [sys.executable, "-m", "tests.soak", "0.25", "--short"]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # none of the tests' own settings
    soak = subprocess.run(command, cwd=settings.BASE_DIR, env=env, check=False, capture_output=True, text=True)
    assert soak.returncode == 0, soak.stdout + soak.stderr
