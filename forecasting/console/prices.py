"""How fresh the stored prices are: symbols by exchange and newest bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Q
from django.db.models.functions import JSONObject

from forecasting import market
from forecasting.models import Symbol


@dataclass(frozen=True, slots=True)
class Freshness:
    """Followed symbols in service: how many have prices, how many of those lack sessions, and which ones have none."""

    with_prices: int
    stale: int
    unpriced: Sequence[dict[str, Any]]  # each with pk, ticker and reason

    @property
    def total(self) -> int:
        """All of them."""
        return self.with_prices + len(self.unpriced)


def freshness(*, now: datetime) -> Freshness:
    """One query, whose rows are exchanges and dates of newest bars."""
    found = Symbol.objects.followed().with_last_bar().order_by()
    named = ArrayAgg(JSONObject(pk="pk", ticker="ticker", reason="upstream_reason"), filter=Q(last_date=None), default=[])
    groups = found.values("exchange", "last_date").annotate(count=Count("*"), named=named)  # type: ignore[misc]  # the plugin
    counted = list(groups.values_list("exchange", "last_date", "count", "named"))
    priced = [(exchange or "", newest, count) for exchange, newest, count, _ in counted if newest]
    return Freshness(
        with_prices=sum(count for _, _, count in priced),
        stale=sum(count for exchange, newest, count in priced if _lacks_sessions(exchange, newest, now=now)),
        unpriced=sorted((each for *_, named in counted for each in named), key=lambda each: str(each["ticker"])),
    )


def _lacks_sessions(exchange: str, newest: date, *, now: datetime) -> bool:
    return market.sessions_missing(Symbol(exchange=exchange), newest, now=now) > market.USUAL_LAG
