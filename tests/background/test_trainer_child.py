"""What the trainer process leaves behind when it has published."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from forecasting import registry, scoring, serving
from forecasting.background.trainer_child import work
from forecasting.models import Forecast, ModelVersion, PriceBar, Symbol, Training
from forecasting.models.forecasts import HORIZONS
from forecasting.models.trainings import Outcome, TrainingState
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.serving.trained import ONNX
from tests.factories import add_bars, make_claimed, make_forecast, make_symbol, make_version
from tests.racing import begin_behind_us
from tests.small_model import publish_model

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def training() -> Training:
    symbol = make_symbol()
    add_bars(symbol, count=600)
    return make_claimed(symbol)


@contextmanager
def at_each(model: type[Model], statement: str) -> Iterator[None]:
    """Runs a statement of PL/pgSQL before each row of a symbol is stored."""
    function = f"CREATE FUNCTION disturb() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {statement}; RETURN NEW; END'"
    trigger = "BEFORE INSERT ON {} FOR EACH ROW WHEN (NEW.symbol_id IS NOT NULL) EXECUTE FUNCTION disturb()"
    with connection.cursor() as cursor:
        cursor.execute(function)
        cursor.execute(f"CREATE TRIGGER disturb {trigger.format(model._meta.db_table)}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION disturb CASCADE")


@contextmanager
def held_at(model: type[Model], training: Training) -> Iterator["Future[Outcome]"]:
    """Holds an attempt before it stores a row, until the end of the block."""
    with at_each(model, "PERFORM pg_advisory_xact_lock(4711)"), ThreadPoolExecutor(1) as threads:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(4711)")
            done = begin_behind_us(threads, partial(attempt, training), seconds=60)  # it may have to load TensorFlow
            yield done
        done.result()


def attempt(training: Training) -> Outcome:
    outcome, _ = work(training.pk, fence=training.fence, progress=lambda _: None)
    return outcome


def own_versions() -> list[ModelVersion]:
    return list(ModelVersion.objects.exclude(symbol=None))


def answered() -> Forecast | None:
    """What a request gets."""
    (answer,) = serving.predict(["SAMPLE1"], now=timezone.now(), budget_s=0.0)
    return answer.forecast


def test_no_request_ever_finds_a_new_version_without_its_forecasts_and_nobody_waits_for_it(training: Training) -> None:
    assert training.symbol
    before, (_, last_but_one) = make_version(training.symbol), PriceBar.objects.of(training.symbol).order_by("-date")[:2]

    with held_at(Forecast, training) as done, connection.cursor() as cursor:
        assert own_versions() == [before]
        cursor.execute("SET LOCAL lock_timeout = '1 s'")
        make_forecast(before, last_but_one.date)
        assert scoring.score_due() == 1
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # is the version that they name locked?
    assert done.result() == Outcome.PUBLISHED
    new, _ = own_versions()
    issued = Forecast.objects.filter(version=new)
    assert list(issued.order_by("horizon").values_list("horizon", flat=True)) == list(HORIZONS)
    assert answered() == issued.get(horizon=1)
    assert issued.count() == len(HORIZONS)


def test_a_forecast_that_cannot_be_stored_does_not_undo_the_training(training: Training) -> None:
    with at_each(Forecast, "RAISE ''disk full''"):
        assert attempt(training) == Outcome.PUBLISHED
    training.refresh_from_db()
    assert (training.state, [version.state for version in own_versions()]) == (TrainingState.SUCCEEDED, [VersionState.ACTIVE])
    assert not Forecast.objects.exists()
    assert (forecast := answered())
    assert [forecast.version] == own_versions()


def test_files_that_are_damaged_before_the_first_forecast_do_not_undo_the_training_and_the_base_serves(training: Training) -> None:
    with held_at(ModelVersion, training) as done:
        known = ModelVersion.objects.values_list("folder", flat=True)
        (new,) = (folder for folder in registry.models_root().iterdir() if folder.name not in known)
        (new / ONNX).unlink()
    assert done.result() == Outcome.PUBLISHED
    assert not Forecast.objects.exists()
    assert (forecast := answered())
    assert forecast.version.kind == "base"
    assert [version.files_state for version in own_versions()] == [FilesState.DAMAGED]


def test_a_connection_that_is_lost_meanwhile_is_lost_for_the_whole_publication(training: Training) -> None:
    with at_each(Forecast, "PERFORM pg_terminate_backend(pg_backend_pid())"):
        assert attempt(training) == Outcome.RETRY
    training.refresh_from_db()
    assert training.state == TrainingState.RUNNING
    assert own_versions() == []


def test_a_version_that_does_not_serve_forecasts_nothing() -> None:
    pinned = publish_model(symbol := make_symbol())
    Symbol.objects.update(pinned_version=pinned)
    add_bars(symbol, count=600)
    assert attempt(make_claimed(symbol)) == Outcome.PUBLISHED
    assert len(own_versions()) == 2
    assert not Forecast.objects.exists()
