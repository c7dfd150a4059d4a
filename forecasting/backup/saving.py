"""A backup while the service runs: database and model files of the same moment.

The database is dumped as it was at one snapshot. Model files never change, and those that the rows of the snapshot name exist until
retention removes them, which waits meanwhile. So files that are copied later still fit the rows.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import ZipFile

from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from forecasting.backup import archive, postgres
from forecasting.backup.archive import DUMP, MANIFEST, BackupError, Entry, Manifest
from forecasting.models import Forecast, ModelVersion, Symbol
from forecasting.models.locks import Lock, lock_when_free
from forecasting.models.versions import FilesState
from forecasting.pipeline.serving.verified import ArtifactFile
from forecasting.registry.files import published_content

ROWS = (Symbol, ModelVersion, Forecast)


@dataclass(frozen=True, slots=True)
class Moment:
    """The database at one moment: what to dump, and which model files its rows name."""

    snapshot: str
    migrations: list[str]
    rows: dict[str, int]
    files: dict[str, ArtifactFile]  # by name in the archive


def back_up(path: Path, *, waiting: Callable[[], None] = lambda: None) -> Manifest:
    """Writes a backup to the new file `path`; `waiting` is called if a migration, backup or clean-up runs. Raises BackupError."""
    program = postgres.fitting("pg_dump", major=postgres.server_major())
    with ExitStack() as stack:
        for lock in (Lock.MIGRATIONS, Lock.RETENTION):
            stack.enter_context(lock_when_free(lock, waiting=waiting))
        zipped = stack.enter_context(archive.new_archive(path))
        with _moment() as moment, postgres.dump(program, snapshot=moment.snapshot) as dumped:
            written = {DUMP: archive.add(zipped, DUMP, dumped, compress=False)}  # pg_dump compresses
        manifest = Manifest(
            made_at=timezone.now().isoformat(timespec="seconds"),
            release=settings.RELEASE,
            migrations=moment.migrations,
            postgres=program.major,
            rows=moment.rows,
        )
        written |= _copied(zipped, moment.files)
        manifest = replace(manifest, files=written, left_out=sorted({*moment.files} - {*written}))
        zipped.writestr(MANIFEST, manifest.to_json())
    return manifest


@contextmanager
def _moment() -> Iterator[Moment]:
    """Holds a snapshot during the block. Raises BackupError if the database has no tables yet."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        applied = MigrationRecorder(connection).applied_migrations()
        if not applied:
            raise BackupError("The database is empty: there is nothing to back up.")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        rows = {str(model._meta.verbose_name_plural): model._default_manager.count() for model in ROWS}
        yield Moment(snapshot, sorted(f"{app}.{name}" for app, name in applied), rows, _files())


def _files() -> dict[str, ArtifactFile]:
    """The model files of all versions that should have them. Versions share some."""
    versions = ModelVersion.objects.exclude(files_state=FilesState.REMOVED).only("folder", "files")
    return {
        f"models/{file.folder or version.folder}/{name}": replace(file, folder="")
        for version in versions.iterator()
        for name, file in version.artifact_files.items()
    }


def _copied(zipped: ZipFile, files: dict[str, ArtifactFile]) -> dict[str, Entry]:
    """Copies the files that are as they were published. The restored service will treat the others as this one does."""
    written = {}
    for name, file in files.items():
        try:
            content = published_content(name.removeprefix("models/"), file)
        except OSError as error:
            raise BackupError(f"{name} is not on this machine, and {error.strerror}.") from error
        if content is not None:
            written[name] = archive.add(zipped, name, [content], compress=True)
    return written
