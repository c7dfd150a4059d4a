"""Pinned versions: they stay active until they are unpinned, another one is activated, or their files are damaged."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction
from pytest_django import Settings

from forecasting import registry
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingReason
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.serving.trained import ONNX
from forecasting.pipeline.serving.verified import ArtifactError
from tests.factories import make_claimed, make_symbol, make_version
from tests.racing import begin_behind_us
from tests.test_registry import publish
from tests.test_version_life import backtest, damaged, published, states

pytestmark = pytest.mark.django_db


def pinned() -> ModelVersion | None:
    """The pinned version of the only symbol."""
    return Symbol.objects.get().pinned_version


def test_a_pinned_older_version_is_active_again() -> None:
    symbol = make_symbol()
    first, _ = published(symbol), published(symbol)
    registry.pin(first, by="account ana")
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.RETIRED}
    assert pinned() == first


def test_a_better_version_is_trained_and_judged_but_does_not_replace_a_pinned_one() -> None:
    symbol = make_symbol()
    registry.pin(published(symbol, backtest=backtest(spread=2.0)), by="account ana")
    better = published(symbol)
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.RETIRED}
    assert better.decision.startswith(
        "Not activated: version 1 is pinned. Without the pin: Replaces version 1: not significantly worse; on 200 sessions"
    )


def test_a_worse_version_is_rejected_beside_a_pinned_one_as_usual() -> None:
    symbol = make_symbol()
    registry.pin(published(symbol), by="account ana")
    worse = published(symbol, backtest=backtest(spread=2.0))
    assert worse.state == VersionState.REJECTED
    assert worse.decision.startswith("Significantly worse than version 1, which stays")


def test_the_first_training_after_unpinning_replaces_the_version() -> None:
    symbol = make_symbol()
    registry.pin(published(symbol), by="account ana")
    published(symbol)
    registry.unpin(symbol, by="account ana")
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.RETIRED}
    published(symbol)
    assert states() == {1: VersionState.RETIRED, 2: VersionState.RETIRED, 3: VersionState.ACTIVE}


def test_activating_another_version_lifts_the_pin() -> None:
    symbol = make_symbol()
    first, second = published(symbol), published(symbol)
    registry.pin(first, by="account ana")
    registry.activate(second, by="account ana")
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}
    assert pinned() is None


def test_activating_the_pinned_version_keeps_the_pin() -> None:
    version = published(make_symbol())
    registry.pin(version, by="account ana")
    registry.activate(version, by="account ana")
    assert pinned() == version


def test_a_version_with_damaged_files_is_not_pinned() -> None:
    symbol = make_symbol()
    first, _ = published(symbol), published(symbol)
    damaged(first, ONNX, "deleted")
    with pytest.raises(ArtifactError):
        registry.pin(first, by="account ana")
    assert pinned() is None


def test_a_damaged_pinned_version_is_replaced_and_no_longer_pinned() -> None:
    symbol = make_symbol()
    first, second = published(symbol), published(symbol)
    registry.pin(second, by="account ana")
    assert registry.replace_damaged(second, problem="model.onnx is missing.") == first
    assert pinned() is None
    assert Training.objects.active().get().reason == TrainingReason.FILES_DAMAGED


def test_a_new_version_replaces_a_pinned_one_whose_files_are_damaged() -> None:
    symbol = make_symbol()
    first = published(symbol)
    registry.pin(first, by="account ana")
    damaged(first, ONNX, "deleted")
    published(symbol)
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}
    assert pinned() is None


def test_a_pinned_version_keeps_its_files_however_many_are_trained(settings: Settings) -> None:
    settings.KEEP_VERSIONS = 1
    symbol = make_symbol()
    first = published(symbol)
    registry.pin(first, by="account ana")
    for _ in range(3):
        published(symbol)
    assert registry.expire_files() == 2
    first.refresh_from_db()
    assert (first.state, first.files_state) == (VersionState.ACTIVE, FilesState.KEPT)


def test_a_pinned_version_that_a_former_release_retired_keeps_its_files(settings: Settings) -> None:
    settings.KEEP_VERSIONS = 1
    symbol = make_symbol()
    retired = make_version(symbol, number=1, state=VersionState.RETIRED)
    make_version(symbol, number=2)
    Symbol.objects.update(pinned_version=retired)
    assert registry.expire_files() == 0


def test_a_deleted_version_is_no_longer_pinned() -> None:
    version = make_version(make_symbol())
    Symbol.objects.update(pinned_version=version)
    version.delete()
    assert pinned() is None


@pytest.mark.django_db(transaction=True)
def test_a_version_that_is_published_while_another_is_pinned_does_not_replace_it() -> None:
    symbol = make_symbol()
    first = published(symbol)
    training = make_claimed(symbol)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            registry.pin(first, by="account ana")
            publication = begin_behind_us(threads, lambda: publish(training, backtest=backtest()))
        publication.result()
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.RETIRED}
