"""The short fault suite: every fault that takes less than minutes, once or twice, on separate services."""

import os
import subprocess
import sys

import pytest
from django.conf import settings


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_when_the_service_is_broken_on_purpose() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--short", "--jobs", "4"]
    suite = subprocess.run(
        command, cwd=settings.BASE_DIR, env=os.environ | {"COLUMNS": "150"}, check=False, capture_output=True, text=True
    )
    assert suite.returncode == 0, suite.stdout + suite.stderr
