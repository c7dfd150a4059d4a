"""Activation: staff choose the version that serves."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction

from forecasting import registry
from forecasting.models import ModelVersion
from forecasting.models.versions import VersionState
from forecasting.pipeline.serving.verified import ArtifactError
from tests.factories import make_claimed, make_symbol, make_version
from tests.racing import begin_behind_us
from tests.small_model import publish_model
from tests.test_registry import damage, publish, states

pytestmark = pytest.mark.django_db


def test_activation_switches_between_versions() -> None:
    symbol = make_symbol()
    first, second = publish_model(symbol), publish_model(symbol)
    registry.activate(first, by="admin")
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.RETIRED}
    registry.activate(second, by="admin")
    second.refresh_from_db()
    assert second.state == VersionState.ACTIVE


def test_an_activation_is_noted_and_the_decision_of_the_training_stays() -> None:
    symbol = make_symbol()
    first, _ = publish_model(symbol), publish_model(symbol)
    registry.activate(first, by="account ana")
    first.refresh_from_db()
    assert (first.activated_by, first.decision) == ("account ana", "First version.")
    assert first.activated_at is not None


def test_activation_leaves_versions_of_other_symbols_and_rejected_ones_alone() -> None:
    symbol, other = make_symbol("SAMPLE1"), publish_model(make_symbol("SAMPLE2"))
    rejected = make_version(symbol, number=7, state=VersionState.REJECTED)
    first, _ = publish_model(symbol), publish_model(symbol)
    registry.activate(first, by="admin")
    assert set(ModelVersion.objects.active().values_list("pk", flat=True)) >= {other.pk}
    rejected.refresh_from_db()
    assert rejected.state == VersionState.REJECTED


def test_a_damaged_version_is_not_activated() -> None:
    symbol = make_symbol()
    first = publish_model(symbol)
    publish_model(symbol)
    damage(first)
    with pytest.raises(ArtifactError, match=r"model\.onnx has been changed"):
        registry.activate(first, by="admin")
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}


@pytest.mark.django_db(transaction=True)
def test_an_activation_and_a_publication_at_once_leave_one_active_version() -> None:
    symbol = make_symbol()
    first = publish_model(symbol)
    publish_model(symbol)
    training = make_claimed(symbol)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            registry.activate(first, by="admin")
            publication = begin_behind_us(threads, lambda: publish(training))
        assert publication.result().number == 3
    assert states() == {1: VersionState.RETIRED, 2: VersionState.RETIRED, 3: VersionState.ACTIVE}


@pytest.mark.django_db(transaction=True)
def test_an_activation_that_waits_for_a_publication_wins() -> None:
    symbol = make_symbol()
    first = publish_model(symbol)
    publish_model(symbol)
    training = make_claimed(symbol)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            publish(training)
            activation = begin_behind_us(threads, lambda: registry.activate(first, by="admin"))
        activation.result()
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.RETIRED, 3: VersionState.RETIRED}


@pytest.mark.django_db(transaction=True)
def test_activations_at_once_leave_one_active_version() -> None:
    symbol = make_symbol()
    first, second, _ = (publish_model(symbol) for _ in range(3))
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            registry.activate(first, by="admin")
            activation = begin_behind_us(threads, lambda: registry.activate(second, by="operator"))
        activation.result()
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE, 3: VersionState.RETIRED}


def test_activating_the_active_version_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    version = publish_model(make_symbol())
    caplog.clear()
    registry.activate(version, by="admin")
    version.refresh_from_db()
    assert (version.state, version.decision, caplog.messages) == (VersionState.ACTIVE, "First version.", [])
