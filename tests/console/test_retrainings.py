"""Which symbols are retrained next, and why."""

from datetime import timedelta

import pytest
from django.utils import timezone

from forecasting.console.retrainings import Retrainings, next_retrainings
from forecasting.models import Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.versions import VersionState
from tests.factories import make_restatement, make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

WATCH = {"sessions": 48, "ratio": 1.05, "level": 0.5, "limit": 2.0}
LOST = WATCH | {"level": 2.1}


def found() -> Retrainings:
    return next_retrainings(now=timezone.now())


def trained(ticker: str, *, days: float, **values: object) -> Symbol:
    """A symbol whose version was trained so many days ago."""
    symbol = make_symbol(ticker)
    make_version(symbol, trained_at=timezone.now() - timedelta(days=days), **values)
    return symbol


def told() -> list[tuple[str, str, str, bool]]:
    return [(each.ticker, each.reason.value, each.figures, each.is_due) for each in found().first]


def test_the_oldest_model_comes_first_with_its_age() -> None:
    trained("YOUNG", days=3)
    trained("OLD", days=14.2)
    assert told() == [("OLD", "too_old", "14 of 15 days", False), ("YOUNG", "too_old", "3 of 15 days", False)]


def test_a_model_beyond_the_limit_is_due() -> None:
    trained("OLD", days=15.1)
    trained("YOUNG", days=1)
    assert (found().due, found().first[0].is_due) == (1, True)


def test_a_model_close_to_losing_its_performance_has_the_figures_of_the_last_daily_job() -> None:
    trained("WATCHED", days=1, watch=WATCH)
    assert told() == [("WATCHED", "performance_lost", "1.05 times in 48 sessions; test at 0.5 of 2.0", False)]


def test_lost_performance_comes_before_the_other_reasons() -> None:
    make_restatement(trained("LOST", days=20, watch=LOST))
    assert [(each.reason, each.is_due) for each in found().first] == [(TrainingReason.PERFORMANCE_LOST, True)]


def test_a_model_that_was_retrained_for_it_lately_is_not_retrained_for_it_again() -> None:
    symbol = trained("LOST", days=1, watch=LOST)
    make_training(symbol, reason=TrainingReason.PERFORMANCE_LOST, state=TrainingState.SUCCEEDED)
    assert [each.reason for each in found().first] == [TrainingReason.TOO_OLD]


def test_a_model_on_revised_bars_is_due() -> None:
    make_restatement(trained("REVISED", days=1))
    assert told() == [("REVISED", "data_revised", "bars of its training were restated since", True)]


def test_the_age_is_that_of_the_newest_version_and_the_watch_that_of_the_active_one() -> None:
    symbol = trained("REJECTED", days=20, watch=WATCH)
    make_version(symbol, number=2, state=VersionState.REJECTED, trained_at=timezone.now() - timedelta(days=1))
    assert told() == [("REJECTED", "performance_lost", "1.05 times in 48 sessions; test at 0.5 of 2.0", False)]


def test_symbols_that_are_trained_or_not_followed_are_left_out() -> None:
    make_training(trained("TRAINS", days=20))
    for ticker, values in (
        ("REMOVED", {"removed_at": timezone.now()}),
        ("LEAD", {"followed": False}),
        ("UNKNOWN", {"upstream_state": UpstreamState.UNKNOWN}),
    ):
        Symbol.objects.filter(pk=trained(ticker, days=20).pk).update(**values)
    make_version(None, trained_at=timezone.now() - timedelta(days=20))
    assert found() == Retrainings(due=0, first=[])
