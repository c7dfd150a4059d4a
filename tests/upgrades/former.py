"""The former release: which one it is, and its code."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from django.conf import settings

# A release moves both on, together with its tag: the commit, and its last migration.
FORMER = "73881200b4d0d3e38fedae00237374b70fe79993"
LAST_MIGRATION = "0036_figures_of_lost_performance"


def unpack(folder: Path) -> Path:
    """The code of the former release in a folder. Skips the test if this clone does not have it: then only its SQL is checked."""
    git = ["git", "-C", str(settings.BASE_DIR)]
    known = subprocess.run([*git, "cat-file", "-e", f"{FORMER}^{{commit}}"], capture_output=True, check=False)
    if known.returncode:
        told = f"this clone is shallow and lacks {FORMER}; `git fetch --unshallow` brings it"
        if "REQUIRE_FORMER" in os.environ:
            pytest.fail(told)
        pytest.skip(told)
    archive = folder / "former.tar"
    subprocess.run([*git, "archive", f"--output={archive}", FORMER], check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "former", filter="data")
    return folder / "former"
