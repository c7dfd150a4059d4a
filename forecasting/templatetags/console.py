"""Formats the figures of the admin's home, and links to the rows behind them."""

from collections.abc import Mapping

from django import template
from django.urls import reverse

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.jobs import STATE_TONES as RUN_TONES
from forecasting.console.plot import calibration_plot, training_bars
from forecasting.models.jobs import JobState
from forecasting.readiness import State

TONES = {State.OK: Tone.GOOD, State.WARNING: Tone.WARNING, State.FAILED: Tone.BAD}
WORDS = {State.OK: "fine", State.WARNING: "look", State.FAILED: "wrong", State.UNKNOWN: "not known"}

register = template.Library()
register.simple_tag(calibration_plot)
register.simple_tag(training_bars)


@register.filter
def light(state: State) -> str:
    """A state as a badge."""
    return display.badge(WORDS[state], tone(state))


@register.filter
def tone(state: State) -> Tone:
    """The colour of a state."""
    return TONES.get(state, Tone.QUIET)


@register.filter
def run_tone(state: str) -> Tone:
    """The colour of a run of the daily job, or of a day without one."""
    return RUN_TONES[JobState(state)] if state in JobState.values else Tone.QUIET


register.filter(display.soon)


@register.filter
def share(value: float | None) -> str:
    """A fraction as a percentage."""
    return display.percent(None if value is None else 100 * value)


@register.filter
def signed(value: float) -> str:
    """A percentage with its sign."""
    return display.percent(value, signed=True)


@register.filter
def percent(value: float) -> str:
    """A percentage with two decimals."""
    return display.percent(value, places=2)


@register.simple_tag
def rows_of(model: str, query: Mapping[str, str] | None = None) -> str:
    """The address of a list."""
    return reverse(f"admin:forecasting_{model}_changelist", query=query)


@register.simple_tag
def row_of(model: str, key: int) -> str:
    """The address of a row."""
    return reverse(f"admin:forecasting_{model}_change", args=[key])
