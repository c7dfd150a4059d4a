"""A restore into an empty place: everything is checked first, and a restore that fails or is killed leaves nothing half-done."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from forecasting.backup import archive, postgres
from forecasting.backup.archive import DUMP, BackupError, Manifest
from forecasting.models.locks import Lock, lock_when_free
from forecasting.pipeline.serving.verified import file_of, flush_folder
from forecasting.registry import models_bucket, models_root
from forecasting.registry.files import FILE_MODE, FOLDER_MODE

OURS = """
    SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'public' AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e') ORDER BY relname
"""  # all relations but those of extensions


def restore(path: Path, *, trial: bool = False, waiting: Callable[[], None] = lambda: None) -> Manifest:
    """Restores a backup into an empty database and an empty folder of models, and migrates it to this release.

    A folder of models that already holds all files of the backup is as good as an empty one: one that moves to another database
    keeps it. With `trial`, webhooks become inactive. `waiting` is called if a migration runs.

    Raises BackupError; then nothing has been changed.
    """
    manifest = archive.verified(path)
    _refuse_other_release(manifest)
    major = postgres.server_major()
    if major < manifest.postgres:
        raise BackupError(f"{path} was made with pg_dump {manifest.postgres}: Postgres {major} cannot read it, a newer one can.")
    program = postgres.fitting("pg_restore", major=max(major, manifest.postgres))
    with lock_when_free(Lock.MIGRATIONS, waiting=waiting):
        _refuse_full_database()
        # Files first: if this process is killed before the database has its rows, the next restore finds the files in place.
        with ZipFile(path) as zipped, _models_in_place(zipped, manifest), zipped.open(DUMP) as dump:
            postgres.load(program, dump)
        if trial:
            _silence()
        call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return manifest


def _refuse_other_release(manifest: Manifest) -> None:
    known = {
        f"{app}.{name}"
        for (app, _), migration in MigrationLoader(None).disk_migrations.items()
        for name in (migration.name, *(name for _, name in migration.replaces))
    }
    if unknown := sorted({*manifest.migrations} - known):
        raise BackupError(
            f"The backup is of another release ({manifest.release}): this one does not know the migration {unknown[-1]}. "
            "Restore it with that release or a later one."
        )


def _refuse_full_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute(OURS)
        found = [name for (name,) in cursor.fetchall()]
    if found:
        raise BackupError(
            f"The database {connection.settings_dict['NAME']} is not empty: it has {len(found)} tables and indexes, such as "
            f"{found[0]}. Restore into another one, or drop this one first."
        )


def _silence() -> None:
    """Makes all webhooks inactive. The tables may be those of an earlier release."""
    if "forecasting_webhook" in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE forecasting_webhook SET active = false")


@contextmanager
def _models_in_place(zipped: ZipFile, manifest: Manifest) -> Iterator[None]:
    """The model files are in their folder at once and during the block, and in the bucket if there is one.

    After an error in the block the folder is removed again, unless it was there before.
    """
    root = models_root()
    is_new = not _holds_all(root, manifest)
    if is_new:
        _put_in_place(zipped, manifest, root)
    try:
        flush_folder(root.parent)
        _fill_bucket(root, manifest)
        yield
    except BaseException:
        if is_new:
            shutil.rmtree(root)
        raise


def _put_in_place(zipped: ZipFile, manifest: Manifest, root: Path) -> None:
    if root.exists() and any(root.iterdir()):
        raise BackupError(
            f"{root} is not empty, and its files are not those of the backup. Set another MEDIA_ROOT, or move it away."
        )
    scratch = root.with_name(".models-unfinished")
    try:
        _extract(zipped, manifest, scratch)
        scratch.rename(root)  # replaces an empty folder
    except OSError as error:
        raise BackupError(f"{error.filename or root} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fill_bucket(root: Path, manifest: Manifest) -> None:
    """Puts the model files into the bucket as well, if there is one. Raises BackupError."""
    if (bucket := models_bucket()) is None:
        return
    try:
        for name in manifest.model_files:
            place = name.removeprefix("models/")
            bucket.put(place, (root / place).read_bytes())
    except OSError as error:
        raise BackupError(f"The model files are not in the bucket: {error.strerror}.") from error


def _holds_all(root: Path, manifest: Manifest) -> bool:
    """Whether the folder has every model file of the backup, unchanged."""
    for name, entry in manifest.model_files.items():
        path = root.parent / name
        if not path.is_file():
            return False
        found = file_of(path.read_bytes())
        if (found.sha256, found.size) != (entry.sha256, entry.size):
            return False
    return bool(manifest.model_files)


def _extract(zipped: ZipFile, manifest: Manifest, scratch: Path) -> None:
    """Writes the model files to the new folder `scratch`. The names are safe: see MODEL_FILE."""
    if scratch.exists():  # of a restore that was killed
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True)
    for name in manifest.model_files:
        path = scratch / Path(name).relative_to("models")
        path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        with zipped.open(name) as source, path.open("xb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        path.chmod(FILE_MODE)
    for folder in (*scratch.iterdir(), scratch):
        flush_folder(folder)
