"""The quality gate before storage: refused bars, stored findings, and messages to users."""

from contextlib import suppress
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from django.db.models import F
from pytest_django import DjangoAssertNumQueries

from forecasting import market
from forecasting.api.check import check_json
from forecasting.background import trainer_child, trainer_parent
from forecasting.models import Finding, PriceBar, Restatement, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import Outcome, TrainingState
from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.price_digits import written
from forecasting.prices.sources import BadDataError
from forecasting.training import requests as training_requests
from tests.factories import add_bars, make_claimed, make_finding, make_symbol
from tests.fake_yahoo import FakeYahoo, generated_bars, in_pounds
from tests.market.histories import FRIDAY, HISTORY, NOW, THURSDAY, WEDNESDAY, WEDNESDAY_EVENING, assert_stored, synced, write
from tests.pipeline.market_data import replaced, rescaled
from tests.prices.defects import frozen

pytestmark = pytest.mark.django_db

HOLIDAY = date(2024, 6, 19)  # Juneteenth
MARCH = date(2024, 2, 29)
THURSDAY_EVENING = datetime(2024, 6, 27, 22, tzinfo=UTC)
PENCE = "close is {} on {} after {} on {}, about a hundred times on usual volume: two units are mixed"
WAIT = "; bars from that date on are held back until later bars decide"


def with_phantom(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars plus one on a holiday, with the close of the day before and no volume."""
    close = bars["close"][: pd.Timestamp(HOLIDAY)].iloc[-1]
    phantom = pd.DataFrame(dict.fromkeys(bars.columns, close) | {"volume": 0.0}, index=[pd.Timestamp(HOLIDAY)])
    return pd.concat([bars, phantom]).sort_index().rename_axis("date")


def in_pence(bars: pd.DataFrame, since: date) -> pd.DataFrame:
    """The bars with prices from a session on in a unit a hundredth as large."""
    return rescaled(bars, slice(int((bars.index < pd.Timestamp(since)).sum()), None), 100)


def verdicts(symbol: Symbol) -> list[tuple[str, str, date | None]]:
    return list(Finding.objects.of(symbol).worst_first().values_list("verdict", "rule", "date"))


def refused_sync(symbol: Symbol) -> BadDataError:
    with pytest.raises(BadDataError) as caught:
        market.sync(symbol, now=NOW)
    return caught.value


def test_a_phantom_is_not_stored_and_is_said(folder: Path) -> None:
    write(folder, with_phantom(HISTORY))
    symbol = make_symbol("AAA")
    market.sync(symbol, now=NOW)
    assert_stored(symbol, HISTORY)
    assert (Verdict.REPAIRED, Rule.PHANTOM, HOLIDAY) in verdicts(symbol)


def test_a_phantom_that_comes_again_with_an_increment_is_said_once(folder: Path) -> None:
    write(folder, with_phantom(HISTORY)[: pd.Timestamp(WEDNESDAY)])
    symbol = make_symbol("AAA")
    market.sync(symbol, now=WEDNESDAY_EVENING)
    write(folder, with_phantom(HISTORY))
    assert market.sync(symbol, now=NOW) == 2
    assert_stored(symbol, HISTORY)
    assert [each for each in verdicts(symbol) if each[1] == Rule.PHANTOM] == [(Verdict.REPAIRED, Rule.PHANTOM, HOLIDAY)]


def test_bars_that_are_refused_leave_the_good_ones(folder: Path) -> None:
    symbol = synced(folder)
    write(folder, in_pence(HISTORY, THURSDAY))
    error = refused_sync(symbol)
    before, after = HISTORY["close"].loc[pd.Timestamp(WEDNESDAY)], 100 * HISTORY["close"].loc[pd.Timestamp(THURSDAY)]
    assert error.reason == PENCE.format(written(after), THURSDAY, written(before), WEDNESDAY) + WAIT
    assert_stored(symbol, HISTORY[: pd.Timestamp(WEDNESDAY)])
    symbol.refresh_from_db()
    assert (symbol.upstream_state, symbol.upstream_reason) == (UpstreamState.BAD_DATA, error.reason)
    assert (Verdict.REFUSED, Rule.UNIT, THURSDAY) in verdicts(symbol)


def test_a_refusal_stands_beside_what_is_known_of_the_stored_bars(folder: Path) -> None:
    write(folder, with_phantom(HISTORY)[: pd.Timestamp(WEDNESDAY)])
    symbol = make_symbol("AAA")
    market.sync(symbol, now=WEDNESDAY_EVENING)
    write(folder, in_pence(with_phantom(HISTORY), THURSDAY))
    refused_sync(symbol)
    assert {verdict for verdict, *_ in verdicts(symbol)} >= {Verdict.REFUSED, Verdict.REPAIRED}


def test_a_refusal_takes_the_place_of_the_one_before(folder: Path) -> None:
    symbol = synced(folder)
    write(folder, in_pence(HISTORY, THURSDAY))
    refused_sync(symbol)
    write(folder, in_pence(HISTORY, FRIDAY))
    refused_sync(symbol)
    assert [each.date for each in Finding.objects.of(symbol).refused()] == [FRIDAY]


def test_a_refusal_is_over_with_the_first_good_answer(folder: Path) -> None:
    symbol = synced(folder)
    write(folder, in_pence(HISTORY, THURSDAY))
    refused_sync(symbol)
    write(folder)
    market.sync(symbol, now=NOW)
    assert not Finding.objects.of(symbol).refused().exists()
    assert_stored(symbol, HISTORY)


def test_everything_that_a_refused_history_has_wrong_is_kept(folder: Path) -> None:
    write(folder, replaced(in_pence(HISTORY, MARCH), slice(100, 101), close=-1.0))
    symbol = make_symbol("AAA")
    refused_sync(symbol)
    assert {(verdict, rule) for verdict, rule, _ in verdicts(symbol)} == {(Verdict.REFUSED, Rule.UNIT)}
    assert not PriceBar.objects.of(symbol).exists()


def test_a_wrong_bar_among_the_newest_is_left_out_and_asked_for_again(folder: Path) -> None:
    symbol = synced(folder)
    write(folder, replaced(HISTORY, slice(-2, -1), close=-1.0)[:-1])
    assert market.sync(symbol, now=THURSDAY_EVENING) == 0
    assert_stored(symbol, HISTORY[:-2])
    assert (Verdict.LEFT_OUT, Rule.PRICE, THURSDAY) in verdicts(symbol)
    write(folder)
    assert market.sync(symbol, now=NOW) == 2
    assert_stored(symbol, HISTORY)
    assert (Verdict.LEFT_OUT, Rule.PRICE, THURSDAY) not in verdicts(symbol)
    assert not Restatement.objects.exists()


def test_a_wrong_factor_that_stays_lets_the_history_begin_anew_once_enough_bars_follow(folder: Path) -> None:
    long = generated_bars("AAA", first=date(2019, 1, 2), last=FRIDAY)
    write(folder, rescaled(long, slice(0, 300), 100))
    symbol = make_symbol("AAA")
    market.sync(symbol, now=NOW)
    assert_stored(symbol, long[300:])
    (found,) = Finding.objects.of(symbol)
    assert (found.verdict, found.rule, found.date, found.value) == (Verdict.LEFT_OUT, Rule.UNIT, long.index[300].date(), 300)
    assert found.text.endswith("; the 300 bars before were left out")


def test_a_wrong_factor_in_the_newest_bars_is_lived_with_once_enough_follow_it(folder: Path) -> None:
    long = generated_bars("AAA", first=date(2019, 1, 2), last=FRIDAY)
    start = len(long) - 600
    write(folder, long[:start])
    symbol = make_symbol("AAA")
    market.sync(symbol, now=datetime.combine(long.index[start - 1], time(22), tzinfo=UTC))
    jumped = rescaled(long, slice(start, None), 100)
    for length, stored in ((5, long[:start]), (200, long[:start]), (600, jumped[start:])):
        write(folder, jumped[: start + length])
        with suppress(BadDataError):
            market.sync(symbol, now=datetime.combine(long.index[start + length - 1], time(22), tzinfo=UTC))
        assert_stored(symbol, stored)


def test_bars_of_a_suspension_that_were_stored_day_by_day_go_once_it_is_known_as_one(folder: Path) -> None:
    long = generated_bars("AAA", first=date(2022, 1, 3), last=FRIDAY)
    still = frozen(25)(long, len(long) - 40)
    symbol = make_symbol("AAA")
    for length in range(len(long) - 40, len(long) - 10):
        write(folder, still[:length])
        market.sync(symbol, now=datetime.combine(long.index[length - 1], time(22), tzinfo=UTC))
    assert_stored(symbol, still[: len(long) - 11].drop(still.index[len(long) - 40 : len(long) - 15]))
    assert not Restatement.objects.exists()


def test_the_findings_of_another_symbol_stay(folder: Path) -> None:
    other = make_finding(make_symbol("BBB"))
    synced(folder)
    assert Finding.objects.filter(pk=other.pk).exists()


def test_what_is_kept_costs_two_queries(folder: Path, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    symbol = make_symbol("AAA")
    with pytest.raises(BadDataError) as caught:
        market.gate.judged(symbol, HISTORY.assign(close=0.0), whole=True, now=NOW)
    with django_assert_num_queries(2):
        market.gate.keep_refusal(symbol, caught.value)


def test_too_few_bars_are_noted_and_stored(folder: Path) -> None:
    symbol = synced(folder, through=FRIDAY)
    (found,) = Finding.objects.of(symbol)
    assert (found.rule, found.verdict, found.value) == (Rule.FEW, Verdict.NOTED, len(HISTORY))


def test_old_bars_are_noted_until_there_are_new_ones(folder: Path) -> None:
    write(folder, HISTORY[: pd.Timestamp("2024-06-03")])
    symbol = make_symbol("AAA")
    market.sync(symbol, now=WEDNESDAY_EVENING)
    assert (Verdict.NOTED, Rule.OLD, None) in verdicts(symbol)
    write(folder)
    market.sync(symbol, now=NOW)
    assert (Verdict.NOTED, Rule.OLD, None) not in verdicts(symbol)


def test_the_unit_of_one_session_from_yahoo_waits_until_it_is_clear(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = in_pence(HISTORY, FRIDAY)
    symbol = make_symbol("AAA")
    assert "two units are mixed" in refused_sync(symbol).reason
    assert_stored(symbol, HISTORY[:-1])


# Trainings


def test_stored_bars_go_through_the_gate_before_a_training() -> None:
    symbol = make_symbol()
    add_bars(symbol, count=600)
    old = PriceBar.objects.of(symbol)[:300].values("pk")
    PriceBar.objects.filter(pk__in=old).update(**{name: 100 * F(name) for name in ("open", "high", "low", "close")})
    training = make_claimed(symbol)
    outcome, reason = trainer_child.work(training.pk, fence=training.fence, progress=lambda now: None)
    assert outcome == Outcome.FAILED
    assert reason.startswith("close is ")
    assert "two units are mixed; only 300 good bars follow and a training needs 496; this ends when" in reason
    assert Finding.objects.of(symbol).refused().get().rule == Rule.UNIT


def test_phantoms_that_were_stored_once_are_not_learnt_from() -> None:
    symbol = make_symbol()
    add_bars(symbol, count=40, end=FRIDAY)
    close = PriceBar.objects.of(symbol).filter(date__lt=HOLIDAY).last().close  # type: ignore[union-attr]
    PriceBar.objects.create(symbol=symbol, date=HOLIDAY, open=close, high=close, low=close, close=close, volume=0)
    learnt = market.training_bars(symbol, now=NOW)
    assert len(learnt) == 40
    assert pd.Timestamp(HOLIDAY) not in learnt.index


def test_the_reason_reaches_the_clients(folder: Path) -> None:
    write(folder, in_pence(HISTORY, MARCH))
    training = make_claimed(symbol := make_symbol("AAA"))
    with trainer_parent.TrainerProcess() as process:
        trainer_parent.train(training, process)
    training.refresh_from_db()
    assert training.state == TrainingState.FAILED
    (status,) = training_requests.ensure_trained([symbol], now=NOW)
    message = check_json(status, {})["message"]
    assert message.startswith("Training not started: close is ")
    assert "about a hundred times: two units are mixed; only 84 good bars follow and a training needs 496" in message
    assert np.isfinite(Finding.objects.refused().get().value or np.nan)


def test_pounds_in_place_of_pence_are_refused(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA.L"] = HISTORY[: pd.Timestamp(WEDNESDAY)]
    symbol = make_symbol("AAA.L")
    market.sync(symbol, now=WEDNESDAY_EVENING)
    yahoo.bars["AAA.L"], yahoo.scenarios["AAA.L"] = HISTORY, in_pounds
    before = market.bars(symbol)
    try:
        market.sync(symbol, now=NOW)
    except BadDataError:
        assert_stored(symbol, before)
