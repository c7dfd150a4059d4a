"""Filters of the list of symbols. Each one is a condition of the list's query, so that it works with thousands of symbols."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from forecasting import market
from forecasting.models import Score, Symbol
from forecasting.pipeline.config import ForecastConfig
from forecasting.prices.calendars import last_completed_session, previous_session

Choices = dict[str, tuple[str, Callable[[], Q]]]  # by value: the name, and the condition


class ChoiceFilter(admin.SimpleListFilter):
    """Some choices, each with a condition."""

    choices_offered: Choices

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """The choices."""
        return [(value, name) for value, (name, _) in self.choices_offered.items()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """The rows that match the choice."""
        _, condition = self.choices_offered.get(self.value() or "", ("", Q))
        return queryset.filter(condition())


def _in_service(newest_bar: str) -> Q:
    """Symbols in service whose newest bar is older (`lt`) than usual by the calendar of their exchange, or not (`gte`)."""
    now, wanted = timezone.now(), Q(pk__in=[])
    for exchange in Symbol.objects.exclude(exchange=None).values_list("exchange", flat=True).order_by().distinct():
        wanted |= Q(("exchange", exchange), (f"last_date__{newest_bar}", _usual(str(exchange), now=now)))
    return wanted & Q(removed_at=None)


def _usual(exchange: str, *, now: datetime) -> date:
    """The oldest newest bar of which at most `market.USUAL_LAG` sessions are missing."""
    session = last_completed_session(exchange, now=now)
    for _ in range(market.USUAL_LAG):
        session = previous_session(exchange, before=session)
    return session


def _off() -> Q:
    return Q(pk__in=Score.objects.off_in_coverage(promised=ForecastConfig().interval_level))


class StaleFilter(ChoiceFilter):
    """Whether prices are missing."""

    title, parameter_name = "prices", "prices"
    choices_offered = {
        "stale": ("stale", lambda: _in_service("lt")),
        "current": ("current", lambda: _in_service("gte")),
    }


class TrainingFilter(ChoiceFilter):
    """Whether the daily job requests retrainings."""

    title, parameter_name = "automatic training", "training"
    choices_offered = {
        "paused": ("paused", lambda: Q(paused_at__isnull=False)),
        "automatic": ("not paused", lambda: Q(paused_at=None)),
    }


class PinnedFilter(ChoiceFilter):
    """Whether a version is pinned."""

    title, parameter_name = "version", "version"
    choices_offered = {
        "pinned": ("pinned", lambda: Q(pinned_version__isnull=False)),
        "unpinned": ("not pinned", lambda: Q(pinned_version=None)),
    }


class RecordFilter(ChoiceFilter):
    """Whether the track record is worse than chance makes plausible."""

    title, parameter_name = "live record", "record"
    choices_offered = {
        "coverage": ("coverage off its band", _off),
        "loss": ("loss above the reference", lambda: Q(pk__in=Score.objects.above_reference())),
    }
