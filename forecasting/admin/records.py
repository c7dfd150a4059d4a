"""Cells of lists: a symbol's track record with what chance may do to it, and how old its prices are."""

import math
from collections.abc import Mapping
from datetime import datetime

from django.utils.safestring import SafeString

from forecasting import market
from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.console.deviations import coverage_deviation, loss_deviation
from forecasting.models import Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.uncertainty import Deviation

UPSTREAM_TONES = {UpstreamState.OK: Tone.GOOD, UpstreamState.NEVER_ASKED: Tone.QUIET, UpstreamState.UNKNOWN: Tone.BAD}
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def coverage(record: Mapping[str, float] | None) -> str:
    """The share of closes inside the interval; below, where chance alone keeps it in 99 of 100 cases, and the number."""
    if not record:
        return display.NOTHING
    promised, count = ForecastConfig().interval_level, int(record["forecasts"])
    deviation = coverage_deviation(record)
    shown = display.badge(display.percent(100 * record["coverage"]), _tone(deviation))
    band = f"{100 * promised:.0f} {PLUS_MINUS} {display.percent(100 * deviation.chance, places=0)}"
    return display.with_note(shown, f"{band}, of {count:,}")


def pinball_ratio(record: Mapping[str, float] | None) -> str:
    """The quantile loss relative to the reference's, and its uncertainty (99 %)."""
    if not record or record["pinball_ratio"] is None:
        return display.NOTHING
    excess = loss_deviation(record)
    shown = display.badge(display.figure(record["pinball_ratio"], places=3), _tone(excess))
    return display.with_note(shown, f"{PLUS_MINUS} {excess.chance:.3f}" if math.isfinite(excess.chance) else "too few to tell")


def upstream(symbol: Symbol, *, now: datetime) -> SafeString:
    """The price source's last answer, with its reason as tooltip; `stale` if it is fine but the prices are old."""
    state = UpstreamState(symbol.upstream_state)
    missing = market.sessions_missing(symbol, symbol.last_date, now=now) if symbol.last_date and not symbol.removed_at else 0
    label, tone = str(state.label), UPSTREAM_TONES.get(state, Tone.WARNING)
    if state == UpstreamState.OK and missing > market.USUAL_LAG:
        label, tone = "stale", Tone.WARNING
    shown = display.badge(label, tone, title=symbol.upstream_reason)
    return display.with_note(shown, f"{display.count(missing, 'session')} missing") if missing else shown


def _tone(deviation: Deviation) -> Tone:
    """Quiet as long as chance may explain it."""
    if deviation.is_nearly_certain:
        return Tone.BAD
    return Tone.WARNING if deviation.is_likely_real else Tone.QUIET
