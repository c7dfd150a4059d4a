"""The trees' columns: values by hand, missing old sessions, the calendar, and what they may not depend on."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.model.features import FeatureTable, compute_features, tree_inputs
from forecasting.pipeline.model.tree_columns import Float32, bars_remembered, tree_columns
from forecasting.prices.bars import PRICES
from forecasting.prices.calendars import sessions
from tests.pipeline.market_data import TINY, flat_bars, session_bars, simulated_bars

QUARTERS = [f"quarter_{number}" for number in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return simulated_bars(400)


@pytest.fixture(scope="module")
def table(bars: pd.DataFrame) -> FeatureTable:
    return compute_features(bars, TINY)


def columns_of(table: FeatureTable) -> Float32:
    return tree_inputs(table, range(len(table.dates)), TINY)


def column(table: FeatureTable, name: str) -> np.ndarray:
    return columns_of(table)[:, tree_columns(TINY).index(name)]


def test_there_is_one_row_per_session_and_one_column_per_name(table: FeatureTable) -> None:
    assert columns_of(table).shape == (len(table.dates), len(tree_columns(TINY)))
    assert len({*tree_columns(TINY)}) == len(tree_columns(TINY))


def test_the_last_sessions_features_are_among_them(table: FeatureTable) -> None:
    for name in ("log_ewma_volatility", *TINY.features[TINY.regressors]):
        np.testing.assert_array_equal(column(table, name), table.features[:, TINY.features.index(name)].astype(np.float32))


@pytest.mark.parametrize("sessions", TINY.look_backs)
def test_parts_of_the_moves_are_measured_by_todays_volatility(bars: pd.DataFrame, table: FeatureTable, sessions: int) -> None:
    logs = bars[["open", "close"]].apply(np.log)
    returns = logs.close.diff()
    parts = {"overnight": logs.open - logs.close.shift(1), "intraday": logs.close - logs.open, "falls": returns.clip(upper=0)}

    for name, part in parts.items():
        root = np.sqrt((part**2).rolling(sessions).mean()).clip(lower=0.002).loc[table.dates]
        np.testing.assert_allclose(column(table, f"{name}_{sessions}"), np.log(root / table.volatility), atol=1e-5)
    drift = returns.rolling(sessions).sum().loc[table.dates] / np.sqrt(sessions)
    np.testing.assert_allclose(column(table, f"drift_{sessions}"), drift / table.volatility, atol=1e-5)


@pytest.mark.parametrize("half_life", [1.5, 4, 25])
def test_other_half_lives_weigh_recent_moves_more_or_less(bars: pd.DataFrame, table: FeatureTable, half_life: float) -> None:
    logs = bars[["open", "high", "low", "close"]].apply(np.log)
    gap = logs.open - logs.close.shift(1)
    swing = (logs.high - logs.close) * (logs.high - logs.open) + (logs.low - logs.close) * (logs.low - logs.open) + gap**2
    weights = 0.5 ** (np.arange(TINY.volatility_sessions) / half_life)

    for name, daily in (("return", logs.close.diff() ** 2), ("swing", swing)):
        last = daily.to_numpy()[: -TINY.volatility_sessions - 1 : -1]
        root = np.sqrt((last * weights).sum() / weights.sum())
        assert column(table, f"{name}_ewma_{half_life:g}")[-1] == pytest.approx(np.log(root / table.volatility[-1]), abs=1e-5)


def standardised(bars: pd.DataFrame, table: FeatureTable) -> pd.Series:
    before = pd.Series(table.volatility, table.dates).reindex(bars.index).shift(1)
    returns: pd.Series = np.log(bars["close"]).diff()
    return returns / before


def test_todays_return_is_measured_by_the_volatility_before_it(bars: pd.DataFrame, table: FeatureTable) -> None:
    expected = standardised(bars, table).loc[table.dates]

    np.testing.assert_allclose(column(table, "standardised_return"), expected, rtol=1e-6)
    assert np.isnan(column(table, "standardised_return")[0])


@pytest.mark.parametrize(("quarter", "first", "last"), [(1, 60, 64), (2, 123, 127), (3, 186, 190), (4, 249, 253)])
def test_the_largest_move_around_the_same_day_of_an_earlier_quarter_is_known(
    bars: pd.DataFrame, table: FeatureTable, quarter: int, first: int, last: int
) -> None:
    moves = standardised(bars, table).abs()
    expected = pd.concat([moves.shift(lag) for lag in range(first, last + 1)], axis=1).max(axis=1, skipna=False)

    np.testing.assert_allclose(column(table, f"quarter_{quarter}"), expected.loc[table.dates], rtol=1e-6)


def test_moves_of_a_quarter_before_the_history_are_missing() -> None:
    table = compute_features(simulated_bars(200), TINY)

    known = [bool(np.isfinite(column(table, name)[-1])) for name in QUARTERS]

    assert known == [True, True, False, False]  # 200 bars: 179 standardised returns
    others = [name not in (*QUARTERS, "standardised_return") for name in tree_columns(TINY)]
    assert np.isfinite(columns_of(table)[:, others]).all()


def test_the_shortest_history_gives_a_row() -> None:
    table = compute_features(simulated_bars(TINY.warm_up + 1), TINY)

    assert np.isnan([column(table, name)[-1] for name in QUARTERS]).all()
    assert np.isfinite(column(table, "swing_10")).all()


def test_no_row_depends_on_more_bars_than_are_remembered(bars: pd.DataFrame, table: FeatureTable) -> None:
    remembered = bars_remembered(TINY)

    cut = compute_features(bars.iloc[-remembered:], TINY)

    np.testing.assert_array_equal(columns_of(cut)[-1], columns_of(table)[-1])
    assert np.isnan(columns_of(compute_features(bars.iloc[1 - remembered :], TINY))[-1]).sum() == 1


def test_a_row_is_the_same_to_the_last_bit_whichever_rows_are_asked_for(table: FeatureTable) -> None:
    together = columns_of(table)

    for row in (0, 40, 100, 300, len(together) - 1):
        np.testing.assert_array_equal(tree_inputs(table, range(row, row + 1), TINY), together[row : row + 1])
    np.testing.assert_array_equal(tree_inputs(table, range(100, 300), TINY), together[100:300])


def test_the_price_scale_does_not_matter(bars: pd.DataFrame, table: FeatureTable) -> None:
    cheap = compute_features(bars.assign(**{name: bars[name] / 1_000 for name in PRICES}), TINY)

    np.testing.assert_allclose(columns_of(cheap), columns_of(table), rtol=1e-5, atol=1e-5)


def test_a_price_that_never_moves_gives_no_infinite_number() -> None:
    assert not np.isinf(columns_of(compute_features(flat_bars(), TINY))).any()


def calendar_before(target: date, exchange: str = "XNYS") -> dict[str, float]:
    """The calendar columns of the session before `target`, the newest of its bars."""
    before = len(sessions(exchange, first=date(2023, 1, 3), last=target)) - 1
    table = compute_features(session_bars(before, first=date(2023, 1, 3), exchange=exchange), TINY, exchange=exchange)
    return {name: float(column(table, name)[-1]) for name in ("days_ahead", "days_after", "after_holiday", "monday", "friday")}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (date(2024, 2, 14), (1, 1, 0, 0, 0)),  # a Wednesday
        (date(2024, 2, 12), (3, 1, 0, 1, 0)),  # a Monday
        (date(2024, 2, 16), (1, 4, 0, 0, 1)),  # a Friday before a holiday on Monday
        (date(2024, 2, 20), (4, 1, 1, 0, 0)),  # the Tuesday after it
        (date(2024, 7, 5), (2, 3, 1, 0, 1)),  # the Friday after a holiday on Thursday
    ],
)
def test_the_calendar_tells_the_next_session_before_its_bar_exists(target: date, expected: tuple[int, ...]) -> None:
    assert tuple(calendar_before(target).values()) == expected


def test_every_exchange_has_its_own_calendar() -> None:
    assert calendar_before(date(2024, 2, 14), "BVMF")["days_ahead"] == 5  # carnival


def test_a_next_bar_on_another_day_than_the_calendars_changes_nothing(bars: pd.DataFrame, table: FeatureTable) -> None:
    late = bars.set_index(bars.index[:-1].append(pd.DatetimeIndex([bars.index[-1] + pd.Timedelta(days=9)])))

    np.testing.assert_array_equal(columns_of(compute_features(late, TINY))[:-1], columns_of(table)[:-1])


def test_the_names_follow_the_look_backs() -> None:
    names = tree_columns(replace(TINY, look_backs=(1, 3)))

    assert {"overnight_3", "drift_3"} < {*names}
    assert not {"overnight_5", "drift_10"} & {*names}
