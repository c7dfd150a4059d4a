"""Damaged versions: which one serves instead, and what is trained again."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from forecasting import registry
from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import TrainingReason
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.serving.trained import EARLIER, META, ONNX
from tests.factories import make_symbol
from tests.racing import at_once, slow
from tests.test_version_life import backtest, damaged, published, states

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", [ONNX, META])
@pytest.mark.parametrize("how", ["deleted", "truncated", "bit flipped"])
def test_the_newest_good_version_serves_instead_of_a_damaged_one_and_a_retraining_is_requested(name: str, how: str) -> None:
    symbol = make_symbol()
    first, second, third = (published(symbol) for _ in range(3))
    damaged(second, name, how)
    assert registry.replace_damaged(third, problem="model.onnx is missing.") == first
    third.refresh_from_db()
    first.refresh_from_db()
    second.refresh_from_db()
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.RETIRED, 3: VersionState.RETIRED}
    assert [each.files_state for each in (first, second, third)] == [FilesState.KEPT, FilesState.DAMAGED, FilesState.DAMAGED]
    assert third.decision == "Retired, because its files cannot be used: model.onnx is missing."
    assert first.decision == "Serves again: the files of version 3 cannot be used."
    training = Training.objects.active().get()
    assert (training.symbol, training.reason) == (symbol, TrainingReason.FILES_DAMAGED)


def test_a_version_that_cannot_be_read_now_keeps_its_place_and_serves_again_once_it_can(caplog: pytest.LogCaptureFixture) -> None:
    version = published(make_symbol())
    path = registry.models_root() / version.folder / ONNX
    aside = path.rename(path.with_suffix(".aside"))
    path.symlink_to(path.name)  # leads to itself: for root, too, it cannot be opened
    with pytest.raises(registry.OutOfReachError) as caught:
        registry.load_forecaster(version)
    for _ in range(2):
        assert registry.replacement(version, problem=caught.value) == registry.base_version()
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == [
        "version 1 cannot be read on this machine now: model.onnx cannot be read: Too many levels of symbolic links."
    ]
    version.refresh_from_db()
    assert (version.state, version.files_state) == (VersionState.ACTIVE, FilesState.KEPT)
    assert not Training.objects.active().exists()
    aside.rename(path)
    assert registry.load_forecaster(version)


def test_a_shipped_base_that_cannot_be_read_is_copied_again() -> None:
    base = registry.base_version()
    assert base
    path = registry.models_root() / base.folder / ONNX
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(registry.OutOfReachError) as caught:
        registry.load_base(base)
    other = registry.replacement(base, problem=caught.value)
    assert other
    assert other != base
    assert registry.load_base(other)


def test_of_several_good_versions_the_newest_serves_instead_of_a_damaged_one() -> None:
    symbol = make_symbol()
    _, second, third = (published(symbol) for _ in range(3))
    ModelVersion.objects.filter(pk=second.pk).update(trained_at=timezone.now() - timedelta(days=9))  # numbers decide, not times
    assert registry.replace_damaged(third, problem="gone") == second


def test_a_version_whose_files_were_removed_neither_serves_nor_counts_as_damaged() -> None:
    symbol = make_symbol()
    first, second = published(symbol), published(symbol)
    ModelVersion.objects.filter(pk=first.pk).update(files_state=FilesState.REMOVED)
    serving = registry.replace_damaged(second, problem="gone")
    first.refresh_from_db()
    assert serving
    assert (serving.kind, first.files_state) == ("base", FilesState.REMOVED)


def test_damage_of_one_symbol_leaves_the_versions_of_another_alone() -> None:
    symbol, other = make_symbol("SAMPLE1"), published(make_symbol("SAMPLE2"))
    first, second = published(symbol), published(symbol)
    damaged(first, ONNX, "deleted")
    assert registry.replace_damaged(second, problem="gone") == registry.base_version()
    other.refresh_from_db()
    assert (other.state, other.files_state) == (VersionState.ACTIVE, FilesState.KEPT)


def test_damage_of_a_version_that_no_longer_serves_changes_nothing() -> None:
    symbol = make_symbol()
    first, second = published(symbol), published(symbol)
    assert registry.replace_damaged(first, problem="gone") == second
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}
    assert not Training.objects.active().exists()


def test_a_damaged_base_that_was_trained_here_gives_way_to_the_shipped_one_and_is_trained_again() -> None:
    base = published(None)
    serving = registry.replace_damaged(base, problem="gone")
    assert serving
    assert (serving.number, serving.symbol, serving.training) == (2, None, None)
    training = Training.objects.active().get()
    assert (training.symbol, training.reason) == (None, TrainingReason.FILES_DAMAGED)


def test_a_good_base_before_a_damaged_one_serves_again() -> None:
    shipped = registry.base_version()
    base = published(None)
    assert registry.replace_damaged(base, problem="gone") == shipped


def test_a_damaged_base_does_not_serve_again() -> None:
    shipped = registry.base_version()
    assert shipped
    damaged(shipped, EARLIER, "deleted")
    serving = registry.replace_damaged(published(None), problem="gone")
    shipped.refresh_from_db()
    assert serving
    assert (serving.number, shipped.files_state) == (3, FilesState.DAMAGED)


@pytest.mark.parametrize("ticker", ["SAMPLE1", None])
def test_the_log_says_which_version_is_damaged_and_why(ticker: str | None, caplog: pytest.LogCaptureFixture) -> None:
    version = published(make_symbol(ticker) if ticker else None)
    caplog.clear()
    for _ in range(2):
        registry.replace_damaged(version, problem="model.onnx is missing.")
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert record.getMessage() == "version 1 is damaged and was retired: model.onnx is missing."
    assert vars(record)["symbol"] == (ticker or "base")


def test_damage_that_several_processes_find_is_dealt_with_once() -> None:
    symbol = make_symbol()
    first, second = published(symbol), published(symbol)
    assert [registry.replace_damaged(second, problem="gone") for _ in range(2)] == [first, first]
    assert Training.objects.active().count() == 1


@pytest.mark.django_db(transaction=True)
def test_processes_that_find_the_damage_at_once_agree_on_one_replacement(caplog: pytest.LogCaptureFixture) -> None:
    symbol = make_symbol()
    _, second, third = (published(symbol) for _ in range(3))
    with slow("UPDATE", ModelVersion):
        assert at_once([partial(registry.replace_damaged, third, problem="gone")] * 4) == [second] * 4
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE, 3: VersionState.RETIRED}
    assert (Training.objects.active().count(), caplog.messages.count("version 3 is damaged and was retired: gone")) == (1, 1)


def test_a_rejected_version_does_not_serve_by_itself() -> None:
    symbol = make_symbol()
    active = published(symbol)
    published(symbol, backtest=backtest(spread=2.0))
    serving = registry.replace_damaged(active, problem="gone")
    assert serving
    assert serving.kind == "base"


def test_a_damaged_base_that_ships_is_copied_again() -> None:
    base = registry.base_version()
    assert base
    serving = registry.replace_damaged(base, problem="gone")
    assert serving
    assert (serving.number, serving.symbol, Training.objects.count()) == (2, None, 0)


def test_a_repaired_version_can_be_activated_again() -> None:
    symbol = make_symbol()
    _, second = published(symbol), published(symbol)
    registry.replace_damaged(second, problem="gone")
    registry.activate(second, by="admin")
    second.refresh_from_db()
    assert (second.state, second.files_state) == (VersionState.ACTIVE, FilesState.KEPT)
