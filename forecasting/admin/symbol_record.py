"""What a symbol's page says below the chart: what its forecast knows, how forecasts turned out, trainings, and who did what."""

from collections.abc import Sequence

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString

from forecasting import serving
from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.trainings import STATE_TONES
from forecasting.models import Forecast, ModelVersion, Score, Symbol, Training
from forecasting.models.forecasts import Basis
from forecasting.models.trainings import TrainingState
from forecasting.prices.session_state import SessionState
from forecasting.scorecards import Record

SHOWN_TRAININGS = 10
SHOWN_ACTIONS = 20
SESSIONS = {
    SessionState.CLOSED: "closed",
    SessionState.PRE: "opens today",
    SessionState.OPEN: "open",
    SessionState.SETTLING: "closed, its bar is not final yet",
}
NO_FORECAST = "Nothing yet: the next request or daily job makes the forecast from the newest bar."
# A symbol's version is its base with a calibration of its own, which has no epochs; a base is fitted for a fixed number of them.
NO_EPOCHS = "There is no loss per epoch: these trainings calibrate the base anew, in one step."


class SymbolRecord:
    """Fields of the page; part of the symbol's admin class."""

    @admin.display(description="the forecast knows")
    def knows(self, symbol: Symbol) -> str:
        """Basis, leads with their moves, width and version of the forecast that is served now."""
        if symbol.removed_at:
            return "Nothing: it is out of service."
        answer = serving.answer_that_stands(symbol.ticker, now=timezone.now())
        if not answer or not (forecast := answer.forecast) or not answer.session:
            return NO_FORECAST
        width = "not known yet" if forecast.usual_width is None else f"{forecast.usual_width:.2f} times its median of a year"
        rows = [
            ("Target session", f"{display.day(forecast.target_date)}, {SESSIONS[answer.session.hours.state]}"),
            ("Knows", f"{Basis(forecast.basis).label}, up to {_moment(forecast)}"),
            ("Width of the interval", width),
            ("Version", display.link(ModelVersion, forecast.version_id, str(forecast.version))),
            ("Prices", "stale: the bar of a session that is over is missing" if answer.stale else "up to date"),
        ]
        if answer.session.problem:
            rows.append(("No price now", answer.session.problem))
        return display.table(("", ""), rows) + _leads(forecast)

    @admin.display(description="by basis")
    def by_basis(self, symbol: Symbol) -> str:
        """How all forecasts served for the symbol turned out, by what they knew and how far ahead they were."""
        sums = list(Score.objects.of([symbol]).sums())
        kinds = sorted({(row["horizon"], row["basis"]) for row in sums})
        records = [(_kind(*kind), Record.of(row for row in sums if (row["horizon"], row["basis"]) == kind)) for kind in kinds]
        header = ("forecasts of", "scored", "inside 80 %", "MAE", "MASE", "quantile loss")
        return display.table(header, (_figures(name, each, symbol) for name, each in records)) if records else display.NOTHING

    @admin.display(description="trainings")
    def newest_trainings(self, symbol: Symbol) -> str:
        """The last trainings, the newest first, with what became of them, and a link to all of them."""
        trainings = Training.objects.of([symbol]).newest_first().select_related("version")[:SHOWN_TRAININGS]
        rows = [_training(each) for each in trainings]
        if not rows:
            return display.NOTHING
        every = display.link_to_list(Training, "all trainings", symbol__id__exact=symbol.pk)
        shown = display.table(("requested", "state", "reason", "by", "took", "result"), rows)
        return shown + display.with_note(every, NO_EPOCHS)

    @admin.display(description="actions")
    def actions_log(self, symbol: Symbol) -> str:
        """What people did with the symbol, its versions and its trainings, the newest first."""
        about = _logged(Symbol, Symbol.objects.filter(pk=symbol.pk))
        about |= _logged(ModelVersion, ModelVersion.objects.of([symbol])) | _logged(Training, Training.objects.of([symbol]))
        entries = LogEntry.objects.filter(about).select_related("user").order_by("-action_time")[:SHOWN_ACTIONS]
        rows = [
            (
                date_format(timezone.localtime(entry.action_time), "DATETIME_FORMAT"),
                str(entry.user),
                entry.object_repr,
                display.sentence(entry.get_change_message()),
            )
            for entry in entries
        ]
        return display.table(("when", "who", "what", display.sentence("did")), rows) if rows else "none"


def _moment(forecast: Forecast) -> str:
    """Up to when the forecast knows something."""
    if forecast.known_until is None:
        return f"the close of {display.day(forecast.as_of)}"
    return date_format(timezone.localtime(forecast.known_until), "DATETIME_FORMAT")


def _leads(forecast: Forecast) -> SafeString:
    moves = forecast.leads or ()
    rows = [(each["symbol"], each["session"], display.percent(each["percentage"], places=2, signed=True)) for each in moves]
    return display.table(("lead", "session", "move"), rows) if rows else SafeString()


def _kind(horizon: int, basis: str) -> str:
    return str(Basis(basis).label) if horizon == 1 else f"{Basis(basis).label}, {display.count(horizon, 'session')} ahead"


def _figures(name: str, record: Record, symbol: Symbol) -> Sequence[str]:
    """One row of the record."""
    inside = display.NOTHING if record.coverage is None else display.percent(100 * record.coverage)
    errors = (display.price(record.mae, currency=symbol.currency), display.figure(record.mase, places=3))
    return (name, f"{record.forecasts:,}", inside, *errors, display.figure(record.pinball_ratio, places=3))


def _training(training: Training) -> Sequence[str]:
    """One row of the trainings."""
    version: ModelVersion | None = getattr(training, "version", None)
    result = display.link(ModelVersion, version.pk, str(version)) if version else display.shortened(training.error)
    return (
        display.link(Training, training.pk, date_format(timezone.localtime(training.created_at), "DATETIME_FORMAT")),
        display.badge(training.state, STATE_TONES.get(TrainingState(training.state), Tone.QUIET)),
        training.get_reason_display(),
        training.requested_by or display.NOTHING,
        display.span(training.duration),
        display.with_note(result, display.sentence(version.decision)) if version else result,
    )


def _logged(model: type[Model], rows: QuerySet[Model]) -> Q:
    """Entries of the log about these rows; the log keeps keys as text."""
    keys = rows.order_by().annotate(key=Cast("pk", TextField())).values("key")
    return Q(content_type=ContentType.objects.get_for_model(model), object_id__in=keys)
