"""Restated histories: replaced completely or not at all, recorded, and followed by retraining. Includes random event sequences."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import pandas as pd
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as some

from forecasting import market
from forecasting.background import trainer_child
from forecasting.models import ModelVersion, Restatement, Symbol, Training, Upstream
from forecasting.models.trainings import Outcome, TrainingReason, TrainingState
from forecasting.models.versions import VersionState
from forecasting.pipeline.progress import Progress
from forecasting.prices.bars import PRICES
from forecasting.prices.calendars import sessions
from forecasting.prices.restatements import ROUNDING
from forecasting.prices.sources import BadDataError, PriceSourceError
from tests import fake_yahoo
from tests.factories import add_bars, make_claimed, make_restatement, make_symbol, make_training, make_version
from tests.fake_yahoo import FakeYahoo, Scenario, as_yahoo_adjusts, generated_bars
from tests.market.histories import FRIDAY, HISTORY, NOW, THURSDAY, WEDNESDAY, WEDNESDAY_EVENING, assert_stored
from tests.pipeline.market_data import rescaled

pytestmark = pytest.mark.django_db

SPLIT = as_yahoo_adjusts(rescaled(HISTORY, slice(-2, None), 0.5), through=FRIDAY, splits={THURSDAY: 2})  # half the value since
DIVIDEND = as_yahoo_adjusts(HISTORY, through=FRIDAY, dividends={THURSDAY: 0.2})


@pytest.fixture
def symbol(yahoo: FakeYahoo) -> Symbol:
    """A symbol with bars up to Wednesday and its own model."""
    yahoo.bars["AAA"] = HISTORY[: pd.Timestamp(WEDNESDAY)]
    symbol = make_symbol("AAA")
    market.sync(symbol, now=WEDNESDAY_EVENING)
    make_version(symbol, trained_at=timezone.now() - timedelta(minutes=1))
    return symbol


def restated(yahoo: FakeYahoo, symbol: Symbol, bars: pd.DataFrame) -> None:
    """Makes the next sync find these bars."""
    yahoo.bars["AAA"] = bars
    market.sync(symbol, now=NOW)


# Records of restatements


def test_a_split_is_kept_with_its_session_and_ratio(yahoo: FakeYahoo, symbol: Symbol) -> None:
    restated(yahoo, symbol, SPLIT)
    assert_stored(symbol, SPLIT)
    change = Restatement.objects.get()
    assert (change.symbol, change.reason, change.date, change.bars_changed) == (symbol, "split", THURSDAY, len(HISTORY) - 2)
    assert change.ratio == pytest.approx(0.5)


def test_a_history_that_is_fetched_whole_and_is_the_same_is_no_restatement(yahoo: FakeYahoo, symbol: Symbol) -> None:
    symbol.currency = "XXX"  # the source answers in another unit: everything is fetched again
    restated(yahoo, symbol, HISTORY)
    assert_stored(symbol, HISTORY)
    assert symbol.currency == "USD"
    assert not Restatement.objects.exists()


def test_volumes_of_the_last_sessions_are_brought_up_to_date_without_a_restatement(yahoo: FakeYahoo, symbol: Symbol) -> None:
    recounted = HISTORY.assign(volume=HISTORY["volume"] + 1000 * (HISTORY.index == pd.Timestamp(WEDNESDAY)))
    restated(yahoo, symbol, recounted)
    assert_stored(symbol, recounted)
    assert len(yahoo.charts("AAA")) == 2
    assert not Restatement.objects.exists()


def test_prices_in_another_unit_are_refused_while_the_source_calls_it_the_same(yahoo: FakeYahoo, symbol: Symbol) -> None:
    before = market.bars(symbol)
    yahoo.bars["AAA"] = HISTORY
    yahoo.scenarios["AAA"] = fake_yahoo.in_pounds
    with pytest.raises(BadDataError, match=r"all prices are 0.01 times the stored ones, still in USD: a wrong unit"):
        market.sync(symbol, now=NOW)
    assert_stored(symbol, before)


# Versions and their training


def test_the_model_is_trained_again_and_marked(yahoo: FakeYahoo, symbol: Symbol) -> None:
    restated(yahoo, symbol, SPLIT)
    training = Training.objects.active().get()
    assert (training.symbol, training.reason) == (symbol, TrainingReason.DATA_REVISED)
    make_version(symbol, number=2, state=VersionState.RETIRED, restatement=Restatement.objects.get())
    assert [version.number for version in ModelVersion.objects.on_revised_bars()] == [1]


def test_a_restatement_of_another_symbol_marks_nothing(symbol: Symbol) -> None:
    make_restatement(make_symbol("BBB"))
    assert not ModelVersion.objects.on_revised_bars().exists()


def test_a_symbol_without_a_model_is_not_trained_for_it(yahoo: FakeYahoo, symbol: Symbol) -> None:
    ModelVersion.objects.all().delete()
    restated(yahoo, symbol, DIVIDEND)
    assert not Training.objects.exists()


def test_a_training_under_way_is_not_doubled(yahoo: FakeYahoo, symbol: Symbol) -> None:
    training = make_training(symbol, reason=TrainingReason.TOO_OLD)
    restated(yahoo, symbol, SPLIT)
    training.refresh_from_db()
    assert (Training.objects.get(), training.reason) == (training, TrainingReason.DATA_REVISED)


@pytest.mark.parametrize("state", [TrainingState.FAILED, TrainingState.CANCELLED])
def test_it_is_not_trained_soon_after_a_failure(yahoo: FakeYahoo, symbol: Symbol, state: TrainingState) -> None:
    make_training(symbol, state=state, finished_at=NOW - timedelta(minutes=59))
    restated(yahoo, symbol, SPLIT)
    assert not Training.objects.active().exists()
    assert ModelVersion.objects.on_revised_bars().exists()


def test_bars_that_are_restated_during_a_training_mark_its_version() -> None:
    add_bars(symbol := make_symbol(), count=600)
    before = make_restatement(symbol)
    training = make_claimed(symbol)

    def restate(progress: Progress) -> None:
        make_restatement(symbol)

    outcome = trainer_child.work(training.pk, fence=training.fence, progress=restate)
    assert outcome == (Outcome.PUBLISHED, "")
    version = ModelVersion.objects.on_revised_bars().get()
    assert (version.training, version.restatement) == (training, before)


# Any sequence of events

FIRST = date(2024, 1, 2)
DAYS = [day.date() for day in sessions("XNYS", first=FIRST, last=date(2024, 6, 28))]
WHOLE = generated_bars("AAA", first=FIRST, last=DAYS[-1])
START = 40  # sessions before the first sync
TROUBLES = [fake_yahoo.rate_limited, fake_yahoo.broken, fake_yahoo.truncated, fake_yahoo.no_rows, fake_yahoo.unknown]


@dataclass
class World:
    """A symbol's prices as traded, and the events that changed them, up to session number `today`."""

    raw: pd.DataFrame
    today: int = START - 1
    splits: dict[date, float] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)
    missing: set[date] = field(default_factory=set)

    def as_yahoo_has_it(self) -> pd.DataFrame:
        """The whole adjusted history, without the sessions that are missing today."""
        bars = as_yahoo_adjusts(self.raw, through=DAYS[self.today], splits=self.splits, dividends=self.dividends)
        return bars.drop([pd.Timestamp(day) for day in self.missing if pd.Timestamp(day) in bars.index])

    @property
    def evening(self) -> datetime:
        """A time after the close of its last session."""
        return datetime.combine(DAYS[self.today], time(22), tzinfo=NOW.tzinfo)


Event = Callable[[World], None]


def _split(shares: float) -> Event:
    def happen(world: "World") -> None:
        world.splits[DAYS[world.today]] = world.splits.get(DAYS[world.today], 1.0) * shares
        world.raw = rescaled(world.raw, slice(world.today, None), 1 / shares)  # as traded

    return happen


def _dividend(share: float) -> Event:
    return lambda world: world.dividends.update({DAYS[world.today]: share * float(world.raw["close"].iloc[world.today - 1])})


def _correction(back: int, factor: float) -> Event:
    def happen(world: World) -> None:
        session = pd.Timestamp(DAYS[world.today - 1 - back])
        world.raw.loc[session, list(PRICES)] *= factor

    return happen


def _recount(factor: float) -> Event:
    def happen(world: World) -> None:
        world.raw.loc[pd.Timestamp(DAYS[world.today - 1]), "volume"] = round(factor * world.raw["volume"].iloc[world.today - 1])

    return happen


def _gap(world: World) -> None:
    world.missing.add(DAYS[world.today])


def _filled(world: World) -> None:
    world.missing = {day for day in world.missing if day < DAYS[world.today - 5]}


events: some.SearchStrategy[Event] = some.one_of(
    some.sampled_from([2, 3, 7, 1.5, 0.1]).map(_split),
    some.sampled_from([1e-4, 0.004, 0.03]).map(_dividend),
    some.builds(_correction, some.integers(0, 4), some.sampled_from([1.0005, 0.97])),
    some.sampled_from([0.5, 1.2]).map(_recount),
    some.sampled_from([_gap, _filled]),
)
step = some.tuples(some.integers(1, 4), some.lists(events, max_size=2), some.none() | some.sampled_from(TROUBLES))


@given(steps=some.lists(step, max_size=7))
@how(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_increments_and_restatements_ends_like_one_full_fetch(
    yahoo: FakeYahoo, steps: list[tuple[int, list[Event], Scenario | None]]
) -> None:
    Symbol.objects.all().delete()  # and its restatements
    world, symbol, unnoticed, events_so_far = World(WHOLE.copy()), make_symbol("AAA"), 0, 0
    for days, happened, trouble in [(0, [], None), *steps, (1, [], None)]:
        world.today += days
        for event in happened:
            event(world)
        events_so_far += len(happened)
        yahoo.bars["AAA"] = world.as_yahoo_has_it()
        yahoo.scenarios = {"AAA": trouble} if trouble else {}
        Upstream.objects.all().delete()
        before = market.bars(symbol)
        try:
            market.sync(symbol, now=world.evening, ask_again=True)
        except PriceSourceError:
            assert trouble
            assert_stored(symbol, before)
            unnoticed += days
            if unnoticed > 4:  # later corrections must still lie in the overlap
                return
        else:
            unnoticed = 0
            # Within rounding: a close that settles or is corrected moves the factor of a dividend before it by less than that.
            pd.testing.assert_frame_equal(market.bars(symbol), yahoo.bars["AAA"], check_freq=False, rtol=ROUNDING)
        assert Restatement.objects.count() <= events_so_far
