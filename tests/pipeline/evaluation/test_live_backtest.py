"""Backtests of forecasts during the session: what each knows, their online calibration, and the table by time of day."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.evaluation.backtest import BaseKnowsTooMuchError, Period, historical_forecasts, in_one
from forecasting.pipeline.evaluation.live_backtest import COLUMNS, at_hours, at_opens, by_time, live_forecasts
from forecasting.pipeline.model.live import next_live_factor
from forecasting.pipeline.model.live_fitting import fit_live
from forecasting.pipeline.serving.trained import BaseModel
from forecasting.prices.hours import daily_bars
from tests.pipeline.live_data import hourly_bars, live_model, scrambled
from tests.pipeline.market_data import TINY, rescaled
from tests.pipeline.serving.models import base_model
from tests.pipeline.small_trees import trees_onnx

HOURLY = {symbol: hourly_bars(700, seed=seed) for seed, symbol in enumerate(("AAA", "BBB", "CCC"))}
DAYS = daily_bars(HOURLY["AAA"]).index
PERIOD = Period(through=DAYS[450].date(), first=DAYS[451].date(), last=date.max)
KNOWN = {symbol: bars[bars.index < DAYS[451]] for symbol, bars in HOURLY.items()}
TIMES = ["09:30", "10:00", "11:00", "12:00", "13:00", "14:00", "15:00"]


@pytest.fixture(scope="module")
def base() -> BaseModel:
    histories = [(symbol, daily_bars(bars)) for symbol, bars in KNOWN.items()]
    return replace(base_model(), trees=trees_onnx(), data_end=PERIOD.through, live=fit_live(histories, KNOWN, TINY))


def daily_forecasts(base: BaseModel, histories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    each = historical_forecasts(histories.items(), PERIOD, TINY, base=base, own_versions=False, skipped=lambda *_: None)
    return in_one([*each])


def run(base: BaseModel, hours: dict[str, pd.DataFrame] = HOURLY) -> pd.DataFrame:
    daily = daily_forecasts(base, {symbol: daily_bars(bars) for symbol, bars in hours.items()})
    assert base.live
    return live_forecasts(pd.concat([at_hours(symbol, bars) for symbol, bars in hours.items()]), daily, base.live)


@pytest.fixture(scope="module")
def forecasts(base: BaseModel) -> pd.DataFrame:
    return run(base)


def test_there_is_a_forecast_of_each_symbol_at_each_moment_after_the_fit(forecasts: pd.DataFrame) -> None:
    own = forecasts[forecasts["symbol"] == "BBB"]
    ordinary = own[own["session"] == DAYS[500]]

    assert own["as_of"].min() == DAYS[451]
    assert own["session"].max() == DAYS[-1]
    assert ordinary["known_until"].dt.strftime("%H:%M").tolist() == TIMES
    assert {*ordinary["as_of"]} == {DAYS[499]}


def test_a_half_day_has_no_forecast_once_it_is_over(forecasts: pd.DataFrame) -> None:
    half = forecasts[forecasts["session"] == "2019-11-29"]

    assert half["known_until"].max() == pd.Timestamp("2019-11-29 12:00")


def test_the_median_is_the_price_now(forecasts: pd.DataFrame) -> None:
    assert forecasts["q50"].equals(forecasts["price"])
    assert (np.diff(forecasts[COLUMNS], axis=1) > 0).all()


@pytest.mark.parametrize("moment", ["10:00", "13:00", "15:00"])
def test_hours_that_end_later_change_no_bit_of_a_forecast(base: BaseModel, forecasts: pd.DataFrame, moment: str) -> None:
    now = DAYS[550] + pd.Timedelta(f"{moment}:00")
    changed = run(base, {symbol: scrambled(bars, now) for symbol, bars in HOURLY.items()})
    names = ["symbol", "as_of", "known_until", *COLUMNS]

    def until(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(frame[frame["known_until"] <= now], columns=names).reset_index(drop=True)

    pd.testing.assert_frame_equal(until(changed), until(forecasts), check_exact=True)
    assert not changed["q50"].equals(forecasts["q50"])


def test_at_the_open_the_first_bar_is_not_known(base: BaseModel, forecasts: pd.DataFrame) -> None:
    first = HOURLY["AAA"].index == DAYS[550] + pd.Timedelta(hours=9)
    changed = HOURLY["AAA"].assign(**{name: HOURLY["AAA"][name].mask(first, 99.0) for name in ("high", "low", "close")})
    now = DAYS[550] + pd.Timedelta("09:30:00")
    same, before = (frame[frame["known_until"] == now][COLUMNS] for frame in (run(base, HOURLY | {"AAA": changed}), forecasts))

    assert len(before) == len(HOURLY)
    assert np.array_equal(same, before)


def test_a_forecast_is_the_models_times_the_factor_of_its_exchange_and_part(base: BaseModel, forecasts: pd.DataFrame) -> None:
    assert base.live
    row = forecasts[(forecasts["symbol"] == "AAA") & (forecasts["session"] == DAYS[600])].iloc[3]
    half_width = row["half_width"]
    daily = {"0.1": np.exp(-half_width), "0.5": 1.0, "0.9": np.exp(half_width)}
    known = {name: row[name] for name in ("last_close", "price", "open", "high", "low", "fraction")}
    plain = base.live.forecast(daily, exchange="XNYS", **known)

    assert plain
    factor = np.log(row["q90"] / row["q50"]) / np.log(plain.quantiles["0.9"] / plain.price)
    together = forecasts[(forecasts["session"] == DAYS[600]) & (forecasts["known_until"].dt.hour == row["known_until"].hour)]
    assert factor == pytest.approx(expected_factor(forecasts, row))
    assert len(together) == len(HOURLY)


def expected_factor(forecasts: pd.DataFrame, row: pd.Series) -> float:
    """The factor after the days before that of `row`, a forecast of the part that 12:00 alone belongs to."""
    earlier = forecasts[(forecasts["session"] < row["session"]) & forecasts["fraction"].between(0.25, 0.5, inclusive="left")]
    factor = 1.0
    for _, day in earlier.groupby("session"):
        factor = next_live_factor(factor, float(day["close"].between(day["q10"], day["q90"]).mean()))
    return factor


def test_intervals_hold_as_often_as_they_say_at_every_time(forecasts: pd.DataFrame) -> None:
    table = by_time(forecasts)

    assert table.index.tolist() == TIMES
    assert table["coverage"].to_numpy() == pytest.approx([0.8] * 7, abs=0.05)


def test_knowing_the_moves_so_far_beats_the_usual_quantiles(forecasts: pd.DataFrame) -> None:
    table = by_time(forecasts)

    assert (table["pinball ratio"].iloc[3:] < 1).all()
    assert table["MAE / naive"].is_monotonic_decreasing
    assert table["MAE / naive"].iloc[0] == pytest.approx(np.sqrt(0.75), abs=0.08)


def test_at_the_open_of_daily_bars_only_the_open_is_known(base: BaseModel) -> None:
    histories = {symbol: daily_bars(bars) for symbol, bars in HOURLY.items()}
    changed = {symbol: replaced_session(bars, DAYS[550]) for symbol, bars in histories.items()}

    def forecasts_at(day: pd.Timestamp, bars: dict[str, pd.DataFrame]) -> pd.DataFrame:
        rows = pd.concat([at_opens(symbol, each) for symbol, each in bars.items()])
        assert base.live
        found = live_forecasts(rows, daily_forecasts(base, bars), base.live)
        return found.loc[found["session"] == day, ["symbol", "as_of", *COLUMNS]]

    before, after = forecasts_at(DAYS[550], histories), forecasts_at(DAYS[550], changed)
    assert {*before["as_of"]} == {DAYS[549]}
    assert before["q50"].tolist() == [bars.loc[DAYS[550], "open"] for bars in histories.values()]
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def replaced_session(bars: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """A copy in which all prices of `day` but its open are others, and all later ones."""
    position = bars.index.get_loc(day)
    later = rescaled(bars, slice(position, None), 1.05)
    opened = later["open"].mask(bars.index == day, bars["open"])
    return later.assign(open=opened, low=np.minimum(later["low"], opened))


def test_symbols_of_an_exchange_without_forecasts_have_none(base: BaseModel) -> None:
    assert run(replace(base, live=live_model(t=1.0))).empty


def test_a_live_model_that_saw_later_bars_is_refused(base: BaseModel) -> None:
    with pytest.raises(BaseKnowsTooMuchError, match=r"live\.json has seen bars up to"):
        run(replace(base, live=live_model(through=DAYS[452].date())))
