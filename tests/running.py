"""Real processes of the service for tests, started on the test database and found by their environment and command."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from forecasting.runtime.processes import ProcessGroup

MARK = "STOCKPRED_TEST_RUN"  # all child processes inherit it in their environment
GRACE_SECONDS = 40
CODE = Path(__file__).resolve().parents[1]


def environment(folder: Path) -> dict[str, str]:
    """The environment of a service with the test database, simulated prices, and `folder` for all other state."""
    database = connection.settings_dict
    return {
        MARK: str(folder),
        "ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "stockpred.settings",
        "DATABASE_URL": f"postgres://{database['USER']}@/{database['NAME']}?host={database['HOST']}&port={database['PORT']}",
        "SECRET_KEY": settings.SECRET_KEY,
        "PRICE_SOURCE": "sample",
        "STATE_DIR": str(folder),
        "MEDIA_ROOT": str(settings.MEDIA_ROOT),
        "LOG_DIR": str(folder / "logs"),
    }


@contextmanager
def started(
    command: str, folder: Path, *, within: Sequence[str] = (), code: Path | str = CODE, **variables: str
) -> Iterator[ProcessGroup]:
    """Runs `manage.py COMMAND` of `code` during the block, inside the command `within` if given, and stops it afterwards."""
    arguments = [*within, sys.executable, str(Path(code) / "manage.py"), command]
    group = ProcessGroup(command, arguments, env=environment(folder) | variables, output=folder / f"{command}.log")
    try:
        yield group
    finally:
        group.stop(grace_s=GRACE_SECONDS)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Lets this process write at most so many bytes into a file, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def passes(module: str) -> None:
    """Runs the short form of a suite of the tests as from a shell. Raises AssertionError with what it printed."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # none of the tests' own settings
    command = [sys.executable, "-m", module, "--short"]
    suite = subprocess.run(command, cwd=CODE, env=env, check=False, capture_output=True, text=True)
    assert suite.returncode == 0, suite.stdout + suite.stderr


def process_ids(folder: Path, *, command: str = "") -> list[int]:
    """Running processes started for this folder, with `command` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            marked = f"{MARK}={folder}".encode() in (entry / "environ").read_bytes().split(b"\0")
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended, or belongs to another user
        if marked and any(arguments) and (not command or command.encode() in arguments):
            found.append(int(entry.name))
    return found
