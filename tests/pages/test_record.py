"""A track record in words, good or bad; and the record of all symbols together."""

import re
from datetime import date, timedelta
from typing import Any

import pytest

from forecasting.models import ModelVersion
from forecasting.models.overall import overall
from forecasting.pages import promise, record
from forecasting.pages.record import Record, of_kind, of_symbol
from forecasting.pipeline.evaluation.uncertainty import deviation_by_days, deviation_of_share
from forecasting.prices.calendars import sessions
from tests.factories import make_forecast, make_score, make_symbol, make_version

INSIDE, OUTSIDE = 101.0, 110.0  # closes, beside the interval from 99 to 103


def of(**values: Any) -> Record:
    """The record of a symbol with these figures."""
    row = {"forecasts": 100, "coverage": 0.8, "mae": 1.0, "naive_mae": 1.0, "pinball_ratio": None}
    found = of_symbol(row | values)
    assert found
    return found


def judged(ratio: float, count: int = 100) -> dict[str, float]:
    """Sums of pairs whose reference is 1, and whose losses are ratio - 0.1 and ratio + 0.1 in turn."""
    squared = count * (ratio**2 + 0.01)
    return {
        "pinball_ratio": ratio, "judged": count, "reference": count, "loss_squared": squared, "loss_times_reference": count * ratio,
        "reference_squared": count,
    }  # fmt: skip


def add_scores(version: ModelVersion, closes: list[float], *, end: date = date(2025, 5, 30), **values: Any) -> None:
    """Scored forecasts of the sessions up to `end`; the last close is 100, the forecast 101."""
    assert version.symbol
    days = sessions(version.symbol.calendar, first=end - timedelta(days=2 * len(closes) + 10), last=end)[-len(closes) :]
    for day, close in zip(days, closes, strict=True):
        make_score(make_forecast(version, day.date(), **values), close)


def test_a_share_within_chance_keeps_the_promise() -> None:
    assert of(coverage=0.75).is_kept
    assert of(coverage=0.75).coverage_sentence.replace("\N{NO-BREAK SPACE}", " ") == (
        "75.0 % of 100 closes were inside; with 80 % promised, chance alone keeps that between 69.2 % and 90.8 %. "
        "The promise is kept, as far as this record can tell."
    )


def test_a_share_below_what_chance_allows_is_called_a_broken_promise() -> None:
    assert of(coverage=0.6).coverage_sentence.endswith("The promise is not kept: the intervals are too narrow.")


def test_a_share_above_what_chance_allows_is_called_too_wide() -> None:
    assert of(coverage=0.95).coverage_sentence.endswith("More than promised: the intervals are too wide.")


def test_one_outcome_proves_nothing() -> None:
    assert of(forecasts=1, coverage=0.0).is_kept


@pytest.mark.parametrize(
    ("mae", "told"), [(1.0, "no better and no worse"), (0.9, "0.900 times .*smaller"), (1.1, "1.100 times .*larger")]
)
def test_an_error_is_compared_with_that_of_the_last_close(mae: float, told: str) -> None:
    assert pytest.approx(of(mae=mae).mase) == mae
    assert re.search(told, of(mae=mae).error_sentence)


@pytest.mark.parametrize(("ratio", "told"), [(0.9, "better"), (1.1, "worse"), (1.01, "neither better nor worse for certain")])
def test_a_loss_is_called_better_or_worse_only_beyond_chance(ratio: float, told: str) -> None:
    assert of(**judged(ratio)).loss_sentence.endswith(f"{told}.")


def test_few_losses_are_not_compared() -> None:
    assert "too few sessions" in of(**judged(0.5, count=20)).loss_sentence


def test_days_on_which_all_symbols_miss_together_widen_the_band() -> None:
    # 10 days of 100 symbols: on 2 days all close outside, on 8 days all close inside.
    squares = 2 * 80.0**2 + 8 * 20.0**2
    together = deviation_by_days(0.8, promised=0.8, count=1000, squares=squares, days=10, horizon=1)
    assert together.chance > 9 * deviation_of_share(0.8, promised=0.8, count=1000).chance


@pytest.mark.django_db
def test_the_record_of_all_symbols_counts_each_in_its_own_prices() -> None:
    dear, cheap = make_version(make_symbol("AAA")), make_version(make_symbol("BBB"))
    prices: dict[str, Any] = dict.fromkeys(("last_close", "price", "interval_low", "interval_high"), 10000.0)
    add_scores(dear, [10_100.0] * 3, **(prices | {"price": 10_050.0}))  # half the naive error of 100
    add_scores(cheap, [INSIDE, OUTSIDE, OUTSIDE])  # 0, 9 and 9; naive: 1, 10 and 10

    (row,) = overall(level=0.8, with_simulated=True)
    assert (row.forecasts, row.inside, row.symbols, row.days) == (6, 1, 2, 3)
    assert row.mase == pytest.approx((3 * 0.5 + 3 * 18 / 21) / 6)
    assert of_kind(row).share == pytest.approx(1 / 6)


@pytest.mark.django_db
def test_simulated_forecasts_are_no_part_of_a_real_record() -> None:
    version = make_version(make_symbol("AAA"))
    add_scores(version, [OUTSIDE], simulated=True)
    assert overall(level=0.8, with_simulated=False) == []


@pytest.mark.django_db
def test_the_record_is_remembered_until_a_score_comes(django_assert_num_queries: Any) -> None:
    version = make_version(make_symbol("AAA"))
    add_scores(version, [INSIDE])
    assert promise.kept().main
    with django_assert_num_queries(0):
        promise.kept()
    promise.kept._until = 0.0  # a minute has passed
    with django_assert_num_queries(1):
        promise.kept()
    add_scores(version, [INSIDE], end=date(2025, 6, 2))
    promise.kept._until = 0.0
    main = promise.kept().main
    assert main
    assert main.forecasts == 2


@pytest.mark.django_db
def test_windows_that_overlap_count_less() -> None:
    version = make_version(make_symbol("AAA"))
    add_scores(version, [INSIDE] * 5, horizon=5)
    add_scores(version, [INSIDE] * 5)
    near, far = (of_kind(row) for row in overall(level=record.PROMISED, with_simulated=True))
    assert far.name == "close 5 sessions ahead"
    assert far.mase is None
    assert far.inside.chance > near.inside.chance
