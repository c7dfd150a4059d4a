"""Cells of lists: a symbol's track record with what chance may do to it, and how old its prices are."""

import math
from collections.abc import Mapping
from datetime import datetime

from django.utils.safestring import SafeString

from forecasting import market
from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.models import Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.uncertainty import Deviation, deviation_of_share, excess_of_ratio

UPSTREAM_TONES = {UpstreamState.OK: Tone.GOOD, UpstreamState.NEVER_ASKED: Tone.QUIET, UpstreamState.UNKNOWN: Tone.BAD}
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
USUAL_LAG = 1  # session, which the next daily job or request fetches


def coverage(record: Mapping[str, float] | None) -> str:
    """The share of closes inside the interval; below, where chance alone keeps it in 99 of 100 cases, and the number."""
    if not record:
        return display.NOTHING
    promised, count = ForecastConfig().interval_level, int(record["forecasts"])
    deviation = deviation_of_share(record["coverage"], promised=promised, count=count)
    shown = display.badge(display.percent(100 * record["coverage"]), _tone(deviation))
    band = f"{100 * promised:.0f} {PLUS_MINUS} {display.percent(100 * deviation.chance, places=0)}"
    return display.with_note(shown, f"{band}, of {count:,}")


def pinball_ratio(record: Mapping[str, float] | None) -> str:
    """The quantile loss relative to the reference's, and its uncertainty (99 %)."""
    if not record or record["pinball_ratio"] is None:
        return display.NOTHING
    excess = excess_of_ratio(
        record["pinball_ratio"],
        count=int(record["judged"]),
        reference=record["reference"],
        squared=record["loss_squared"],
        product=record["loss_times_reference"],
        reference_squared=record["reference_squared"],
    )
    shown = display.badge(display.figure(record["pinball_ratio"], places=3), _tone(excess))
    return display.with_note(shown, f"{PLUS_MINUS} {excess.chance:.3f}" if math.isfinite(excess.chance) else "too few to tell")


def upstream(symbol: Symbol, *, now: datetime) -> SafeString:
    """The price source's last answer, with its reason as tooltip; `stale` if it is fine but the prices are old."""
    state = UpstreamState(symbol.upstream_state)
    missing = market.sessions_missing(symbol, symbol.last_date, now=now) if symbol.last_date and not symbol.removed_at else 0
    label, tone = str(state.label), UPSTREAM_TONES.get(state, Tone.WARNING)
    if state == UpstreamState.OK and missing > USUAL_LAG:
        label, tone = "stale", Tone.WARNING
    shown = display.badge(label, tone, title=symbol.upstream_reason)
    return display.with_note(shown, f"{display.count(missing, 'session')} missing") if missing else shown


def _tone(deviation: Deviation) -> Tone:
    """Quiet as long as chance may explain it."""
    if deviation.is_nearly_certain:
        return Tone.BAD
    return Tone.WARNING if deviation.is_likely_real else Tone.QUIET
