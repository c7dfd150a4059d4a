"""Bars in the database: synced with the price source, and read as frames of the bars contract."""

from forecasting.market.gate import training_bars
from forecasting.market.stored import bars, is_stale, recent_bars
from forecasting.market.syncing import OVERLAP_BARS, SYNC_SECONDS, may_ask, refresh, sync
from forecasting.market.upstream import is_paused, price_source

__all__ = [
    "OVERLAP_BARS",
    "SYNC_SECONDS",
    "bars",
    "is_paused",
    "is_stale",
    "may_ask",
    "price_source",
    "recent_bars",
    "refresh",
    "sync",
    "training_bars",
]
