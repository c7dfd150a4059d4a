"""Scores of forecasts after a sync restated their bars, compared with the source's prices."""

import pandas as pd
import pytest

from forecasting import market, scoring
from forecasting.models import PriceBar
from tests.factories import make_forecast, make_symbol, make_version
from tests.fake_yahoo import FakeYahoo
from tests.market.histories import HISTORY, NOW, THURSDAY, WEDNESDAY, WEDNESDAY_EVENING
from tests.market.test_restating import DIVIDEND, SPLIT

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("adjusted", [SPLIT, DIVIDEND, HISTORY], ids=["split", "dividend", "nothing"])
def test_the_actual_close_is_in_the_prices_that_the_forecast_knew(yahoo: FakeYahoo, adjusted: pd.DataFrame) -> None:
    yahoo.bars["AAA"] = HISTORY[: pd.Timestamp(WEDNESDAY)]
    market.sync(symbol := make_symbol("AAA"), now=WEDNESDAY_EVENING)
    before = PriceBar.objects.get(symbol=symbol, date=WEDNESDAY).close
    forecast = make_forecast(make_version(symbol), WEDNESDAY, last_close=before, target_date=THURSDAY)
    yahoo.bars["AAA"] = adjusted
    market.sync(symbol, now=NOW)
    assert [scoring.score_due(), scoring.score_due()] == [1, 0]
    close = adjusted["close"]
    move = close[pd.Timestamp(THURSDAY)] / close[pd.Timestamp(WEDNESDAY)]
    assert forecast.scores.get().actual_close == pytest.approx(before * move, rel=1e-6)
