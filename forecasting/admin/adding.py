"""The page that adds symbols: asks the price source for each pasted name, as `check` does, and shows what it said."""

import re
from collections.abc import Sequence

from django import forms
from django.conf import settings
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from forecasting import market, serving
from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.export import ModelAdmin
from forecasting.callers.budgets import NewSymbols
from forecasting.callers.caller import caller_of
from forecasting.models import Symbol
from forecasting.models.symbols import ticker_problem
from forecasting.training.requests import ModelStatus

MOST = 200  # names at once


class NamesForm(forms.Form):
    """Names, one per line or separated by commas or spaces."""

    symbols = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 8, "cols": 40, "autofocus": True, "spellcheck": "false"}),
        help_text="As the price source writes them, such as PETR4.SA or AAPL: one per line, or separated by commas or spaces.",
    )

    def clean_symbols(self) -> list[str]:
        """The names in upper case, each one once. Raises ValidationError if a name cannot be a symbol."""
        words = re.split(r"[\s,;]+", self.cleaned_data["symbols"])
        names = list(dict.fromkeys(word.upper() if word.isascii() else word for word in words if word))
        if len(names) > MOST:
            raise ValidationError(f"These are {len(names)} names; give at most {MOST} at once.")
        if problems := [f"{name[:30]}: {problem}" for name in names if (problem := ticker_problem(name))]:
            raise ValidationError(problems)
        return names


def add_symbols(admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """The form, and below it what became of each name. Names without an answer stay in the form."""
    if not admin.has_add_permission(request):
        raise PermissionDenied
    form = NamesForm(request.POST or None, initial={"symbols": request.GET.get("symbols", "")})
    statuses: list[ModelStatus] = []
    new: set[str] = set()
    if form.is_valid():
        statuses, new = _asked(request, form.cleaned_data["symbols"])
        waiting = [status.symbol.ticker for status in statuses if _waits(status)]
        form = NamesForm(initial={"symbols": "\n".join(waiting)})
    context = {
        **admin.admin_site.each_context(request),
        "title": "Add symbols",
        "opts": admin.opts,
        "form": form,
        "rows": [_row(status, is_new=status.symbol.ticker in new) for status in statuses],
        "waiting": any(_waits(status) for status in statuses),
        "media": admin.media,
    }
    return TemplateResponse(request, "admin/forecasting/symbol/add.html", context)


def _asked(request: HttpRequest, names: Sequence[str]) -> tuple[list[ModelStatus], set[str]]:
    """The status of each name after asking the price source, within the caller's budget, and which ones are new symbols."""
    caller = caller_of(request.user)
    known = {*Symbol.objects.followed().named(names).values_list("ticker", flat=True)}
    now, budget_s = timezone.now(), settings.PREDICT_REFRESH_SECONDS
    statuses = serving.standing(names, now=now, budget_s=budget_s, admit=NewSymbols(caller), by=str(caller))
    added = [status.symbol for status in statuses if status.symbol.is_in_service and status.symbol.ticker not in known]
    if added:
        LogEntry.objects.log_actions(str(request.user.pk), added, ADDITION, change_message="Added.")
    return statuses, {symbol.ticker for symbol in added}


def _waits(status: ModelStatus) -> bool:
    """Whether the price source has not said yet if it knows the name."""
    return status.symbol.pk is None and not status.refusal


def _row(status: ModelStatus, *, is_new: bool) -> tuple[SafeString | str, SafeString, str]:
    """The symbol, what became of it, and the reason."""
    symbol = status.symbol
    if symbol.pk is None:
        if _waits(status):
            return symbol.ticker, display.badge("not checked yet", Tone.BUSY), f"{capfirst(market.NO_ANSWER)}."
        return symbol.ticker, display.badge("refused" if status.refused else "unknown", Tone.BAD), f"{capfirst(status.refusal)}."
    link = display.link(Symbol, symbol.pk, symbol.ticker)
    if symbol.removed_at:
        return link, display.badge("out of service", Tone.WARNING), "Put it back on its page."
    told = f"Training not started: {status.refusal}." if status.refusal else _training(status)
    return link, display.badge("added" if is_new else "known already", Tone.GOOD if is_new else Tone.QUIET), told


def _training(status: ModelStatus) -> str:
    """What is trained."""
    if status.training:
        return "Its training was requested." if status.started else "A training is under way."
    return f"Version {status.version.number} serves." if status.version else ""
