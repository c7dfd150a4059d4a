"""Prepared pages give the rows that the ORM would give."""

from typing import Any

import pytest
from django.db import models

from forecasting.api import lists
from forecasting.api.lists import RecordViewSet
from forecasting.api.pages import Pages
from tests.api.rows import make_rows
from tests.factories import make_symbol

pytestmark = pytest.mark.django_db

LISTS: list[type[RecordViewSet[Any]]] = [
    lists.SymbolViewSet, lists.VersionViewSet, lists.TrainingViewSet, lists.ForecastViewSet, lists.FindingViewSet,
]  # fmt: skip


def described(row: Any) -> Any:
    """A row with its columns, annotations and related rows."""
    if not isinstance(row, models.Model):
        return row
    known = {name: value for name, value in vars(row).items() if name not in {"_state", "rows_on_all_pages"}}
    cached = {name: value.pk if value else None for name, value in row._state.fields_cache.items()}
    return type(row), known.keys(), {name: described(value) for name, value in known.items()}, cached, row._state.adding


@pytest.mark.parametrize("of", LISTS)
@pytest.mark.parametrize(("offset", "limit"), [(0, Pages.page_size), (0, 2), (2, 3), (4, 3)])
def test_a_page_has_the_rows_of_the_queryset(of: type[RecordViewSet[Any]], offset: int, limit: int) -> None:
    make_rows(5)
    make_symbol("OTHER", followed=False)  # in no list
    page = of.pages.page(offset=offset, limit=limit)
    expected = list(of.queryset.all()[offset : offset + limit])
    assert [described(row) for row in page.rows] == [described(row) for row in expected]
    assert page.total == of.queryset.count()


def test_a_page_far_behind_the_last_one_is_empty() -> None:
    assert lists.SymbolViewSet().pages.page(offset=10**30, limit=3) == ([], 0)
