"""Features, volatility and target of each session."""

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.model.features import (
    FeatureTable,
    compute_features,
    ewma_volatility,
    parkinson_volatility,
    relative_volume,
    tree_inputs,
)
from forecasting.pipeline.model.trailing import trailing_means, weighted_means
from tests.pipeline.market_data import TINY, flat_bars, simulated_bars


@pytest.fixture
def bars() -> pd.DataFrame:
    return simulated_bars()


@pytest.fixture
def table(bars: pd.DataFrame) -> FeatureTable:
    return compute_features(bars, TINY)


def column(table: FeatureTable, name: str) -> np.ndarray:
    return table.features[:, TINY.features.index(name)]


def test_the_first_row_is_the_first_session_with_a_whole_look_back(bars: pd.DataFrame, table: FeatureTable) -> None:
    assert table.dates[0] == bars.index[TINY.warm_up]
    assert len(table.dates) == len(bars) - TINY.warm_up


def test_every_array_has_one_entry_per_row(table: FeatureTable) -> None:
    rows = len(table.dates)

    assert table.features.shape == (rows, len(TINY.features))
    assert table.volatility.shape == table.target.shape == table.close.shape == (rows,)


def test_the_price_features_are_log_ratios_of_their_session(bars: pd.DataFrame, table: FeatureTable) -> None:
    today, yesterday = bars.iloc[-1], bars.iloc[-2]

    assert column(table, "log_return")[-1] == pytest.approx(np.log(today.close / yesterday.close))
    assert column(table, "overnight_gap")[-1] == pytest.approx(np.log(today.open / yesterday.close))
    assert column(table, "high_low_range")[-1] == pytest.approx(np.log(today.high / today.low))
    assert column(table, "open_close_move")[-1] == pytest.approx(np.log(today.close / today.open))


@pytest.mark.parametrize("sessions", TINY.look_backs)
def test_the_sizes_of_past_moves_are_measured_by_todays_volatility(bars: pd.DataFrame, table: FeatureTable, sessions: int) -> None:
    logs = bars[["open", "high", "low", "close"]].apply(np.log)
    yesterday = logs.close.shift(1)
    returns = logs.close - yesterday
    rogers_satchell = (logs.high - logs.close) * (logs.high - logs.open) + (logs.low - logs.close) * (logs.low - logs.open)
    daily = {
        "range": (logs.high - logs.low) ** 2,
        "swing": rogers_satchell + (logs.open - yesterday) ** 2,
        "return": returns**2,
    }

    for size, variance in daily.items():
        root = np.sqrt(variance.rolling(sessions).mean()).clip(lower=0.002).loc[table.dates]
        np.testing.assert_allclose(column(table, f"{size}_{sessions}"), np.log(root / table.volatility), atol=1e-9)
    move = returns.abs().rolling(sessions).mean().loc[table.dates]
    np.testing.assert_allclose(column(table, f"move_{sessions}"), move / table.volatility)


def test_a_fall_and_a_gap_are_signs_of_stress(bars: pd.DataFrame, table: FeatureTable) -> None:
    yesterday = bars.close.shift(1)
    logs = bars.loc[table.dates, ["open", "close"]].apply(np.log)
    returns, gaps = (logs[name] - np.log(yesterday[table.dates]) for name in ("close", "open"))

    np.testing.assert_allclose(column(table, "fall"), returns.clip(upper=0) / 0.02)
    np.testing.assert_allclose(column(table, "gap"), gaps.abs() / 0.02)


def test_a_gap_counts_up_to_10_percent(bars: pd.DataFrame) -> None:
    for row, gap in ((-2, -0.099), (-1, 0.5)):
        bars.iloc[row, :4] = bars.close.iloc[row - 1] * np.exp(gap)

    assert column(compute_features(bars, TINY), "gap")[-2:] == pytest.approx([0.099 / 0.02, 0.1 / 0.02])


def test_moves_of_less_than_a_tick_count_as_0_2_percent(bars: pd.DataFrame) -> None:
    bars.iloc[-1, :4] = bars.close.iloc[-2] * np.array([1.0, 1.0005, 0.9995, 1.0])

    table = compute_features(bars, TINY)

    for size in ("range", "swing", "return"):
        assert column(table, f"{size}_1")[-1] == pytest.approx(np.log(0.002 / table.volatility[-1]))


def test_the_volatility_of_a_price_that_never_moves_is_one_basis_point() -> None:
    assert set(compute_features(flat_bars(), TINY).volatility) == {1e-4}


def test_a_mean_is_the_same_to_the_last_bit_alone_and_among_others() -> None:
    values, weights = np.random.default_rng(7).standard_normal((2, 200)), 0.9 ** np.arange(60.0) * [[1.0], [0.5]]

    many, alone = (weighted_means(part, weights) for part in (values, values[:, -60:]))
    np.testing.assert_array_equal(alone, many[..., -1:])
    many, alone = (trailing_means(part, (1, 22, 66)) for part in (values, values[:, -66:]))
    np.testing.assert_array_equal(alone, many[..., -1:])


@pytest.mark.parametrize("last", [1, 10, 10_000])
def test_the_last_sessions_are_the_same_to_the_last_bit_without_the_others(
    bars: pd.DataFrame, table: FeatureTable, last: int
) -> None:
    short = compute_features(bars, TINY, last=last)

    assert short.dates.equals(table.dates[-last:])
    for name in ("features", "volatility", "target", "close"):
        np.testing.assert_array_equal(getattr(short, name), getattr(table, name)[-last:])
    rows = range(len(short.dates) - 1, len(short.dates))
    whole = range(len(table.dates) - 1, len(table.dates))
    np.testing.assert_array_equal(tree_inputs(short, rows, TINY), tree_inputs(table, whole, TINY))


def test_the_mean_of_each_horizon_is_that_of_its_last_values() -> None:
    values = np.random.default_rng(7).standard_normal((2, 30))

    means = trailing_means(values, (1, 4, 9))

    for sessions, mean in zip((1, 4, 9), means, strict=True):
        np.testing.assert_allclose(mean, pd.DataFrame(values.T).rolling(sessions).mean().to_numpy().T[:, 8:])


def test_the_target_is_the_next_return_in_units_of_todays_volatility(bars: pd.DataFrame, table: FeatureTable) -> None:
    following = np.log(bars.close).diff().shift(-1).loc[table.dates]

    np.testing.assert_allclose(table.target[:-1] * table.volatility[:-1], following[:-1])


def test_the_last_row_has_no_target_and_no_other_row_lacks_one(table: FeatureTable) -> None:
    assert np.isnan(table.target[-1])
    assert np.isfinite(table.target[:-1]).all()


def test_the_volatility_is_pandas_ewma_over_the_look_back() -> None:
    returns = np.random.default_rng(5).standard_normal(30)

    expected = np.sqrt((pd.Series(returns[-20:]) ** 2).ewm(alpha=0.06).mean().iloc[-1])

    assert ewma_volatility(returns, decay=0.94, sessions=20)[-1] == pytest.approx(expected)


def test_parkinsons_volatility_agrees_with_that_of_a_random_walk() -> None:
    steps = 0.01 / np.sqrt(2_000) * np.random.default_rng(6).standard_normal((400, 2_000))
    paths = np.cumsum(steps, axis=1)

    estimates = parkinson_volatility(np.ptp(paths, axis=1))

    assert np.sqrt((estimates**2).mean()) == pytest.approx(0.01, rel=0.1)


def test_parkinsons_volatility_is_exact_to_his_formula() -> None:
    assert parkinson_volatility(np.array([0.01 * np.sqrt(4 * np.log(2))])) == pytest.approx([0.01])


def test_a_session_without_a_range_has_the_smallest_volatility() -> None:
    assert parkinson_volatility(np.zeros(1)).tolist() == [1e-4]


def test_the_usual_volume_is_zero_and_more_is_above() -> None:
    assert relative_volume(np.full(5, 700.0), sessions=5) == pytest.approx([0.0])
    assert relative_volume(np.array([1.0, 1, 1, 1, 9]), sessions=5)[0] > 0


def test_fractions_of_a_unit_are_volume_as_well() -> None:
    assert relative_volume(np.array([0.1, 0.1, 0.1, 0.1, 0.6]), sessions=5) == pytest.approx([np.log((1 + 3) / 2)])


def test_a_session_without_trading_stays_near_the_others() -> None:
    assert relative_volume(np.array([5.0, 5, 5, 5, 0]), sessions=5) == pytest.approx([-np.log(2)])


def test_the_unit_of_volume_does_not_matter(bars: pd.DataFrame, table: FeatureTable) -> None:
    in_thousands = compute_features(bars.assign(volume=bars.volume / 1_000), TINY)

    np.testing.assert_allclose(in_thousands.features, table.features)


def test_a_symbol_without_volume_has_a_feature_of_zeros(bars: pd.DataFrame) -> None:
    table = compute_features(bars.assign(volume=0.0), TINY)

    assert not column(table, "relative_volume").any()


def test_a_price_that_never_moves_gives_finite_numbers() -> None:
    table = compute_features(flat_bars(), TINY)

    assert np.isfinite(table.features).all()
    assert not table.target[:-1].any()


def test_a_jump_after_a_standstill_gives_finite_numbers() -> None:
    bars = flat_bars()
    bars.iloc[-1, :4] = 1_000.0

    table = compute_features(bars, TINY)

    assert np.isfinite(table.features).all()
    assert np.isfinite(table.target[:-1]).all()


def test_one_bar_too_few_is_refused(bars: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="20 bars give no features; at least 21 are needed"):
        compute_features(bars.iloc[:20], TINY)


def test_the_fewest_bars_give_one_row(bars: pd.DataFrame) -> None:
    assert compute_features(bars.iloc[:21], TINY).dates.tolist() == [bars.index[20]]


def test_the_layout_of_the_frame_in_memory_does_not_matter(bars: pd.DataFrame, table: FeatureTable) -> None:
    by_rows = pd.DataFrame(np.ascontiguousarray(bars.to_numpy()), index=bars.index, columns=bars.columns)

    np.testing.assert_array_equal(compute_features(by_rows, TINY).features, table.features)
