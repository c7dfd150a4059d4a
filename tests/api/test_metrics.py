"""POST /models/metrics"""

from datetime import date

import pytest
from pytest_django import Settings

from forecasting.models import Symbol, Training
from tests.api.conftest import Count, Send
from tests.factories import AT_LAST_CLOSE, METRICS, make_forecast, make_symbol, make_version

pytestmark = pytest.mark.django_db

NO_TRACK_RECORD = {"forecasts": 0, "mae": None, "mase": None, "coverage_80": None}
NO_RECORD = NO_TRACK_RECORD | {"pinball_ratio": None, "brier": None}
UNTESTED = {"test": None, "live": NO_RECORD}
TEST = {"forecasts": 250, "mae": 0.1235, "mase": 0.9841, "coverage_80": 0.8012, "pinball_ratio": 0.9854, "brier": 0.2488}
OF_WEEK = {"test": NO_RECORD | {"forecasts": 246, "coverage_80": 0.7912, "pinball_ratio": 0.9812}, "live": NO_RECORD}


def test_a_model_has_all_its_metrics_rounded_and_beside_the_naive_ones(post: Send) -> None:
    of_week = {"forecasts": 246, "pinball_ratio": 0.98123, "coverage_80": 0.79123}
    version = make_version(make_symbol("BBAS3.SA"), number=3, metrics=METRICS | {"by_horizon": {"5": of_week}})
    assert post("metrics", {"symbols": ["BBAS3.SA"]}) == [
        {
            "symbol": "BBAS3.SA",
            "metrics": {
                "MAE": 0.1235,
                "RMSE": 0.2346,
                "MAPE": 1.2346,
                "R²": 0.9346,
                "r2": 0.9346,
                "last_data_date": "2025-06-02",
                "training_duration": 12.3,
                "training_data_size": 1000,
                "validation_data_size": 200,
                "naive": {"MAE": 0.1255, "RMSE": 0.2326, "MAPE": 1.2446, "R²": 0.9356, "r2": 0.9356},
                "mase": 0.9841,
                "beats_naive_p": 0.3123,
                "pinball_ratio": 0.9854,
                "coverage_80": 0.8012,
                "directional_accuracy": 0.5212,
                "brier": 0.2488,
                "test_size": 250,
                "version": 3,
                "version_id": version.pk,
                "live": NO_TRACK_RECORD,
                "by_basis": {"close": {"test": TEST, "live": NO_RECORD}, "lead": UNTESTED, "live": UNTESTED},
                "by_horizon": {"1": {"test": TEST, "live": NO_RECORD}, "5": OF_WEEK, "10": UNTESTED, "21": UNTESTED},
                "by_part": dict.fromkeys(["0.0", "0.05", "0.25", "0.5", "0.75"], NO_RECORD),
                "simulated": True,
            },
        }
    ]


def test_figures_that_a_forecast_of_the_last_close_makes_constants_are_null(post: Send) -> None:
    make_version(make_symbol(), metrics=AT_LAST_CLOSE)
    (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
    names = ("mase", "beats_naive_p", "directional_accuracy")
    assert [answer["metrics"][name] for name in names] == [1.0, None, None]


def test_a_version_of_an_earlier_release_has_no_brier_score(post: Send) -> None:
    make_version(make_symbol(), metrics={name: value for name, value in METRICS.items() if name != "brier"})
    (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
    assert answer["metrics"]["brier"] is None


def test_a_symbol_without_a_model_has_an_error_beside_the_others_metrics(post: Send) -> None:
    make_version(make_symbol("SAMPLE2"))
    first, second = post("metrics", {"symbols": ["SAMPLE1", "SAMPLE2"]})
    assert first == {"symbol": "SAMPLE1", "error": "Metrics for this model are not available."}
    assert second["metrics"]["version"] == 1


@pytest.mark.parametrize(("source", "simulated"), [("sample", True), ("csv", False), ("yahoo", False)])
def test_metrics_say_whether_the_prices_are_simulated(post: Send, settings: Settings, source: str, simulated: bool) -> None:
    settings.PRICE_SOURCE = source
    make_version(make_symbol())
    (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
    assert list(answer["metrics"].items())[-1] == ("simulated", simulated)


def test_asking_for_metrics_starts_nothing(post: Send) -> None:
    post("metrics", {"symbols": ["SAMPLE1"]})
    assert not Symbol.objects.exists()
    assert not Training.objects.exists()


def test_only_the_version_that_serves_is_described(post: Send) -> None:
    symbol = make_symbol()
    make_version(symbol, number=1, state="retired")
    make_version(symbol, number=2)
    make_version(symbol, number=3, state="rejected")
    (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
    assert answer["metrics"]["version"] == 2


def test_the_track_record_is_that_of_all_scored_forecasts_of_the_symbol(post: Send) -> None:
    symbol = make_symbol()
    retired, active = make_version(symbol, state="retired"), make_version(symbol, number=2)
    make_forecast(retired, date(2025, 5, 28), actual_close=101.5)  # inside 99 to 103: errors 0.5, naive 1.5
    make_forecast(active, date(2025, 5, 29), actual_close=104.0)  # outside: errors 3.0, naive 4.0
    make_forecast(active, date(2025, 5, 30))
    (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
    assert answer["metrics"]["live"] == {"forecasts": 2, "mae": 1.75, "mase": 0.6364, "coverage_80": 0.5}


def test_another_symbols_forecasts_are_not_its_track_record(post: Send) -> None:
    make_version(make_symbol())
    make_forecast(make_version(make_symbol("SAMPLE2")), date(2025, 5, 28), actual_close=101.5)
    (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
    assert answer["metrics"]["live"] == NO_TRACK_RECORD


def test_a_track_record_in_which_the_price_never_moved_has_no_relative_error(post: Send) -> None:
    make_forecast(make_version(make_symbol()), date(2025, 5, 28), actual_close=100.0)
    (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
    assert answer["metrics"]["live"] == {"forecasts": 1, "mae": 1.0, "mase": None, "coverage_80": 1.0}


def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(post: Send, count_queries: Count) -> None:
    versions = [make_version(make_symbol(f"SAMPLE{number}")) for number in range(1, 21)]
    tickers = [make_forecast(each, date(2025, 5, 28), actual_close=101.0).symbol.ticker for each in versions]
    one = count_queries(lambda: post("metrics", {"symbols": tickers[:1]}))
    assert count_queries(lambda: post("metrics", {"symbols": tickers})) == one
