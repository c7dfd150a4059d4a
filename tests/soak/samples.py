"""What the service's processes use: memory, open files, threads and database connections."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
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


@dataclass(frozen=True, slots=True)
class Use:
    """Of one part of the service, perhaps several processes. `own_mb`: without files and shared memory; pages that forked
    processes have in common count in proportion. `shared_mb`: what was used so far of shared memory."""

    processes: int
    resident_mb: float
    own_mb: float
    shared_mb: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `at`: seconds since the begin."""

    at: float
    uses: dict[str, Use]
    connections: int


def look(folder: Path, *, at: float) -> Sample:
    """What the service that was started for this folder uses now."""
    with connection.cursor() as cursor:
        cursor.execute(CONNECTIONS)
        (connections,) = cursor.fetchone()
    return Sample(at, {name: _use(pids) for name, pids in _parts(folder) if pids}, connections)


def _parts(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Each part's name and processes."""
    for command in ("run", "web", "worker"):
        yield f"manage.py {command}", process_ids(folder, command=command)
    for number, pid in enumerate(sorted(process_ids(folder, command="web_process")), start=1):
        yield f"web process {number}", [pid]
    clusters = process_ids(folder, command="cluster")
    for name in ("short", "training"):
        yield f"cluster {name}", [pid for pid in clusters if variable(pid, "Q_CLUSTER_NAME") == name]
    yield TRAINER, process_ids(folder, command=TRAINER)
    assert settings.EMBEDDED_POSTGRES
    main = int((settings.EMBEDDED_POSTGRES.folders.data / "postmaster.pid").read_text().partition("\n")[0])
    yield POSTGRES, [main, *descendants(main)]


def _use(pids: list[int]) -> Use:
    uses = [use for pid in pids if (use := _use_of(pid))]
    columns = zip(*(astuple(use) for use in uses), strict=True)
    return Use(*(sum(column) for column in columns)) if uses else Use(0, 0, 0, 0, 0, 0)


def _use_of(pid: int) -> Use | None:
    """None if the process has just ended."""
    process = Path(f"/proc/{pid}")
    try:
        rollup = _numbers((process / "smaps_rollup").read_text().partition("\n")[2])
        threads = _numbers((process / "status").read_text())["Threads"]
        files = len(list((process / "fd").iterdir()))
    except OSError:
        return None
    return Use(1, rollup["Rss"] / 1024, rollup["Pss_Anon"] / 1024, rollup["Pss_Shmem"] / 1024, files, threads)


def _numbers(text: str) -> dict[str, int]:
    """The lines `name: number ...` of a file of /proc."""
    pairs = (line.partition(":")[::2] for line in text.splitlines())
    return {name: int(value.split()[0]) for name, value in pairs if value.split() and value.split()[0].isdigit()}
