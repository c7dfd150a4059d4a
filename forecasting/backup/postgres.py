"""The programs pg_dump and pg_restore: which of this machine fits the server, and how they are run."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from django.db import connection
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from forecasting.backup.archive import BackupError
from stockpred.embedded_postgres.binaries import installed_programs

DEBIAN = Path("/usr/lib/postgresql")  # several versions beside each other, of which PATH has only one
SCHEMA = "public"
SECRET_DATA = ("django_session", "cache")  # tables that are kept empty: nobody needs them elsewhere


@dataclass(frozen=True, slots=True)
class Program:
    """A Postgres program."""

    major: int  # version
    path: Path


def server_major() -> int:
    """The major version of the server. Raises OperationalError."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        (number,) = cursor.fetchone()
    return int(number) // 10_000


def fitting(name: str, *, major: int) -> Program:
    """The oldest program on this machine that is not older than `major`. Raises BackupError if all are."""
    found = [*_installed(name)]
    if fits := [program for program in found if program.major >= major]:
        return min(fits, key=lambda program: program.major)
    told = ", ".join(f"{program.major} ({program.path})" for program in found) or "none"
    raise BackupError(
        f"{name} {major} or newer is needed, as the server is Postgres {major}. Found: {told}. Install postgresql-client-{major}."
    )


@contextmanager
def dump(program: Program, *, snapshot: str) -> Iterator[Iterator[bytes]]:
    """The dump as pg_dump writes it, of the database as it was at an exported snapshot. Raises BackupError."""
    left_empty = [f"--exclude-table-data={table}" for table in SECRET_DATA]
    options = ["--format=custom", "--no-owner", "--no-acl", f"--schema={SCHEMA}", f"--snapshot={snapshot}", *left_empty]
    with _running(program, options, stdout=subprocess.PIPE) as process:
        output = cast("IO[bytes]", process.stdout)
        yield iter(lambda: output.read(2**20), b"")


def load(program: Program, source: IO[bytes]) -> None:
    """Restores a dump in one transaction: everything or nothing. Raises BackupError."""
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-acl", f"--schema={SCHEMA}"]
    with _running(program, options, stdin=subprocess.PIPE) as process:
        target = cast("IO[bytes]", process.stdin)
        with suppress(BrokenPipeError):  # it has ended, and its status says why
            shutil.copyfileobj(source, target, 2**20)
        with suppress(BrokenPipeError):
            target.close()


@contextmanager
def _running(program: Program, options: list[str], **pipes: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that works on our database. Raises BackupError if it fails, and ends it if the block does."""
    conninfo, secret = _connection()
    command = [str(program.path), *options, f"--dbname={conninfo}"]
    with tempfile.TemporaryFile() as errors, subprocess.Popen(command, env=os.environ | secret, stderr=errors, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
            process.wait()
        except BaseException:
            process.kill()  # also if a signal ends the wait: it may wait for a lock of somebody else
            raise
        if process.returncode:
            errors.seek(0)
            told = errors.read().decode(errors="replace").strip()
            raise BackupError(f"{program.path.name} failed (exit status {process.returncode}): {told}")


def _connection() -> tuple[str, dict[str, str]]:
    """How to reach our database: without the password, which others could read in the list of processes, and with it."""
    keywords = {option.keyword.decode() for option in Conninfo.get_defaults()}
    parameters = {name: value for name, value in connection.get_connection_params().items() if name in keywords}
    password = parameters.pop("password", None)
    return make_conninfo("", **parameters), {"PGPASSWORD": password} if password else {}


def _installed(name: str) -> Iterator[Program]:
    paths = [*DEBIAN.glob(f"*/bin/{name}")]
    with suppress(FileNotFoundError):
        paths.append(installed_programs() / name)
    if on_path := shutil.which(name):
        paths.append(Path(on_path))
    for path in paths:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        if version := re.search(r"\(PostgreSQL\) (\d+)", told):
            yield Program(int(version.group(1)), path)
