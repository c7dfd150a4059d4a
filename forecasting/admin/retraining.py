"""Requests trainings for staff: what they are told, and where they can watch them."""

from collections.abc import Iterable

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.export import ModelAdmin
from forecasting.callers.caller import caller_of
from forecasting.models import Symbol, Training
from forecasting.models.trainings import ACTIVE_STATES
from forecasting.training import requests as training_requests
from forecasting.training.requests import Requested

UNASKED = 10  # symbols that are retrained without a question
NAMED = 100  # trainings that an address can name


def retrain(admin: ModelAdmin, request: HttpRequest, symbols: QuerySet[Symbol]) -> HttpResponse | None:
    """Requests a training for each symbol in service, up to the limit of the queue, and shows them.

    Asks before more than UNASKED; returns None if there is nothing to show.
    """
    count = symbols.count()
    if count > UNASKED and "confirmed" not in request.POST:
        return _question(admin, request, count)
    trainings = request_trainings(admin, request, symbols)
    return HttpResponseRedirect(address_of(trainings)) if trainings else None


def request_trainings(admin: ModelAdmin, request: HttpRequest, symbols: QuerySet[Symbol]) -> list[Training]:
    """Requests a training for each symbol in service, notes it in their histories and tells the user; returns the trainings."""
    if removed := list(symbols.exclude(removed_at=None)):
        names = ", ".join(symbol.ticker for symbol in removed)
        admin.message_user(request, f"Not trained, because out of service: {names}.", messages.ERROR)
    requested = training_requests.request_many(symbols.filter(removed_at=None), by=str(caller_of(request.user)))
    asked_for = symbols.filter(pk__in=[*requested.trainings])
    LogEntry.objects.log_actions(str(request.user.pk), asked_for, CHANGE, change_message="Training requested.")
    _report(admin, request, requested)
    return list(requested.trainings.values())


def address_of(trainings: Iterable[Training]) -> str:
    """The list of these trainings; of all that wait or run if they are too many for an address."""
    keys = [training.pk for training in trainings]
    query = {"id__in": ",".join(map(str, keys))} if len(keys) <= NAMED else {"state__in": ",".join(ACTIVE_STATES)}
    return reverse("admin:forecasting_training_changelist", query=query)


def _report(admin: ModelAdmin, request: HttpRequest, requested: Requested) -> None:
    """Shows the result for the selected symbols."""
    text = f"{display.count(requested.started, 'training')} started"
    if requested.active:
        text += f", {display.count(requested.active, 'training')} under way already"
    level = messages.SUCCESS if requested.trainings else messages.WARNING
    admin.message_user(request, _linked(f"{text}.", requested), level)
    if requested.refused:
        limit = training_requests.FULL.format(limit=settings.TRAIN_QUEUE_LIMIT)
        admin.message_user(request, f"{display.count(requested.refused, 'training')} not started: {limit}.", messages.ERROR)


def _linked(text: str, requested: Requested) -> SafeString | str:
    """The text as a link to the trainings, if there are any."""
    address = address_of(requested.trainings.values())
    return format_html('<a href="{}">{}</a>', address, text) if requested.trainings else text


def _question(admin: ModelAdmin, request: HttpRequest, count: int) -> HttpResponse:
    across = request.POST.get("select_across") == "1"
    chosen = request.POST.getlist("_selected_action")
    context = {
        **admin.admin_site.each_context(request),
        "title": f"Retrain {display.count(count, 'symbol')}?",
        "text": "Each one takes a place in the queue, before everything that was not requested by staff or a key.",
        "fields": [
            ("action", "retrain"),
            ("confirmed", "1"),
            ("select_across", "1" if across else "0"),
            *(("_selected_action", key) for key in (chosen[:1] if across else chosen)),
        ],
        "button": f"Retrain {count:,}",
        "cancel": reverse("admin:forecasting_symbol_changelist"),
        "opts": admin.opts,
    }
    return TemplateResponse(request, "admin/forecasting/confirm.html", context)
