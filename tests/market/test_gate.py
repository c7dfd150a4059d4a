"""The quality gate in front of the tables: what it keeps out, what it keeps in mind, and what people are told."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pytest_django import DjangoAssertNumQueries

from forecasting import market, trainer, trainer_process, training_requests
from forecasting.api.serializers import check_json
from forecasting.models import Finding, PriceBar, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import Outcome, TrainingState
from forecasting.pipeline.findings import Rule, Verdict
from forecasting.pipeline.sources import BadDataError
from tests.factories import add_bars, make_claimed, make_finding, make_symbol
from tests.fake_yahoo import FakeYahoo, in_pounds
from tests.market.histories import FRIDAY, HISTORY, NOW, THURSDAY, WEDNESDAY, WEDNESDAY_EVENING, assert_stored, synced, write
from tests.pipeline.market_data import rescaled

pytestmark = pytest.mark.django_db

HOLIDAY = date(2024, 6, 19)  # Juneteenth
PENCE = "close is {:g} on {} after {:g} on {}, about a hundred times: two units are mixed"


def with_phantom(bars: pd.DataFrame) -> pd.DataFrame:
    """With the day before's close again on a holiday, without volume."""
    close = bars["close"][: pd.Timestamp(HOLIDAY)].iloc[-1]
    phantom = pd.DataFrame(dict.fromkeys(bars.columns, close) | {"volume": 0.0}, index=[pd.Timestamp(HOLIDAY)])
    return pd.concat([bars, phantom]).sort_index().rename_axis("date")


def in_pence(bars: pd.DataFrame, since: date) -> pd.DataFrame:
    """Prices from a session on in a unit a hundredth as large."""
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
    assert error.reason == PENCE.format(after, THURSDAY, before, WEDNESDAY)
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


def test_everything_that_a_broken_file_has_wrong_is_kept(folder: Path) -> None:
    pence = in_pence(HISTORY, THURSDAY)
    write(folder, pd.concat([pence[100:], pence[:100]]))
    symbol = make_symbol("AAA")
    refused_sync(symbol)
    assert {rule for _, rule, _ in verdicts(symbol)} == {Rule.UNIT, Rule.ORDER}
    assert not PriceBar.objects.of(symbol).exists()


def test_the_findings_of_another_symbol_stay(folder: Path) -> None:
    other = make_finding(make_symbol("BBB"))
    synced(folder)
    assert Finding.objects.filter(pk=other.pk).exists()


def test_what_is_kept_costs_two_queries(folder: Path, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    symbol = make_symbol("AAA")
    with pytest.raises(BadDataError) as caught:
        market.gate.passed(symbol, HISTORY.assign(close=0.0), whole=True, now=NOW)
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


def test_the_unit_of_one_session_from_yahoo_is_refused(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = in_pence(HISTORY, FRIDAY)
    symbol = make_symbol("AAA")
    assert "two units are mixed" in refused_sync(symbol).reason
    assert not PriceBar.objects.of(symbol).exists()


# Trainings


def test_stored_bars_go_through_the_gate_before_a_training() -> None:
    symbol = make_symbol()
    add_bars(symbol, count=600)
    first, *others = PriceBar.objects.of(symbol)[300:330]
    still = dict.fromkeys(("open", "high", "low", "close"), first.close)
    PriceBar.objects.filter(pk__in=[bar.pk for bar in (first, *others)]).update(**still, volume=0)
    training = make_claimed(symbol)
    outcome, reason = trainer.work(training.pk, fence=training.fence, progress=lambda now: None)
    assert outcome == Outcome.FAILED
    assert reason.startswith("29 bars from ")
    assert reason.endswith(f"repeat the prices before, close {first.close:g}")
    assert Finding.objects.of(symbol).refused().get().rule == Rule.STALE


def test_phantoms_that_were_stored_once_are_not_learnt_from() -> None:
    symbol = make_symbol()
    add_bars(symbol, count=40, end=FRIDAY)
    close = PriceBar.objects.of(symbol).filter(date__lt=HOLIDAY).last().close  # type: ignore[union-attr]
    PriceBar.objects.create(symbol=symbol, date=HOLIDAY, open=close, high=close, low=close, close=close, volume=0)
    learnt = market.training_bars(symbol, now=NOW)
    assert len(learnt) == 40
    assert pd.Timestamp(HOLIDAY) not in learnt.index


def test_the_reason_reaches_the_clients(folder: Path) -> None:
    write(folder, in_pence(HISTORY, THURSDAY))
    training = make_claimed(make_symbol("AAA"))
    with trainer_process.TrainerProcess() as process:
        trainer_process.train(training, process)
    training.refresh_from_db()
    assert training.state == TrainingState.FAILED
    (status,) = training_requests.ensure_trained(["AAA"], now=NOW)
    message = check_json(status, {})["message"]
    assert message.startswith("Training not started: close is ")
    assert message.endswith("about a hundred times: two units are mixed.")
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
