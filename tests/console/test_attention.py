"""What needs attention: each concern with its rows."""

import pytest
from django.utils import timezone

from forecasting.console import attention
from forecasting.console.attention import Concern
from forecasting.console.prices import freshness
from forecasting.models.overall import newest_score
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import FilesState, VersionState
from forecasting.prices.findings import Verdict
from tests.console.scored import score_days
from tests.factories import add_bars, make_finding, make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db


def listed(table: str) -> Concern:
    (concern,) = attention.listed({table})
    return concern


def test_a_newest_version_with_damaged_files_needs_attention() -> None:
    symbol = make_symbol()
    make_version(symbol, state=VersionState.RETIRED, files_state=FilesState.DAMAGED)
    assert listed("modelversion").count == 1
    assert [row.symbol for row in listed("modelversion").rows] == [symbol.pk]


def test_damaged_files_of_an_earlier_version_are_no_concern() -> None:
    symbol = make_symbol()
    make_version(symbol, state=VersionState.RETIRED, files_state=FilesState.DAMAGED)
    make_version(symbol, number=2)
    assert listed("modelversion").count == 0


def test_a_symbol_whose_last_training_failed_needs_attention() -> None:
    failed = make_training(make_symbol("A"), state=TrainingState.FAILED)
    make_training(failed.symbol, state=TrainingState.FAILED)
    cured = make_symbol("B")
    make_training(cured, state=TrainingState.FAILED)
    make_training(cured)
    make_training(make_symbol("REMOVED", removed_at=timezone.now()), state=TrainingState.FAILED)
    concern = listed("training")
    assert (concern.count, [row.name for row in concern.rows]) == (1, ["A"])
    assert concern.rows[0].text == "The price source does not know this symbol."


def test_a_failed_training_of_the_base_has_no_symbol_to_retrain() -> None:
    make_training(None, state=TrainingState.FAILED)
    assert [(row.name, row.symbol) for row in listed("training").rows] == [("base", None)]


def test_only_the_first_rows_are_listed_and_all_are_counted() -> None:
    for number in range(7):
        make_training(make_symbol(f"A{number}"), state=TrainingState.FAILED)
    concern = listed("training")
    assert (concern.count, len(concern.rows)) == (7, attention.SHOWN)


def test_a_coverage_that_chance_does_not_explain_needs_attention_the_worst_first() -> None:
    for ticker, inside in (("BAD", 25), ("FINE", 32), ("WORSE", 5)):
        score_days(make_version(make_symbol(ticker)), [place < inside for place in range(50)])
    coverage, loss = attention.off_records(newest_score())
    assert [row.name for row in coverage.rows] == ["WORSE", "BAD"]
    assert (coverage.query, loss.query) == (
        {"record": "coverage"},
        {"record": "loss"},
    )  # filters, because viewers have other columns
    assert coverage.rows[1].text == "50.0 % of 50 closes inside; 80 \N{PLUS-MINUS SIGN} 16 % are promised."
    assert loss.count == 0


def test_a_loss_that_is_certainly_above_the_references_needs_attention() -> None:
    score_days(make_version(make_symbol("LOSSY")), [place % 5 > 0 for place in range(50)], ratio=1.3)
    coverage, loss = attention.off_records(newest_score())
    assert (coverage.count, [row.name for row in loss.rows]) == (0, ["LOSSY"])
    assert loss.rows[0].text.startswith("1.300 \N{PLUS-MINUS SIGN} 0.0")


def test_a_bad_record_of_a_symbol_out_of_service_is_no_concern() -> None:
    score_days(make_version(make_symbol(removed_at=timezone.now())), [False] * 50)
    assert [concern.count for concern in attention.off_records(newest_score())] == [0, 0]


def test_refused_prices_need_attention() -> None:
    symbol = make_symbol()
    make_finding(symbol)
    make_finding(symbol, verdict=Verdict.REFUSED.value, text="too many repairs")
    assert [row.text for row in listed("finding").rows] == ["too many repairs"]


def test_nothing_of_a_symbol_out_of_service_needs_attention() -> None:
    symbol = make_symbol(removed_at=timezone.now())
    make_finding(symbol, verdict=Verdict.REFUSED.value)
    make_version(symbol, state=VersionState.RETIRED, files_state=FilesState.DAMAGED)
    make_training(symbol, state=TrainingState.FAILED)
    assert [concern.count for concern in attention.listed({"finding", "modelversion", "training"})] == [0, 0, 0]


def test_symbols_without_prices_need_attention() -> None:
    add_bars(make_symbol("A"), count=1)
    make_symbol("B", exchange=None, upstream_reason="Yahoo does not know it.")
    concern = attention.without_prices(freshness(now=timezone.now()))
    assert [(row.name, row.text) for row in concern.rows] == [("B", "Yahoo does not know it.")]
