"""Bars in the database: synced with the price source, and read as frames of the bars contract."""

from forecasting.market.gate import training_bars
from forecasting.market.names import NO_ANSWER, Admit, NoSymbol, admit_all, enlist, look_up, look_up_awaited
from forecasting.market.quotes import is_old
from forecasting.market.service import forget, forgettable, remove, restore
from forecasting.market.stored import USUAL_LAG, bars, is_stale, recent_bars, sessions_missing
from forecasting.market.syncing import OVERLAP_BARS, SYNC_SECONDS, may_ask, refresh, sync
from forecasting.market.upstream import is_remote, price_source, why_paused

__all__ = [
    "NO_ANSWER",
    "OVERLAP_BARS",
    "SYNC_SECONDS",
    "USUAL_LAG",
    "Admit",
    "NoSymbol",
    "admit_all",
    "bars",
    "enlist",
    "forget",
    "forgettable",
    "is_old",
    "is_remote",
    "is_stale",
    "look_up",
    "look_up_awaited",
    "may_ask",
    "price_source",
    "recent_bars",
    "refresh",
    "remove",
    "restore",
    "sessions_missing",
    "sync",
    "training_bars",
    "why_paused",
]
