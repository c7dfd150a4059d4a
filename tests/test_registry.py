"""The registry: atomic publishing, one active version at a time, and no loading of damaged files."""

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from forecasting import registry
from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import VersionState
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import BACKTEST, META, ONNX, WEIGHTS
from forecasting.pipeline.serving.verified import ArtifactError
from forecasting.registry import FenceLostError, models_root
from forecasting.registry.files import scratch_prefix
from forecasting.training import queue as training_queue
from tests.factories import METRICS, make_claimed, make_restatement, make_symbol, make_version
from tests.racing import begin_behind_us
from tests.small_model import BARS_NEEDED, publish_model, trained_model

pytestmark = pytest.mark.django_db


def publish(training: Training, **values: Any) -> ModelVersion:
    return registry.publish(trained_model(**values), training_id=training.pk, fence=training.fence)


def folders() -> list[str]:
    """The content of the folder of all versions."""
    return sorted(path.name for path in models_root().iterdir())


def states() -> dict[int, str]:
    """The state of each version, by number."""
    return dict(ModelVersion.objects.order_by("number").values_list("number", "state"))


def damage(version: ModelVersion) -> None:
    file = models_root() / version.folder / "model.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


# Publishing


def test_a_published_version_has_every_file_as_the_database_says() -> None:
    version = publish_model(make_symbol())
    folder = models_root() / version.folder
    assert folders() == [version.folder]
    assert sorted(version.files) == sorted(path.name for path in folder.iterdir()) == sorted((ONNX, WEIGHTS, META, BACKTEST))
    for name, file in version.artifact_files.items():
        content = (folder / name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file.sha256, file.size)


def test_a_folder_below_media_is_named_after_the_version_and_its_hash(settings: Settings) -> None:
    version = publish_model(make_symbol())
    assert (settings.MEDIA_ROOT / "models" / version.folder / ONNX).is_file()
    assert version.folder == f"{version.pk}-{version.files['model.onnx']['sha256'][:12]}"


def test_a_version_says_what_was_trained_on_which_bars_and_how_good_it_is() -> None:
    trained = trained_model()
    training = make_claimed(make_symbol())
    version = registry.publish(trained, training_id=training.pk, fence=training.fence)
    version.refresh_from_db()
    assert (version.symbol, version.training, version.number) == (training.symbol, training, 1)
    assert (version.config, version.metrics) == (trained.config.to_dict(), trained.metrics)
    assert (version.data_start, version.data_end, version.bar_count) == (trained.data_start, trained.data_end, trained.bar_count)


def test_a_version_knows_the_one_from_which_its_fit_started_and_the_last_restatement_of_its_bars() -> None:
    symbol, base = make_symbol(), publish_model(None)
    restatement = make_restatement(symbol)
    training = make_claimed(symbol)
    registry.publish(trained_model(), training_id=training.pk, fence=training.fence, parent=base, restatement=restatement)
    version = ModelVersion.objects.get(symbol=symbol)
    assert (version.parent, version.restatement) == (base, restatement)


def test_publishing_ends_the_training_and_no_other_one() -> None:
    training, other = make_claimed(make_symbol("SAMPLE1")), make_claimed(make_symbol("SAMPLE2"))
    Training.objects.update(error="The network is down.")
    publish(training)
    training.refresh_from_db()
    other.refresh_from_db()
    assert (training.state, training.stage, training.progress, training.error) == (TrainingState.SUCCEEDED, "published", 1.0, "")
    assert training.lease_expires_at is None
    assert training.finished_at
    assert other.state == TrainingState.RUNNING


def test_the_first_version_serves_and_the_next_one_replaces_it() -> None:
    symbol = make_symbol()
    first, second = publish_model(symbol), publish_model(symbol)
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}
    assert (first.decision, second.decision) == (
        "First version.",
        "Replaces version 1: 0 common out-of-sample sessions are too few to compare.",
    )
    assert folders() == sorted([first.folder, second.folder])


def test_versions_of_other_symbols_are_left_alone() -> None:
    publish_model(make_symbol("SAMPLE1"))
    publish_model(make_symbol("SAMPLE2"))
    assert list(ModelVersion.objects.values_list("number", "state")) == [(1, VersionState.ACTIVE)] * 2


def test_a_new_base_replaces_the_one_before_it() -> None:
    first, second = publish_model(None), publish_model(None)
    first.refresh_from_db()
    assert (first.state, second.state, second.number) == (VersionState.RETIRED, VersionState.ACTIVE, 2)


def test_a_base_model_is_published_without_a_comparison() -> None:
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))
    decisions = []
    for _ in range(2):
        training = make_claimed(None)
        decisions.append(registry.publish(base, training_id=training.pk, fence=training.fence).decision)
    assert decisions == ["First base.", "Replaces version 1: a new base always does."]
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}


def test_the_base_is_numbered_by_itself() -> None:
    publish_model(make_symbol())
    base = publish_model(None)
    assert (base.symbol, base.number, base.kind) == (None, 1, "base")


def test_owner_and_group_may_read_the_files() -> None:
    folder = models_root() / publish_model(make_symbol()).folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o640}


@pytest.mark.parametrize("lost", ["cancelled", "taken by another", "ended"])
def test_a_trainer_that_lost_its_training_leaves_no_version_and_no_file(lost: str) -> None:
    training = make_claimed(make_symbol())
    if lost == "cancelled":
        training_queue.cancel(training, by="ana")
    elif lost == "ended":
        training_queue.fail(training, error="The training took too long.")
    else:
        Training.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        training_queue.rescue()
        training_queue.claim()
    before = Training.objects.values().get()
    with pytest.raises(FenceLostError, match=f"^Training {training.pk} no longer belongs to this trainer"):
        publish(training)
    assert (folders(), states(), Training.objects.values().get()) == ([], {}, before)


@pytest.mark.django_db(transaction=True)
def test_a_training_that_is_cancelled_at_the_last_moment_publishes_nothing() -> None:
    training = make_claimed(make_symbol())
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            training_queue.cancel(training, by="ana")
            publication = begin_behind_us(threads, lambda: publish(training))
        with pytest.raises(FenceLostError):
            publication.result()
    assert (folders(), states(), Training.objects.get().state) == ([], {}, TrainingState.CANCELLED)


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_fails_leaves_no_version_and_no_file() -> None:
    symbol = make_symbol()
    first = publish_model(symbol)
    training = make_claimed(symbol)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE forecasting_training ADD CONSTRAINT full_disk CHECK (stage <> 'published') NOT VALID")
        try:
            with pytest.raises(IntegrityError, match="full_disk"):
                publish(training)
        finally:
            cursor.execute("ALTER TABLE forecasting_training DROP CONSTRAINT full_disk")
    assert (folders(), states()) == ([first.folder], {1: VersionState.ACTIVE})
    assert training_queue.renew(training)


@pytest.mark.django_db(transaction=True)
def test_the_files_stay_if_the_connection_fails_because_the_transaction_may_have_been_committed() -> None:
    training = make_claimed(make_symbol())
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION connection_lost() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                PERFORM pg_terminate_backend(pg_backend_pid());
                RETURN NEW;
            END $$;
            CREATE TRIGGER connection_lost AFTER INSERT ON forecasting_modelversion
            FOR EACH ROW EXECUTE FUNCTION connection_lost();
            """
        )
    try:
        with pytest.raises((OperationalError, InterfaceError)):
            publish(training)
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION connection_lost CASCADE")
    assert (len(folders()), states()) == (1, {})


def test_what_is_not_whole_yet_lies_in_a_folder_named_after_its_writer() -> None:
    seen: list[str] = []

    class Watching(dict[str, Any]):
        """Metrics that look around while they are written."""

        def items(self) -> Any:
            seen.extend(folders())
            return super().items()

    publish_model(make_symbol(), metrics=Watching(METRICS))
    assert seen[0].startswith(scratch_prefix(os.getpid()))


def test_metrics_that_json_cannot_hold_leave_no_file() -> None:
    training = make_claimed(make_symbol())
    with pytest.raises(ValueError, match="not JSON compliant"):
        publish(training, metrics={"mase": float("nan")})
    assert folders() == []


def test_a_folder_that_cannot_be_written_is_an_error_of_the_system(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.MEDIA_ROOT.write_text("a file where a folder should be")  # refuses even root, who passes every permission check
    training = make_claimed(make_symbol())
    with pytest.raises(OSError, match="media"):
        publish(training)
    assert states() == {}
    assert training_queue.renew(training)


# Loading


def test_a_version_is_loaded_once_by_a_process() -> None:
    version = publish_model(make_symbol())
    forecaster = registry.load_forecaster(version)
    damage(version)
    assert registry.load_forecaster(ModelVersion.objects.get()) is forecaster
    assert forecaster.bars_needed == BARS_NEEDED


def test_a_damaged_version_is_not_loaded() -> None:
    version = publish_model(make_symbol())
    damage(version)
    with pytest.raises(ArtifactError, match=r"^model\.onnx has been changed"):
        registry.load_forecaster(version)


def test_a_version_without_its_files_is_not_loaded_and_names_no_path() -> None:
    with pytest.raises(ArtifactError) as refused:
        registry.load_forecaster(make_version(make_symbol()))
    assert "/" not in str(refused.value)


def test_a_damaged_version_is_loaded_once_it_has_been_repaired() -> None:
    version = publish_model(make_symbol())
    damage(version)
    with pytest.raises(ArtifactError):
        registry.load_forecaster(version)
    damage(version)  # flips the same bit back
    assert registry.load_forecaster(version)
