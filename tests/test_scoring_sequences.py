"""Scores after random sequences of splits, dividends, settling bars and corrections, checked against a simple model."""

from collections.abc import Callable

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as some

from forecasting import scoring
from forecasting.market import OVERLAP_BARS
from forecasting.models import Forecast, Restatement, Score
from forecasting.models.scores import ScoreReason
from tests.factories import add_bar, make_forecast, make_symbol, make_version
from tests.test_scoring import FRIDAY, LATER, MONDAY, TUESDAY, WEDNESDAY, corrected, restated, settled

pytestmark = pytest.mark.django_db

DAYS = [FRIDAY, MONDAY, TUESDAY, WEDNESDAY, *LATER]


class World:
    """A symbol, the source's closes by session, and the expected close of each forecast on its own price scale."""

    def __init__(self) -> None:
        self.symbol = make_symbol()
        self.version = make_version(self.symbol)
        self.closes = [100.0]
        self.forecasts: list[Forecast] = []
        self.ratios: list[float] = []  # per forecast: its price scale divided by today's
        add_bar(self.symbol, FRIDAY, 100.0)

    def next_session(self) -> None:
        """Makes a forecast from the newest bar, then adds the bar that it forecasts."""
        today, last = len(self.closes), self.closes[-1]
        prices = {"last_close": last, "price": last, "interval_low": last / 2, "interval_high": 2 * last}
        known = Restatement.objects.last_of(self.symbol)
        target, as_of = DAYS[today], DAYS[today - 1]
        self.forecasts.append(make_forecast(self.version, as_of, target_date=target, restatement=known, **prices))
        self.ratios.append(1.0)
        self.closes.append(100.0 + today)
        add_bar(self.symbol, target, self.closes[-1])

    def rescale(self, reason: str, ratio: float) -> None:
        """Applies a split or dividend of the newest session."""
        restated(self.symbol, ratio, before=DAYS[len(self.closes) - 1], reason=reason)
        self.closes = [ratio * close for close in self.closes[:-1]] + self.closes[-1:]
        self.ratios = [ratio * each for each in self.ratios]

    def change(self, correction: bool, back: int) -> None:
        """Changes the close of the session that is this far back."""
        session = max(0, len(self.closes) - 1 - back)
        self.closes[session] *= 1.03
        (corrected if correction else settled)(self.symbol, DAYS[session], self.closes[session])

    @property
    def expected(self) -> list[float]:
        """Each forecast is scored against the expected close."""
        return [close / ratio for close, ratio in zip(self.closes[1:], self.ratios, strict=True)]


Event = Callable[[World], None]
events: some.SearchStrategy[Event] = some.one_of(
    some.sampled_from([0.5, 0.1, 3.0]).map(lambda ratio: lambda world: world.rescale("split", ratio)),
    some.sampled_from([0.99, 0.9]).map(lambda ratio: lambda world: world.rescale("dividend", ratio)),
    some.integers(0, OVERLAP_BARS - 1).map(lambda back: lambda world: world.change(False, back)),
    some.integers(0, 20).map(lambda back: lambda world: world.change(True, back)),
)


@given(evenings=some.lists(some.lists(events, max_size=2), min_size=1, max_size=len(DAYS) - 1))
@how(max_examples=25, deadline=None)
def test_after_any_events_each_forecast_has_the_last_word_of_the_source_as_its_score(evenings: list[list[Event]]) -> None:
    with transaction.atomic():
        world = World()
        for happened in evenings:
            world.next_session()
            for event in happened:
                event(world)
            scoring.score_due([world.symbol])
            closes = Score.objects.filter(latest=True).order_by("forecast__as_of").values_list("actual_close", flat=True)
            assert list(closes) == pytest.approx(world.expected, rel=1e-9)
        assert Score.objects.filter(reason=ScoreReason.CORRECTED).count() <= sum(map(len, evenings))
        transaction.set_rollback(True)
