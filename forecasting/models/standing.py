"""The forecasts that stand, for the route that is asked most. One light query finds them; their rows are kept in memory.

A row of the ledger never changes, and neither do the parts of its version that an answer shows. So a process loads each row once,
and only what can change is read at each request. By the ORM, both queries would be slower: it has no LATERAL, so it would look up
the newest bar for each old forecast of a symbol.
"""

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from forecasting.models.forecasts import OUTLOOK, Basis, Forecast
from forecasting.models.prepared import Columns, Prepared
from forecasting.models.quotes import COLUMNS, Quote
from forecasting.models.symbols import Symbol
from forecasting.models.trainings import Training
from forecasting.models.versions import ModelVersion

KEPT = 1000  # forecasts in the memory of a process, about 15 kB each
SHOWN_METRICS = ("mase", "beats_naive_p", "usual_width")


class Identity(NamedTuple):
    """A row of the ledger, also after a restored backup, which gives keys out again; and the currency that its answer names."""

    symbol_id: int
    basis: Basis
    key: int
    close_issued_at: datetime  # of the forecast from own bars that it belongs to
    currency: str

    @classmethod
    def of(cls, symbol: Symbol, basis: Basis, key: int) -> "Identity":
        """The forecast with this key, of a symbol as STANDING finds it."""
        return cls(symbol.pk, basis, key, symbol.close_issued_at, symbol.currency)

    @property
    def place(self) -> tuple[int, Basis]:
        """Where it is kept in memory."""
        return self.symbol_id, self.basis


def kept(wanted: Iterable[Identity]) -> dict[int, Forecast]:
    """These forecasts with symbol, version and outlook, by key. A query if any is not in memory.

    Of each symbol and basis, the last one that was loaded stays in memory: earlier ones are no longer served.
    """
    asked = {each.key: each for each in wanted}
    found = {key: forecast for key, each in asked.items() if (forecast := _in_memory(each))}
    if missing := [key for key in asked if key not in found]:
        loaded = {forecast.pk: forecast for forecast in FORECASTS.rows(missing)}
        with _changing:
            for key, forecast in loaded.items():
                _kept.pop(asked[key].place, None)  # the new one goes to the end
                _kept[asked[key].place] = asked[key], forecast
            for place in list(_kept)[: max(0, len(_kept) - KEPT)]:
                del _kept[place]  # the ones that were loaded first
        found |= loaded
    return found


def forget() -> None:
    """Keeps nothing of what was loaded so far: of a process whose next task needs other rows."""
    with _changing:
        _kept.clear()


def _in_memory(wanted: Identity) -> Forecast | None:
    identity, forecast = _kept.get(wanted.place, (None, None))
    return forecast if identity == wanted else None


_kept: dict[tuple[int, Basis], tuple[Identity, Forecast]] = {}
_changing = threading.Lock()


def _expressions(columns: Sequence[str], main: str) -> str:
    return ", ".join(column.replace("__", ".") if "__" in column else f"{main}.{column}" for column in columns)


def _standing(columns: Sequence[str]) -> tuple[str, Sequence[Any]]:
    """Of the index of each constraint on forecasts, one row is read."""
    of_symbols = _expressions(columns[: -len(VALUES)], "symbol")
    keys = "symbol_id = symbol.id AND version_id = version.id AND as_of = newest_bar.date"
    return (
        f"""
        SELECT {of_symbols}, newest_bar.date, newest_bar.close, own.id IS NOT NULL, close.id, close.issued_at, lead.id, live.id,
            live.quarter, (
                SELECT id FROM forecasting_restatement WHERE symbol_id = symbol.id AND reason <> 'correction'
                ORDER BY restated_at DESC LIMIT 1
            )
        FROM forecasting_symbol AS symbol
        LEFT JOIN forecasting_modelversion AS own ON own.symbol_id = symbol.id AND own.state = 'active'
        JOIN forecasting_modelversion AS version ON version.id = COALESCE(
            own.id, (SELECT id FROM forecasting_modelversion WHERE symbol_id IS NULL AND state = 'active')
        )
        CROSS JOIN LATERAL (
            SELECT date, close FROM forecasting_pricebar WHERE symbol_id = symbol.id ORDER BY date DESC LIMIT 1
        ) AS newest_bar
        JOIN LATERAL (
            SELECT id, issued_at FROM forecasting_forecast WHERE {keys} AND horizon = 1 AND basis = 'close' AND quarter IS NULL
        ) AS close ON true
        LEFT JOIN LATERAL (
            SELECT id FROM forecasting_forecast WHERE {keys} AND horizon = 1 AND basis = 'lead' AND quarter IS NULL
        ) AS lead ON true
        LEFT JOIN LATERAL (
            SELECT id, quarter FROM forecasting_forecast WHERE {keys} AND quarter IS NOT NULL ORDER BY quarter DESC LIMIT 1
        ) AS live ON true
        LEFT JOIN forecasting_quote AS last_quote ON last_quote.symbol_id = symbol.id
        LEFT JOIN LATERAL (
            SELECT * FROM forecasting_training WHERE symbol_id = symbol.id AND own.id IS NULL
            ORDER BY created_at DESC, id DESC LIMIT 1
        ) AS newest_training ON true
        WHERE symbol.ticker = ANY ($1) AND symbol.removed_at IS NULL
        """,  # noqa: S608 - column names of our own
        (),
    )


def _forecasts(columns: Sequence[str]) -> tuple[str, Sequence[Any]]:
    *columns, _ = columns  # the last one is the outlook
    metrics = ", ".join(f"'{name}', version.metrics -> '{name}'" for name in SHOWN_METRICS)
    selected = _expressions(columns, "forecast").replace("version.metrics", f"jsonb_build_object({metrics})")
    outlook = ", ".join(f"'{name}', {name}" for name in OUTLOOK)
    return (
        f"""
        SELECT {selected}, further.outlook
        FROM forecasting_forecast AS forecast
        JOIN forecasting_symbol AS symbol ON symbol.id = forecast.symbol_id
        JOIN forecasting_modelversion AS version ON version.id = forecast.version_id
        CROSS JOIN LATERAL (
            SELECT jsonb_agg(jsonb_build_object({outlook}) ORDER BY horizon) AS outlook FROM forecasting_forecast
            WHERE symbol_id = forecast.symbol_id AND version_id = forecast.version_id AND as_of = forecast.as_of
                AND horizon > 1 AND basis = 'close' AND quarter IS NULL
        ) AS further
        WHERE forecast.id = ANY ($1)
        """,  # noqa: S608 - column names of our own
        (),
    )


VALUES = (
    "as_of", "bar_close", "is_trained", "close_id", "close_issued_at", "lead_id", "live_id", "live_quarter", "rescaled_id",
)  # fmt: skip

# The symbols in service with these tickers, each with the keys of its forecasts from its newest bar, by its active version or else
# by the active base.
STANDING = Prepared(
    "standing",
    Columns(
        Symbol,
        frozenset(
            {"ticker", "exchange", "currency", "synced_at", "upstream_state", "upstream_checked_at", "unknown_until"},
        ),
    ),
    related={
        "newest_training": Columns(Training, frozenset({"state", "finished_at"})),
        "last_quote": Columns(Quote, frozenset({"asked_at", "problem", *COLUMNS})),
    },
    values=VALUES,
    statement=_standing,
)

# The forecasts with these keys, each with its outlook. Of a version's metrics, only those in SHOWN_METRICS.
FORECASTS = Prepared(
    "forecasts",
    Columns(
        Forecast,
        frozenset(
            {
                *("symbol_id", "version_id", "as_of", "target_date", "last_close", "price", "quantiles", "reference"),
                *("spread_factor", "basis", "known_until", "leads", "price_now", "risk", "issued_at"),
                *("interval_level", "interval_low", "interval_high", "probability_up", "restatement_id"),
            }
        ),
    ),
    of="bigint",
    related={
        "symbol": Columns(Symbol, frozenset({"ticker", "exchange", "currency"})),
        "version": Columns(ModelVersion, frozenset({"symbol_id", "number", "trained_at", "metrics"})),
    },
    objects=["outlook"],
    statement=_forecasts,
)
