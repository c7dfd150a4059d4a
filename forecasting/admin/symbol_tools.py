"""The buttons of a symbol's page, and the field that finds a symbol from every page."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST, require_safe

from forecasting import market, registry
from forecasting.admin import retraining
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.callers.caller import caller_of
from forecasting.models import ModelVersion, Symbol
from forecasting.pipeline.serving.verified import ArtifactError
from forecasting.training import pausing

MAY_PIN = "forecasting.change_modelversion"  # pinning activates versions

REMOVAL = (
    "Requests for it are refused, its trainings are cancelled, and the daily job leaves it out. Prices, versions, forecasts and "
    "scores stay, and it can be put back at any time."
)


class Tool(NamedTuple):
    """What a button does for symbols at the request of somebody, and what the user and the symbols' histories are told."""

    do: Callable[[Sequence[Symbol], str], None]
    told: str


def _pin(symbols: Sequence[Symbol], by: str) -> None:
    for symbol in symbols:
        registry.pin(ModelVersion.objects.select_related("symbol").active().get(symbol=symbol), by=by)


def _unpin(symbols: Sequence[Symbol], by: str) -> None:
    for symbol in symbols:
        registry.unpin(symbol, by=by)


TOOLS = {
    "pause": Tool(lambda symbols, by: pausing.pause(symbols, by=by), "Automatic training paused."),
    "resume": Tool(lambda symbols, by: pausing.resume(symbols, by=by), "Automatic training resumed."),
    "pin": Tool(_pin, "Active version pinned."),
    "unpin": Tool(_unpin, "Version unpinned."),
    "restore": Tool(lambda symbols, by: market.restore(symbols, by=by), "Put back into service."),
}
PINNING = {"pin", "unpin"}


class SymbolTools(ReadOnlyAdmin):
    """The addresses of the buttons. All but `remove`, which asks first, take only POST."""

    def get_urls(self) -> list[URLPattern]:
        """The standard pages, the targets of the buttons, and the search."""
        view, name = self.admin_site.admin_view, "forecasting_symbol_{}".format
        tools = [
            path(f"<int:pk>/{tool}/", view(require_POST(partial(self.use_tool, tool=tool))), name=name(tool)) for tool in TOOLS
        ]
        others = [
            path("<int:pk>/retrain/", view(require_POST(self.retrain_one)), name=name("retrain")),
            path("<int:pk>/remove/", view(self.remove), name=name("remove")),
            path("find/", view(require_safe(self.find)), name=name("find")),
        ]
        return [*tools, *others, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The details, with the buttons that the user may press."""
        may_act = self.has_act_permission(request)
        context = {"may_act": may_act, "may_pin": may_act and request.user.has_perm(MAY_PIN)}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def use_tool(self, request: HttpRequest, pk: int, *, tool: str) -> HttpResponse:
        """Does what the button says, notes it in the symbol's history, and returns to its page."""
        symbol = self._acted_upon(request, pk)
        if tool in PINNING and not request.user.has_perm(MAY_PIN):
            raise PermissionDenied
        try:
            self.use_tool_on(request, [symbol], tool=tool)
        except ArtifactError as error:
            self.message_user(request, f"Not pinned, because the files cannot be used: {error}", messages.ERROR)
        except ModelVersion.DoesNotExist:
            self.message_user(request, f"{symbol} has no version of its own that could be pinned.", messages.ERROR)
        return self._page_of(symbol)

    def use_tool_on(self, request: HttpRequest, symbols: Iterable[Symbol], *, tool: str) -> None:
        """The same for several symbols, with as many queries."""
        wanted, told = list(symbols), TOOLS[tool].told
        with transaction.atomic():
            TOOLS[tool].do(wanted, str(caller_of(request.user)))
            LogEntry.objects.log_actions(str(request.user.pk), wanted, CHANGE, change_message=told)
        self.message_user(request, told, messages.SUCCESS)

    def retrain_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Requests a training."""
        symbol = self._acted_upon(request, pk)
        retraining.request_trainings(self, request, Symbol.objects.filter(pk=pk))
        return self._page_of(symbol)

    def remove(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks, and then takes the symbol out of service."""
        symbol = self._acted_upon(request, pk)
        if request.method == "POST":
            with transaction.atomic():
                market.remove([symbol], by=str(caller_of(request.user)))
                self.log_change(request, symbol, "Taken out of service.")
            self.message_user(request, f"{symbol} is out of service.", messages.SUCCESS)
            return self._page_of(symbol)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Take {symbol} out of service?",
            "text": REMOVAL,
            "button": "Take out of service",
            "deletes": True,
            "cancel": reverse("admin:forecasting_symbol_change", args=[pk]),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/forecasting/confirm.html", context)

    def find(self, request: HttpRequest) -> HttpResponse:
        """The page of a symbol, by its ticker or by the start of only one; the list of several; or the page that adds it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        names = [name.upper() for name in re.split(r"[\s,;\0]+", request.GET.get("q", "")) if name]  # Postgres refuses \0
        if len(names) > 1:
            return _list(ticker__in=",".join(names))
        found = list(Symbol.objects.named(names) or Symbol.objects.filter(ticker__startswith=names[0])[:2]) if names else []
        if len(found) == 1:
            return self._page_of(found[0])
        if not names or found or not self.has_add_permission(request):
            return _list(**({"q": names[0]} if names else {}))
        return HttpResponseRedirect(reverse("admin:forecasting_symbol_add", query={"symbols": names[0]}))

    def _acted_upon(self, request: HttpRequest, pk: int) -> Symbol:
        if not self.has_act_permission(request):
            raise PermissionDenied
        return get_object_or_404(Symbol, pk=pk)

    def _page_of(self, symbol: Symbol) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:forecasting_symbol_change", args=[symbol.pk]))


def _list(**query: str) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:forecasting_symbol_changelist", query=query))
