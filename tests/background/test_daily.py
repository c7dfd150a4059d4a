"""The daily job: what a run does, once per date, in slices."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from forecasting import market
from forecasting.background import daily
from forecasting.models import Forecast, ModelVersion, Symbol, Training
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason
from forecasting.models.versions import VersionState
from forecasting.training import pausing
from tests.factories import make_forecast, make_restatement, make_symbol, make_version
from tests.fake_yahoo import generated_bars
from tests.small_model import publish_model
from tests.test_monitoring import serving

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("folder")]

THURSDAY, FRIDAY = date(2024, 6, 27), date(2024, 6, 28)
NOW = datetime(2024, 6, 28, 22, tzinfo=UTC)  # New York has closed


def listed(folder: Path, ticker: str) -> Symbol:
    """A symbol that the price source knows."""
    generated_bars(ticker, first=date(2023, 9, 1), last=FRIDAY).to_csv(folder / f"{ticker}.csv")
    return make_symbol(ticker)


def modelled(symbol: Symbol, *, trained_days_ago: int = 1, **values: Any) -> ModelVersion:
    """An active version of the small model, its files in place."""
    version = publish_model(symbol)
    ModelVersion.objects.filter(pk=version.pk).update(trained_at=timezone.now() - timedelta(days=trained_days_ago), **values)
    OrmQ.objects.all().delete()
    return version


def report_of_a_run() -> dict[str, Any]:
    """The report of a daily job that finished in one task."""
    report: dict[str, Any] = {}
    assert all(step.do(report, NOW) for step in daily.PLAN)
    return report


# One run


def test_it_syncs_every_symbol(folder: Path) -> None:
    symbols = [listed(folder, "AAA"), listed(folder, "BBB")]
    assert report_of_a_run()["symbols"] == 2
    assert all(market.bars(symbol).index[-1].date() == FRIDAY for symbol in symbols)


def test_it_forecasts_every_symbol_by_its_model_or_by_the_base(folder: Path) -> None:
    modelled(listed(folder, "AAA"))
    listed(folder, "BBB")
    assert report_of_a_run()["forecasts"] == 2
    kinds = {forecast.symbol.ticker: (forecast.version.kind, forecast.as_of) for forecast in Forecast.objects.all()}
    assert kinds == {"AAA": ("symbol", FRIDAY), "BBB": ("base", FRIDAY)}


def test_it_forecasts_more_symbols_than_fit_into_one_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "BATCH", 2)
    for number in range(5):
        modelled(listed(folder, f"AAA{number}"))
    assert report_of_a_run()["forecasts"] == Forecast.objects.count() == 5


def test_it_scores_due_forecasts(folder: Path) -> None:
    symbol = listed(folder, "AAA")
    make_forecast(make_version(symbol), THURSDAY)
    assert report_of_a_run()["scored"] == 1
    assert Forecast.objects.scored().get().as_of == THURSDAY


def test_it_requests_retraining_of_old_models_only(folder: Path) -> None:
    modelled(old := listed(folder, "AAA"), trained_days_ago=16)
    modelled(listed(folder, "BBB"), trained_days_ago=14)
    listed(folder, "CCC")
    assert report_of_a_run()["retrainings"] == 1
    training = Training.objects.active().get()
    assert (training.symbol, training.reason) == (old, TrainingReason.TOO_OLD)


def test_it_does_not_request_the_retraining_of_a_symbol_that_the_source_no_longer_knows(folder: Path) -> None:
    modelled(listed(folder, "AAA"), trained_days_ago=16)
    (folder / "AAA.csv").unlink()
    assert report_of_a_run()["retrainings"] == 0


def test_it_leaves_an_old_base_model_alone(folder: Path) -> None:
    make_version(None, trained_at=timezone.now() - timedelta(days=99))
    assert report_of_a_run()["retrainings"] == 0


def test_the_age_of_an_old_model_is_a_setting(folder: Path, settings: Settings) -> None:
    settings.MODEL_MAX_AGE_DAYS = 3
    modelled(listed(folder, "AAA"), trained_days_ago=4)
    assert report_of_a_run()["retrainings"] == 1


def test_a_failing_symbol_does_not_stop_the_others(folder: Path) -> None:
    modelled(listed(folder, "BBB"))
    missing = make_symbol("AAA")
    broken = make_version(listed(folder, "CCC"))
    report = report_of_a_run()
    assert (report["symbols"], report["forecasts"]) == (3, 2)
    assert report["not_synced"] == {missing.ticker: "no file for AAA in the price folder; add AAA.csv or check the symbol"}
    assert report["not_forecast"] == {}
    assert Forecast.objects.of_next_close().get(symbol=broken.symbol).version.kind == "base"
    assert broken.symbol
    assert market.bars(broken.symbol).index[-1].date() == FRIDAY


@pytest.mark.parametrize(("until", "asked"), [(NOW + timedelta(seconds=1), 0), (NOW, 1), (None, 1)])
def test_a_symbol_that_the_source_did_not_know_is_asked_for_again_once_that_answer_is_old(
    folder: Path, until: datetime | None, asked: int
) -> None:
    make_symbol("AAA", upstream_state=UpstreamState.UNKNOWN, unknown_until=until)
    assert report_of_a_run()["symbols"] == asked


def test_models_on_revised_bars_are_retrained(folder: Path) -> None:
    modelled(symbol := listed(folder, "AAA"))
    make_restatement(symbol)
    modelled(other := listed(folder, "BBB"), restatement=make_restatement(other))
    assert report_of_a_run()["retrainings"] == 1
    training = Training.objects.active().get()
    assert (training.symbol, training.reason) == (symbol, TrainingReason.DATA_REVISED)


def test_a_retraining_for_lost_performance_keeps_the_figures(folder: Path) -> None:
    serving(listed(folder, "AAA"), spread=4.0)
    assert report_of_a_run()["retrainings"] == 1
    training = Training.objects.active().get()
    assert training.reason == TrainingReason.PERFORMANCE_LOST
    assert training.figures.startswith("Version 1: in 20 sessions its quantile loss was ")


def test_a_symbol_whose_automatic_training_is_paused_is_not_retrained_for_any_reason(folder: Path) -> None:
    modelled(old := listed(folder, "AAA"), trained_days_ago=16)
    modelled(revised := listed(folder, "BBB"))
    make_restatement(revised)
    serving(worse := listed(folder, "CCC"), spread=4.0)
    pausing.pause([old, revised, worse], by="account ana")
    assert report_of_a_run()["retrainings"] == 0
    pausing.resume([old, revised, worse], by="account ana")
    assert report_of_a_run()["retrainings"] == 3


def test_a_paused_symbol_is_synced_and_forecast(folder: Path) -> None:
    modelled(symbol := listed(folder, "AAA"))
    pausing.pause([symbol], by="account ana")
    report = report_of_a_run()
    assert (report["symbols"], report["forecasts"]) == (1, 1)


def test_a_model_whose_retraining_was_rejected_is_not_retrained_every_day(folder: Path) -> None:
    modelled(symbol := listed(folder, "AAA"), trained_days_ago=16)
    make_version(symbol, number=2, state=VersionState.REJECTED)
    assert report_of_a_run()["retrainings"] == 0


def test_it_leaves_out_a_symbol_that_is_out_of_service(folder: Path) -> None:
    modelled(symbol := listed(folder, "AAA"), trained_days_ago=16)
    market.sync(symbol, now=NOW)
    Symbol.objects.update(removed_at=NOW)
    report = report_of_a_run()
    assert (report["symbols"], report["forecasts"], report["retrainings"]) == (0, 0, 0)


def test_it_forgets_symbols_of_which_there_is_nothing_and_names_that_have_expired(folder: Path) -> None:
    market.look_up(["NEW"], now=NOW - timedelta(days=1), budget_s=0)
    listed(folder, "AAA")
    make_symbol("NOPE", upstream_state=UpstreamState.UNKNOWN, unknown_until=NOW + timedelta(days=1))
    Symbol.objects.update(created_at=NOW - timedelta(days=2))
    report = report_of_a_run()
    assert (report["symbols_forgotten"], report["names_expired"]) == (1, 1)
    assert Symbol.objects.get().ticker == "AAA"
