"""Models in a bucket: machines that share nothing but the database and the bucket publish to it and read from it."""

import shutil
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from pytest_django import Settings

from forecasting import readiness, registry
from forecasting.backup.archive import BackupError
from forecasting.backup.saving import back_up
from forecasting.models import ModelVersion, Training
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.serving.trained import ONNX
from forecasting.pipeline.serving.verified import ArtifactError
from forecasting.registry import bucket
from forecasting.runtime.processes import wait_for
from stockpred import environment
from tests.factories import make_symbol
from tests.running import largest_file
from tests.s3_server import BUCKET, S3Server, s3_server
from tests.test_version_life import backtest, damaged, published, states

pytestmark = pytest.mark.django_db

PREFIX = "stockpred"


@pytest.fixture
def s3(settings: Settings) -> Iterator[S3Server]:
    with s3_server() as server:
        options = {"bucket_name": BUCKET, "location": PREFIX}
        settings.STORAGES = settings.STORAGES | {"models": {"BACKEND": "forecasting.registry.bucket.Bucket", "OPTIONS": options}}
        yield server


@pytest.fixture
def version(s3: S3Server) -> ModelVersion:
    return published(make_symbol())


def on_another_machine(settings: Settings, folder: Path) -> None:
    settings.MEDIA_ROOT = folder / "of another machine"


def folder_of(version: ModelVersion) -> Path:
    return registry.models_root() / version.folder


def test_a_published_version_is_in_the_bucket_as_it_is_here(s3: S3Server, version: ModelVersion) -> None:
    assert s3.paths() == {f"{PREFIX}/{version.folder}/{name}" for name in version.files}
    for name in version.files:
        assert s3.content(f"{PREFIX}/{version.folder}/{name}") == (folder_of(version) / name).read_bytes()


def test_another_machine_fetches_what_it_serves_and_keeps_it(
    s3: S3Server, version: ModelVersion, settings: Settings, tmp_path: Path
) -> None:
    first = registry.load_backtest(version)
    on_another_machine(settings, tmp_path)
    assert registry.load_backtest(version).equals(first)
    s3.stop()
    assert registry.load_backtest(version).equals(first)


def test_a_full_disk_leaves_no_part_of_a_copy(s3: S3Server, version: ModelVersion, settings: Settings, tmp_path: Path) -> None:
    on_another_machine(settings, tmp_path)
    with largest_file(100), pytest.raises(registry.OutOfReachError, match="File too large"):
        registry.load_backtest(version)
    assert [path for path in registry.models_root().rglob("*") if path != folder_of(version)] == []


def test_a_copy_that_was_changed_is_replaced_by_that_of_the_bucket(s3: S3Server, version: ModelVersion) -> None:
    content = (folder_of(version) / ONNX).read_bytes()
    damaged(version, ONNX, "bit flipped")
    registry.load_forecaster(version)
    assert (folder_of(version) / ONNX).read_bytes() == content


def test_a_file_that_is_changed_in_the_bucket_too_is_damage(s3: S3Server, version: ModelVersion) -> None:
    damaged(version, ONNX, "truncated")
    s3.put(f"{PREFIX}/{version.folder}/{ONNX}", b"something else")
    with pytest.raises(ArtifactError, match=r"model\.onnx should have \d+ bytes"):
        registry.load_forecaster(version)


def test_a_version_that_is_out_of_reach_keeps_its_place_and_the_base_serves_meanwhile(
    s3: S3Server, version: ModelVersion, settings: Settings, tmp_path: Path
) -> None:
    on_another_machine(settings, tmp_path)
    base = registry.base_version()
    s3.stop()
    with pytest.raises(
        registry.OutOfReachError, match=r"model\.onnx is missing\. the bucket of models cannot be reached\."
    ) as caught:
        registry.load_forecaster(version)
    assert registry.replacement(version, problem=caught.value) == base
    version.refresh_from_db()
    assert (version.state, version.files_state) == (VersionState.ACTIVE, FilesState.KEPT)
    assert not Training.objects.active().exists()


def test_after_a_silence_the_bucket_is_left_alone_for_a_while(
    s3: S3Server, version: ModelVersion, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_another_machine(settings, tmp_path)
    s3.stop()
    with pytest.raises(registry.OutOfReachError):
        registry.load_forecaster(version)
    s3.start()
    with pytest.raises(registry.OutOfReachError):
        registry.load_forecaster(version)
    monkeypatch.setattr(registry.models_bucket(), "_rests_until", 0.0)
    registry.load_forecaster(version)


@contextmanager
def bad_server(monkeypatch: pytest.MonkeyPatch, *, answer: bytes) -> Iterator[threading.Event]:
    """Takes the bucket's place: gives this answer to each request, once the event is set, and ends the connection."""
    ready = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            ready.wait(30)
            self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_address[1]}")
        try:
            yield ready
        finally:
            server.shutdown()
            thread.join()


def test_a_file_that_comes_in_part_is_out_of_reach(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with bad_server(monkeypatch, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthe beginning") as ready:
        ready.set()
        with pytest.raises(bucket.BucketError, match="cannot be reached"):
            bucket.Bucket(bucket_name=BUCKET).content("7-0a1b/model.onnx")


def test_only_one_thread_finds_out_whether_a_silent_bucket_answers_again(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = bucket.Bucket(bucket_name=BUCKET)
    ours._rests_until = 0.1  # long ago
    with bad_server(monkeypatch, answer=b"") as ready, ThreadPoolExecutor(1) as threads:
        first = threads.submit(ours.content, "7-0a1b/model.onnx")
        assert wait_for(lambda: ours._rests_until > 0.1, seconds=20)
        with pytest.raises(bucket.BucketError):
            ours.content("7-0a1b/model.onnx")
        assert not first.done()
        ready.set()


def test_a_bucket_that_is_gone_damages_nothing(s3: S3Server, version: ModelVersion, settings: Settings, tmp_path: Path) -> None:
    on_another_machine(settings, tmp_path)
    for path in s3.paths():
        s3.remove(path)
    s3.client.delete_bucket(Bucket=BUCKET)
    with pytest.raises(registry.OutOfReachError, match="the bucket refuses: The specified bucket does not exist"):
        registry.load_forecaster(version)


def test_a_version_is_judged_beside_one_of_another_machine(s3: S3Server, settings: Settings, tmp_path: Path) -> None:
    symbol = make_symbol()
    published(symbol)
    on_another_machine(settings, tmp_path)
    published(symbol, backtest=backtest(spread=2.0))
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.REJECTED}


def test_nothing_remains_of_a_version_that_the_bucket_does_not_take(s3: S3Server) -> None:
    symbol = make_symbol()
    s3.stop()
    with pytest.raises(bucket.BucketError):
        published(symbol)
    assert not ModelVersion.objects.filter(symbol=symbol).exists()
    assert list(registry.models_root().iterdir()) == []


def test_a_sweep_removes_what_no_version_needs_after_a_day(s3: S3Server, version: ModelVersion) -> None:
    s3.put(f"{PREFIX}/77-0123456789ab/{ONNX}", b"of a killed trainer")
    s3.put(f"{PREFIX}/reports/2025.csv", b"of somebody else")
    assert registry.sweep() == 0
    with time_machine.travel(timezone.now() + timedelta(days=2), tick=True):
        assert registry.sweep() == 1
    assert s3.paths() == {f"{PREFIX}/{version.folder}/{name}" for name in version.files} | {f"{PREFIX}/reports/2025.csv"}


def test_the_service_is_not_ready_without_its_bucket(s3: S3Server) -> None:
    assert readiness.parts()["media"].is_ready
    s3.stop()
    part = readiness.parts()["media"]
    assert (part.status, part.text) == ("failed", "Model files cannot be written: the bucket of models cannot be reached.")


@pytest.mark.django_db(transaction=True)
def test_a_backup_has_the_models_of_all_machines(s3: S3Server, settings: Settings, tmp_path: Path) -> None:
    version = published(make_symbol())
    on_another_machine(settings, tmp_path)
    manifest = back_up(tmp_path / "backup.zip")
    assert manifest.left_out == []
    assert {f"models/{version.folder}/{name}" for name in version.files} <= {*manifest.files}


@pytest.mark.django_db(transaction=True)
def test_a_backup_does_not_leave_out_models_that_are_out_of_reach(s3: S3Server, settings: Settings, tmp_path: Path) -> None:
    published(make_symbol())
    on_another_machine(settings, tmp_path)
    s3.stop()
    with pytest.raises(BackupError, match="is not on this machine, and the bucket of models cannot be reached"):
        back_up(tmp_path / "backup.zip")
    assert not (tmp_path / "backup.zip").exists()


def test_without_a_bucket_nothing_is_asked() -> None:
    version = published(make_symbol())
    assert registry.models_bucket() is None
    shutil.rmtree(folder_of(version))
    with pytest.raises(ArtifactError, match=r"^backtest\.csv is missing\.$"):
        registry.load_backtest(version)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", None),
        ("s3://models", {"bucket_name": "models", "location": ""}),
        ("s3://my.models/a/b/", {"bucket_name": "my.models", "location": "a/b"}),
    ],
)
def test_a_bucket_has_an_address(monkeypatch: pytest.MonkeyPatch, address: str, expected: dict[str, str] | None) -> None:
    monkeypatch.setenv("MODEL_STORAGE", address)
    assert environment.bucket("MODEL_STORAGE") == expected


@pytest.mark.parametrize("address", ["models", "https://models", "s3://", "s3://A", "s3://models/ü"])
def test_another_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MODEL_STORAGE", address)
    with pytest.raises(ImproperlyConfigured, match=r"MODEL_STORAGE.*s3://bucket/folder"):
        environment.bucket("MODEL_STORAGE")
