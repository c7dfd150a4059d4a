"""A backup of a service that goes on meanwhile: rows and files of one moment."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest
from django.db import connection

from forecasting import registry
from forecasting.backup import BackupError, back_up, postgres, saving, verified
from forecasting.backup.archive import Entry
from forecasting.backup.postgres import Program
from forecasting.models.locks import Lock, lock_if_free
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.serving.verified import ArtifactFile
from forecasting.registry import models_root
from forecasting.runtime.processes import wait_for
from tests.backup.places import Place, place_of_tests
from tests.factories import make_forecast, make_symbol
from tests.running import largest_file
from tests.small_model import publish_model

pytestmark = pytest.mark.django_db(transaction=True)

YESTERDAY = registry.UNPUBLISHED_SECONDS


@contextmanager
def held(lock: Lock) -> Iterator[None]:
    """Another process holds the lock."""
    with psycopg.connect(place_of_tests().conninfo, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [lock])
        yield


def closing_thread(work: Callable[[], object]) -> threading.Thread:
    """A thread, not started yet, with a database connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    return threading.Thread(target=run)


def in_thread(work: Callable[[], object]) -> None:
    thread = closing_thread(work)
    thread.start()
    thread.join()


def test_what_comes_after_the_snapshot_is_not_in_it(tmp_path: Path, empty: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    symbol = make_symbol()
    version = publish_model(symbol)
    make_forecast(version, date(2025, 6, 2))
    before = place_of_tests().tables()
    dump = postgres.dump

    def after_more(program: Program, *, snapshot: str) -> AbstractContextManager[Iterator[bytes]]:
        in_thread(lambda: publish_model(symbol))
        return dump(program, snapshot=snapshot)

    monkeypatch.setattr(postgres, "dump", after_more)
    manifest = back_up(tmp_path / "one.backup")
    assert symbol.versions.count() == 2
    assert {Path(name).parts[1] for name in manifest.model_files} == {version.folder}
    empty.told("restore", tmp_path / "one.backup")
    assert empty.tables() == before


def test_files_that_expire_meanwhile_stay_until_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = publish_model(make_symbol())
    copied = saving._copied

    def after_a_sweep(archive: ZipFile, files: dict[str, ArtifactFile]) -> dict[str, Entry]:
        type(version).objects.update(state=VersionState.RETIRED, files_state=FilesState.REMOVED)
        os.utime(models_root() / version.folder, times=(0, 0))
        in_thread(lambda: swept.append(registry.sweep()))
        return copied(archive, files)

    swept: list[int] = []
    monkeypatch.setattr(saving, "_copied", after_a_sweep)
    manifest = back_up(tmp_path / "one.backup")
    assert swept == [0]
    assert manifest.left_out == []
    assert manifest.model_files
    assert registry.sweep() == 1


def test_a_damaged_file_is_left_out_and_named(tmp_path: Path) -> None:
    version = publish_model(make_symbol())
    (models_root() / version.folder / "model.onnx").write_bytes(b"other bytes")
    (models_root() / version.folder / "backtest.csv").unlink()
    manifest = back_up(tmp_path / "one.backup")
    assert manifest.left_out == [f"models/{version.folder}/{name}" for name in ("backtest.csv", "model.onnx")]
    assert verified(tmp_path / "one.backup") == manifest


def test_files_that_retention_has_removed_are_not_missed(tmp_path: Path) -> None:
    version = publish_model(make_symbol())
    type(version).objects.update(state=VersionState.RETIRED, files_state=FilesState.REMOVED)
    manifest = back_up(tmp_path / "one.backup")
    assert (manifest.left_out, manifest.model_files) == ([], {})


@pytest.mark.parametrize("lock", [Lock.MIGRATIONS, Lock.RETENTION])
def test_it_waits_for_a_migration_and_for_a_sweep(tmp_path: Path, lock: Lock) -> None:
    told = threading.Event()
    with held(lock):
        thread = closing_thread(lambda: back_up(tmp_path / "one.backup", waiting=told.set))
        thread.start()
        assert told.wait(30)
        assert not (tmp_path / "one.backup").exists()
    thread.join()
    assert (tmp_path / "one.backup").exists()


def test_it_leaves_no_lock(tmp_path: Path) -> None:
    back_up(tmp_path / "one.backup")
    for lock in (Lock.MIGRATIONS, Lock.RETENTION):
        with held(lock), lock_if_free(lock) as mine:
            assert not mine


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    publish_model(make_symbol())
    with largest_file(100_000), pytest.raises(BackupError, match=r"one\.backup cannot be written: File too large"):
        back_up(tmp_path / "one.backup")
    assert [path.name for path in tmp_path.iterdir()] == ["media"]


@pytest.fixture
def only_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of Debian's, and no other Postgres programs than those of the embedded server."""
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "debian"


@pytest.mark.usefixtures("only_ours")
def test_a_server_that_is_newer_than_every_pg_dump_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "server_major", lambda: 99)
    with pytest.raises(BackupError, match=r"pg_dump 99 or newer is needed, .* Found: 18 \(.*\)\. Install postgresql-client-99\."):
        back_up(tmp_path / "one.backup")
    assert [*tmp_path.iterdir()] == []


def test_the_program_that_is_nearest_to_the_server_is_used(only_ours: Path) -> None:
    for major in (14, 16, 17):
        program = only_ours / str(major) / "bin" / "pg_dump"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {major}.2 (Debian)'\n")
        program.chmod(0o755)
    found = [postgres.fitting("pg_dump", major=major).major for major in (13, 15, 16, 18)]
    assert found == [14, 16, 16, 18]


def test_a_password_is_in_no_command_line() -> None:
    connection.settings_dict["PASSWORD"] = "secret of a test"  # noqa: S105
    try:
        conninfo, secret = postgres._connection()
    finally:
        connection.settings_dict["PASSWORD"] = ""
    assert "secret" not in conninfo
    assert secret == {"PGPASSWORD": "secret of a test"}


def test_pg_dump_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "SCHEMA", "no_such_schema")
    with pytest.raises(BackupError, match=r"pg_dump failed \(exit status 1\): .*no matching schemas were found"):
        back_up(tmp_path / "one.backup")
    assert [*tmp_path.iterdir()] == []


def test_it_keeps_pace_with_a_service_that_publishes(tmp_path: Path) -> None:
    """Versions come all the time; each backup has all files of its rows."""
    symbol, stop = make_symbol(), threading.Event()

    def publish() -> None:
        while not stop.is_set():
            publish_model(symbol)

    thread = closing_thread(publish)
    thread.start()
    try:
        assert wait_for(lambda: symbol.versions.exists(), seconds=30)
        manifests = [back_up(tmp_path / f"{number}.backup") for number in range(3)]
    finally:
        stop.set()
        thread.join()
    for manifest in manifests:
        folders = {Path(name).parts[1] for name in manifest.model_files}
        assert len(folders) == manifest.rows["model versions"]
        assert manifest.left_out == []
