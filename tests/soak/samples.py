"""What the service's processes use: memory, open files, threads and database connections."""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from tests.chaos.processes import descendants, variable
from tests.running import process_ids

CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()
    AND pid <> pg_backend_pid()
"""
TRAINER, POSTGRES = "trainer", "Postgres"
TABLES = "/postgres/data/base/"


@dataclass(frozen=True, slots=True)
class Use:
    """Of one process.

    `memory_mb`: without files and shared memory; `own_mb`: the same, but pages that forked processes have in common count in
    proportion. `shared_mb`: what was used so far of shared memory. `files`: without those of tables and indexes, of which a
    connection of Postgres opens each one when it first reads it, and keeps it; a second descriptor of the same one would count.
    """

    memory_mb: float
    own_mb: float
    shared_mb: float
    resident_mb: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `at`: seconds since the begin."""

    at: float
    uses: Mapping[str, Mapping[int, Use]]  # of each part of the service, by process id
    connections: int

    def total(self, value: str, *parts: str) -> float:
        """The sum of this value of all processes of these parts."""
        return math.fsum(getattr(use, value) for part in parts for use in self.uses.get(part, {}).values())


def look(folder: Path, *, at: float) -> Sample:
    """What the service that was started for this folder uses now."""
    with connection.cursor() as cursor:
        cursor.execute(CONNECTIONS)
        (connections,) = cursor.fetchone()
    found = {part: {pid: use for pid in pids if (use := _use_of(pid))} for part, pids in _parts(folder)}
    return Sample(at, {part: uses for part, uses in found.items() if uses}, connections)


def _parts(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Each part's name and processes."""
    for command in ("run", "web", "web_process", "worker"):
        yield f"manage.py {command}", process_ids(folder, command=command)
    clusters = process_ids(folder, command="cluster")
    for name in ("short", "training"):
        yield f"cluster {name}", [pid for pid in clusters if variable(pid, "Q_CLUSTER_NAME") == name]
    yield TRAINER, process_ids(folder, command=TRAINER)
    assert settings.EMBEDDED_POSTGRES
    main = int((settings.EMBEDDED_POSTGRES.folders.data / "postmaster.pid").read_text().partition("\n")[0])
    yield POSTGRES, [main, *descendants(main)]


def _use_of(pid: int) -> Use | None:
    """None if the process has just ended."""
    process = Path(f"/proc/{pid}")
    try:
        rollup = _numbers((process / "smaps_rollup").read_text().partition("\n")[2])
        threads = _numbers((process / "status").read_text())["Threads"]
        files = list(_open_files(process / "fd"))
    except OSError:
        return None
    megabytes = {name: kilobytes / 1024 for name, kilobytes in rollup.items()}
    return Use(
        memory_mb=megabytes["Anonymous"],
        own_mb=megabytes["Pss_Anon"],
        shared_mb=megabytes["Pss_Shmem"],
        resident_mb=megabytes["Rss"],
        files=len(files) - len({file for file in files if TABLES in file}),
        threads=threads,
    )


def _open_files(descriptors: Path) -> Iterator[str]:
    for descriptor in descriptors.iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            yield str(descriptor.readlink())


def _numbers(text: str) -> dict[str, int]:
    """The lines `name: number ...` of a file of /proc."""
    pairs = (line.partition(":")[::2] for line in text.splitlines())
    return {name: int(value.split()[0]) for name, value in pairs if value.split() and value.split()[0].isdigit()}
