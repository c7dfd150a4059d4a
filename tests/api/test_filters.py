"""The filters of the read-only lists."""

from datetime import UTC, date, datetime

import pytest

from forecasting.models import Training
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.versions import VersionState
from forecasting.prices.findings import Rule, Verdict
from tests.api.conftest import Send
from tests.api.rows import LISTS, make_rows, symbols_of
from tests.factories import make_finding, make_forecast, make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db


def allowed(name: str, field: str) -> list[str]:
    """The values that a list's filter accepts, in their order."""
    choices = {
        "reason": TrainingReason.values,
        "scored": ["true", "false"],
        "state": {"symbols": UpstreamState, "versions": VersionState, "trainings": TrainingState}.get(name, TrainingState).values,
    }
    return list(choices[field])


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_filtered_by_symbol_in_any_case(get: Send, name: str) -> None:
    make_rows(3)
    assert symbols_of(get(f"/models/{name}", {"symbol": " sample2 "})) == ["SAMPLE2"]
    assert symbols_of(get(f"/models/{name}", {"symbol": "NOSUCH"})) == []


@pytest.mark.parametrize("name", LISTS)
def test_part_of_a_symbol_matches_nothing(get: Send, name: str) -> None:
    make_rows(1)
    assert symbols_of(get(f"/models/{name}", {"symbol": "SAMPLE"})) == []


@pytest.mark.parametrize(
    ("name", "field"),
    [("symbols", "state"), ("versions", "state"), ("trainings", "state"), ("trainings", "reason"), ("forecasts", "scored")],
)
def test_an_unknown_value_is_refused(get: Send, name: str, field: str) -> None:
    answer = get(f"/models/{name}", {field: "happy"}, status=400)
    (reason,) = answer["details"][field]
    assert reason.startswith("happy is not one of ")
    assert reason.removeprefix("happy is not one of ").removesuffix(".").split(", ") == allowed(name, field)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("versions", "trained_after"),
        ("trainings", "created_before"),
        ("forecasts", "target_date_after"),
        ("findings", "date_after"),
    ],
)
@pytest.mark.parametrize("day", ["2025-02-30", "06/01/2025", "June 1, 2025", "now"])
def test_an_invalid_date_is_refused(get: Send, name: str, field: str, day: str) -> None:
    answer = get(f"/models/{name}", {field: day}, status=400)
    assert answer["details"] == {field: ["Give a day as YYYY-MM-DD, such as 2025-06-30."]}


@pytest.mark.parametrize("name", LISTS)
def test_a_nul_in_a_filter_is_refused(get: Send, name: str) -> None:
    assert "Null characters are not allowed." in get(f"/models/{name}", {"symbol": "A\0"}, status=400)["details"]["symbol"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(("symbol", "reason"), [("AAPL,MSFT", "A symbol has 1 to 24 "), ("us0378331005", "This is an ISIN;")])
def test_a_text_that_cannot_be_a_symbol_is_refused(get: Send, name: str, symbol: str, reason: str) -> None:
    (told,) = get(f"/models/{name}", {"symbol": symbol}, status=400)["details"]["symbol"]
    assert told.startswith(reason)


def test_findings_are_filtered_by_rule_and_verdict(get: Send) -> None:
    make_finding(make_symbol(), rule=Rule.PHANTOM.value, verdict=Verdict.LEFT_OUT.value)
    queries: list[dict[str, str]] = [{"rule": "phantom_holiday"}, {"verdict": "left_out"}, {"rule": "old_bars"}]
    assert [symbols_of(get("/models/findings", query)) for query in queries] == [["SAMPLE1"], ["SAMPLE1"], []]


def test_symbols_are_filtered_by_state_at_the_source(get: Send) -> None:
    make_symbol("SAMPLE1", upstream_state=UpstreamState.OK)
    make_symbol("SAMPLE2", upstream_state=UpstreamState.UNKNOWN)
    assert symbols_of(get("/models/symbols", {"state": "unknown"})) == ["SAMPLE2"]


def test_versions_are_filtered_by_state_and_date(get: Send) -> None:
    symbol = make_symbol()
    for number, state in enumerate(["retired", "rejected", "active"], start=1):
        make_version(symbol, number=number, state=state, trained_at=datetime(2025, 6, number, 12, tzinfo=UTC))
    numbers = [
        [row["number"] for row in get("/models/versions", query)["results"]]
        for query in ({"state": "rejected"}, {"trained_after": "2025-06-02"}, {"trained_before": "2025-06-02"})
    ]
    assert numbers == [[2], [3, 2], [2, 1]]


def test_trainings_are_filtered_by_state_reason_and_date(get: Send) -> None:
    for number, reason in enumerate([TrainingReason.TOO_OLD, TrainingReason.REQUESTED], start=1):
        when = datetime(2025, 6, number, 12, tzinfo=UTC)
        make_training(make_symbol(f"SAMPLE{number}"), reason=reason, created_at=when)
    Training.objects.filter(symbol__ticker="SAMPLE1").update(state=TrainingState.CANCELLED, finished_at=datetime.now(UTC))
    found = [
        symbols_of(get("/models/trainings", query))
        for query in ({"state": "queued"}, {"reason": "too_old"}, {"created_before": "2025-06-01"}, {"created_after": "2025-06-02"})
    ]
    assert found == [["SAMPLE2"], ["SAMPLE1"], ["SAMPLE1"], ["SAMPLE2"]]


def test_forecasts_are_filtered_by_date_and_by_whether_they_are_scored(get: Send) -> None:
    version = make_version(make_symbol())
    make_forecast(version, date(2025, 5, 27), actual_close=101.5)
    make_forecast(version, date(2025, 5, 28))
    found = [
        [row["target_date"] for row in get("/models/forecasts", query)["results"]]
        for query in (
            {"scored": "true"},
            {"scored": "false"},
            {"target_date_after": "2025-05-29"},
            {"target_date_before": "2025-05-28"},
            {},
        )
    ]
    first, second = "2025-05-28", "2025-05-29"
    assert found == [[first], [second], [second], [first], [second, first]]
