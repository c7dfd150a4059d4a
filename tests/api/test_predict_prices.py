"""POST /models/predict and the price source: new bars are fetched before a forecast; if there are none, stored bars serve."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from django_q.models import OrmQ
from pytest_django import Settings

from forecasting.models import PriceBar, Symbol
from forecasting.models.symbols import UpstreamState
from tests.api.conftest import Predict, Send
from tests.api.serving import add_steady_bars, serve
from tests.factories import make_symbol
from tests.fake_yahoo import closed_url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("today")]

FRIDAY, LAST_SESSION = date(2025, 5, 30), date(2025, 6, 2)


@pytest.fixture
def endless_prices(folder: Path) -> Iterator[None]:
    """A price file of SAMPLE1 that never ends: a pipe without a writer."""
    pipe = folder / "SAMPLE1.csv"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    yield
    pipe.unlink()
    os.close(writer)


def write_prices(folder: Path, symbol: Symbol, *, days: list[date]) -> None:
    """Writes the symbol's stored bars, and bars of these days at 101, to its CSV file."""
    stored = PriceBar.objects.of(symbol).values_list("date", "open", "high", "low", "close", "volume")
    rows = [*stored, *((day, 101.0, 101.0, 101.0, 101.0, 1e6) for day in days)]
    lines = ["date,open,high,low,close,volume", *(",".join(map(str, row)) for row in rows)]
    (folder / f"{symbol.ticker}.csv").write_text("\n".join(lines))


def test_newer_bars_are_fetched_before_the_forecast(predict: Predict, folder: Path) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=FRIDAY)
    write_prices(folder, symbol, days=[LAST_SESSION])
    serve(symbol)
    answer = predict()
    assert (answer["as_of"], answer["last_close"], answer["stale"]) == ("2025-06-02", 101.0, False)


def test_a_forecast_from_real_prices_is_not_marked_as_simulated(predict: Predict, folder: Path) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=LAST_SESSION)
    serve(symbol)
    answer = predict()
    assert (answer["status"], answer["simulated"]) == ("success", False)


def test_a_symbol_that_has_a_model_and_no_bars_gets_them_from_the_source(predict: Predict) -> None:
    serve(make_symbol("SAMPLE7"))
    assert predict("SAMPLE7")["as_of"] == "2025-06-02"


def test_without_the_price_source_the_stored_bars_serve(predict: Predict, folder: Path) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=FRIDAY)
    serve(symbol)
    folder.rmdir()
    answer = predict()
    assert (answer["status"], answer["as_of"], answer["target_date"], answer["stale"]) == (
        "success",
        "2025-05-30",
        "2025-06-02",
        True,
    )
    assert Symbol.objects.get().upstream_state == UpstreamState.UNAVAILABLE


def test_without_a_connection_to_yahoo_the_stored_bars_serve(predict: Predict, settings: Settings, tmp_path: Path) -> None:
    settings.PRICE_SOURCE, settings.YAHOO_URL, settings.STATE_DIR = "yahoo", closed_url(), tmp_path
    symbol = make_symbol()
    add_steady_bars(symbol, end=FRIDAY)
    serve(symbol)
    assert predict()["stale"] is True
    assert Symbol.objects.get().upstream_state == UpstreamState.UNAVAILABLE


def test_a_symbol_missing_from_the_source_is_served_from_stored_bars(predict: Predict, folder: Path) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=FRIDAY)
    serve(symbol)
    answer = predict()
    assert (answer["status"], answer["stale"]) == ("success", True)
    assert Symbol.objects.get().upstream_state == UpstreamState.UNKNOWN


def test_one_symbol_without_prices_does_not_affect_the_others(post: Send, folder: Path) -> None:
    lost, kept = make_symbol("SAMPLE1"), make_symbol("SAMPLE2")
    for symbol in (lost, kept):
        add_steady_bars(symbol, end=FRIDAY)
        serve(symbol)
    write_prices(folder, kept, days=[LAST_SESSION])
    answers = post("predict", {"symbols": ["SAMPLE1", "SAMPLE2"]})["predictions"]
    assert [(each["as_of"], each["stale"]) for each in answers.values()] == [("2025-05-30", True), ("2025-06-02", False)]


def test_a_slow_source_is_not_awaited(predict: Predict, settings: Settings, endless_prices: None) -> None:
    settings.PREDICT_REFRESH_SECONDS = 0.05
    symbol = make_symbol()
    add_steady_bars(symbol, end=FRIDAY)
    serve(symbol)
    answer = predict()
    assert (answer["status"], answer["as_of"], answer["stale"]) == ("success", "2025-05-30", True)
    (queued,) = OrmQ.objects.all()
    assert (queued.task["func"], queued.task["args"]) == ("forecasting.background.tasks.sync_symbols", ([symbol.pk],))
