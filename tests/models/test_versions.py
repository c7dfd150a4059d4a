"""Model versions: one active version per symbol, unique numbers and folders."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from forecasting.models import ModelVersion
from forecasting.models.versions import VersionState
from tests.factories import make_symbol, make_version
from tests.models.refusals import refused_by

pytestmark = pytest.mark.django_db

MONDAY = date(2025, 6, 2)


@pytest.mark.parametrize("ticker", ["SAMPLE1", None], ids=["symbol", "base"])
def test_a_symbol_has_one_active_version(ticker: str | None) -> None:
    symbol = make_symbol(ticker) if ticker else None
    make_version(symbol, number=1)
    make_version(symbol, number=2, state=VersionState.RETIRED)
    with refused_by("version_one_active_per_symbol"):
        make_version(symbol, number=3)


@pytest.mark.parametrize("ticker", ["SAMPLE1", None], ids=["symbol", "base"])
def test_a_version_number_is_used_once(ticker: str | None) -> None:
    symbol = make_symbol(ticker) if ticker else None
    make_version(symbol)
    with refused_by("version_number_unique"):
        make_version(symbol, state=VersionState.RETIRED)


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"state": "best"}, "version_state_known"),
        ({"files_state": "lost", "state": "retired"}, "version_files_state_known"),
        ({"files_state": "removed"}, "version_active_has_files"),
        ({"number": 0}, "version_number_positive"),
        ({"data_start": MONDAY, "data_end": MONDAY - timedelta(days=1)}, "version_data_window_ordered"),
    ],
)
def test_a_version_that_contradicts_itself_is_refused(wrong: dict[str, Any], constraint: str) -> None:
    with refused_by(constraint):
        make_version(make_symbol(), **wrong)


def test_a_folder_belongs_to_one_version() -> None:
    make_version(make_symbol("SAMPLE1"), folder="1-abc")
    with pytest.raises(IntegrityError, match="folder"), transaction.atomic():
        make_version(make_symbol("SAMPLE2"), folder="1-abc")


def test_older_than_compares_with_the_time_of_the_training() -> None:
    old = make_version(make_symbol("SAMPLE1"), trained_at=timezone.now() - timedelta(days=16))
    make_version(make_symbol("SAMPLE2"), trained_at=timezone.now() - timedelta(days=14))
    assert list(ModelVersion.objects.active().older_than(timedelta(days=15))) == [old]


@pytest.mark.parametrize(("p_value", "beats"), [(0.049, True), (0.05, False), (None, False)])
def test_a_version_beats_the_naive_forecast_only_significantly(p_value: float | None, beats: bool) -> None:
    version = make_version(make_symbol(), metrics={"mase": 0.98, "beats_naive_p": p_value})
    assert version.skill == {"mase": 0.98, "beats_naive": beats}
