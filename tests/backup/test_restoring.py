"""A restore into an empty place on another server: everything or nothing."""

import os
import shutil
import signal
from datetime import date
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest
from django.conf import settings

from forecasting.backup import back_up
from forecasting.backup.archive import DUMP
from forecasting.models import ModelVersion, Webhook
from forecasting.models.webhooks import WebhookEvent
from forecasting.runtime.processes import ProcessGroup, wait_for
from tests.backup.places import MANAGE, Place, place_of_tests
from tests.factories import add_bars, make_forecast, make_symbol
from tests.s3_server import BUCKET, s3_server
from tests.small_model import publish_model
from tests.test_commands import finish, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def source() -> ModelVersion:
    """The active version of a symbol with bars and a scored forecast, with its files."""
    symbol = make_symbol()
    add_bars(symbol)
    version = publish_model(symbol)
    make_forecast(version, date(2025, 6, 2), actual_close=100.1 + 0.2)  # more digits than are shown
    return version


@pytest.fixture
def backup(source: ModelVersion, tmp_path: Path) -> Path:
    back_up(tmp_path / "one.backup")
    return tmp_path / "one.backup"


def test_tables_schema_and_files_are_those_of_the_source(backup: Path, empty: Place) -> None:
    told = empty.told("restore", backup)
    assert "release 0.1.0, is restored: 1 symbols, 1 model versions, 1 forecasts." in told
    before = place_of_tests()
    assert empty.tables() == before.tables()
    assert empty.schema() == before.schema()
    assert empty.model_files() == before.model_files()
    modes = {path.stat().st_mode & 0o777 for path in empty.media.rglob("*") if path.is_file()}
    assert modes == {0o640}


@pytest.mark.parametrize("trial", [True, False])
def test_only_a_copy_for_a_trial_tells_webhooks_nothing(tmp_path: Path, empty: Place, trial: bool) -> None:
    Webhook.objects.create(url="https://example.com/", events=[WebhookEvent.FORECAST_ISSUED])
    back_up(tmp_path / "one.backup")
    empty.told("restore", tmp_path / "one.backup", *(["--trial"] if trial else []))
    with psycopg.connect(empty.conninfo) as database:
        assert database.execute("SELECT active FROM forecasting_webhook").fetchall() == [(not trial,)]


def test_the_ledger_stays_append_only(backup: Path, empty: Place) -> None:
    empty.told("restore", backup)
    with psycopg.connect(empty.conninfo) as database, pytest.raises(psycopg.Error, match="was served and cannot be changed"):
        database.execute("UPDATE forecasting_forecast SET price = 1")


def test_new_rows_get_new_keys(backup: Path, empty: Place) -> None:
    empty.told("restore", backup)
    with psycopg.connect(empty.conninfo) as database:
        (last, following) = database.execute(
            "SELECT max(id), nextval(pg_get_serial_sequence('forecasting_modelversion', 'id')) FROM forecasting_modelversion"
        ).fetchone() or (0, 0)
    assert following > last


def test_a_service_that_moves_to_another_database_keeps_its_model_files(backup: Path, empty: Place) -> None:
    media = {"MEDIA_ROOT": str(settings.MEDIA_ROOT)}
    before = place_of_tests().model_files()
    moved = empty.manage("restore", backup, **media)
    assert moved.returncode == 0, moved.stderr
    assert empty.tables() == place_of_tests().tables()
    assert place_of_tests().model_files() == before


def test_the_bucket_gets_the_model_files_also_if_a_restore_before_has_put_them_into_the_folder(backup: Path, empty: Place) -> None:
    shutil.copytree(settings.MEDIA_ROOT, empty.media)
    with s3_server() as s3:
        restored = empty.manage("restore", backup, **s3.environment, MODEL_STORAGE=f"s3://{BUCKET}")
        assert restored.returncode == 0, restored.stderr
        assert {f"models/{path}" for path in s3.paths()} == {*empty.model_files()}


def test_a_database_that_is_not_empty_is_refused(backup: Path, empty: Place) -> None:
    with psycopg.connect(empty.conninfo) as database:
        database.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert "is not empty: it has 1 tables and indexes, such as kept." in empty.refusal("restore", backup)
    assert {*empty.tables()} == {"kept"}
    assert not empty.media.exists()


def test_model_files_of_another_service_are_refused(backup: Path, empty: Place) -> None:
    other = empty.media / "models" / "1-0a1b" / "model.onnx"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another one")
    assert "is not empty, and its files are not those of the backup" in empty.refusal("restore", backup)
    assert empty.tables() == {}
    assert other.read_bytes() == b"another one"


def test_a_damaged_backup_is_refused_before_anything_is_written(backup: Path, empty: Place) -> None:
    whole = backup.read_bytes()
    middle = len(whole) // 2
    backup.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    for options in ([], ["--check"]):
        assert "is damaged, or no backup of this service" in empty.refusal("restore", backup, *options)
    assert empty.is_empty()


def test_a_check_writes_nothing(backup: Path, empty: Place) -> None:
    assert "is undamaged: 1 symbols" in empty.told("restore", "--check", backup)
    assert empty.is_empty()


def rewritten(backup: Path, name: str, old: bytes, new: bytes) -> Path:
    """The backup with a change in one file of it, which the manifest does not contradict."""
    changed = backup.with_name("changed.backup")
    with ZipFile(backup) as source, ZipFile(changed, "w") as target:
        for each in source.namelist():
            content = source.read(each)
            assert each != name or old in content
            target.writestr(each, content.replace(old, new) if each == name else content)
    return changed


def test_a_backup_of_a_later_release_is_refused(backup: Path, empty: Place) -> None:
    later = rewritten(backup, "manifest.json", b'"forecasting.0035_activations"', b'"forecasting.9999_later"')
    told = empty.refusal("restore", later)
    assert "this one does not know the migration forecasting.9999_later" in told
    assert empty.is_empty()


def test_an_older_server_than_that_of_the_dump_is_refused(backup: Path, empty: Place) -> None:
    newer = rewritten(backup, "manifest.json", b'"postgres": 18', b'"postgres": 19')
    assert "was made with pg_dump 19: Postgres 18 cannot read it" in empty.refusal("restore", newer)
    assert empty.is_empty()


def test_a_dump_that_cannot_be_loaded_leaves_nothing(source: ModelVersion, tmp_path: Path, empty: Place) -> None:
    with psycopg.connect(place_of_tests().conninfo, autocommit=True) as database:
        database.execute("CREATE FUNCTION public.broken() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        database.execute("CREATE TABLE z (a int CHECK (a < public.broken() + a))")
        database.execute("INSERT INTO z VALUES (1)")
        database.execute("CREATE OR REPLACE FUNCTION public.broken() RETURNS int LANGUAGE sql AS 'SELECT 1 / 0'")
        try:
            back_up(tmp_path / "broken.backup")
        finally:
            database.execute("DROP TABLE z")
            database.execute("DROP FUNCTION public.broken()")
    assert "pg_restore failed" in empty.refusal("restore", tmp_path / "broken.backup")
    assert empty.is_empty()


def test_a_restore_that_is_killed_can_be_repeated(backup: Path, empty: Place) -> None:
    with psycopg.connect(empty.conninfo) as blocker:
        blocker.execute("CREATE TABLE forecasting_symbol ()")
        group = ProcessGroup("restore", [*MANAGE, "restore", str(backup)], env=empty.env, output=backup.with_name("restore.log"))
        assert wait_for(lambda: (empty.media / "models").exists(), seconds=120)
        os.killpg(group.pid, signal.SIGKILL)  # after the files are in place
        group.stop(grace_s=0)
        blocker.rollback()
    assert wait_for(lambda: empty.tables() == {}, seconds=30)
    assert empty.model_files() != {}
    empty.told("restore", backup)
    assert empty.tables() == place_of_tests().tables()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_restore_that_is_stopped_leaves_nothing(backup: Path, empty: Place, number: signal.Signals) -> None:
    with psycopg.connect(empty.conninfo) as blocker:
        blocker.execute("CREATE TABLE forecasting_symbol ()")
        process = start(empty.folder, "restore", str(backup), **empty.env)
        assert wait_for(lambda: (empty.media / "models").exists(), seconds=120)
        process.send_signal(number)
        assert finish(process)[0] != 0
        blocker.rollback()
    assert wait_for(empty.is_empty, seconds=30)


def test_a_file_that_is_missing_is_one_line(empty: Place, tmp_path: Path) -> None:
    assert empty.refusal("restore", tmp_path / "none.backup") == f"CommandError: {tmp_path / 'none.backup'} is no file.\n"


def test_the_dump_is_one_that_postgres_tools_read(backup: Path) -> None:
    with ZipFile(backup) as archive:
        assert archive.read(DUMP).startswith(b"PGDMP")
