"""The pages for visitors: the front page, and a page for each symbol with its preview picture."""

from datetime import datetime
from http import HTTPStatus
from pathlib import Path

from django.conf import settings
from django.core.paginator import EmptyPage, Paginator
from django.db.models import BigAutoField
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from forecasting import market, serving
from forecasting.api.validity import seconds_of_validity
from forecasting.bokeh import shows_chart
from forecasting.models import Forecast, RequestedName, Symbol
from forecasting.models.conversion import row_in_prices_of_today
from forecasting.models.symbols import TAKEN_OUT, ticker_problem
from forecasting.pages import cards, previews
from forecasting.pages.answers import MAX_AGE, page, problem, shown, whose
from forecasting.pages.promise import kept
from forecasting.pages.story import story
from forecasting.serving import Prediction

DOCUMENTS = {"README.md": "README.md", "forecasts.md": "docs/forecasts.md", "api.md": "docs/api.md"}
PICTURE_SECONDS = 86_400  # a picture never changes; after so long, an old page may be fetched again


def front(request: HttpRequest) -> HttpResponseBase:
    """The front page; Swagger UI without PUBLIC_PAGES."""
    return home(request) if settings.PUBLIC_PAGES else redirect("/swagger")


@page
def home(request: HttpRequest) -> HttpResponseBase:
    """The newest forecasts, and what became of all earlier ones. A search leads to its symbol."""
    asked = request.GET.get("symbol", "").strip().upper()
    why = ticker_problem(asked) if asked else None
    if asked and not why:
        return redirect("symbol-page", ticker=asked)
    keys = cards.newest()
    try:
        listed = Paginator(keys, cards.PER_PAGE).page(_number(request.GET.get("page", "1")))
    except EmptyPage:
        raise Http404("The list of forecasts is not that long.") from None
    context = {
        "asked": asked[:100],
        "why": why,
        "listed": listed,
        "cards": cards.cards(list(listed)),
        "kept": kept(),
        "address": request.build_absolute_uri(reverse("front-page")),
    }
    return shown(request, "home.html", context, status=HTTPStatus.BAD_REQUEST if why else HTTPStatus.OK)


@page
def symbol(request: HttpRequest, ticker: str) -> HttpResponseBase:
    """What is forecast of a symbol, and how its earlier forecasts turned out."""
    name, now = ticker.strip().upper(), timezone.now()
    if why := ticker_problem(name):
        return problem(request, HTTPStatus.NOT_FOUND, "This is no symbol", why, asked=name[:100])
    if name != ticker:
        return redirect("symbol-page", ticker=name, permanent=True)
    prediction = serving.answer_that_stands(name, now=now)
    if prediction is None:
        found = Symbol.objects.named([name]).first()
        if found is None or not found.is_in_service or not found.followed:
            return _not_followed(request, name, found, now=now)
        prediction = _last_said(found, now=now)
    return _symbol_page(request, prediction, now=now)


@page
def preview(request: HttpRequest, ticker: str, forecast: int) -> HttpResponseBase:
    """The picture of a forecast, if the worker has drawn it."""
    sayable = not ticker_problem(ticker) and forecast <= BigAutoField.MAX_BIGINT
    found = Symbol.objects.in_service().named([ticker]).first() if sayable else None
    path = previews.folder() / previews.name(found.pk, forecast) if found else None
    if path is None or not path.is_file():
        raise Http404("There is no such picture.")
    headers = {"Cache-Control": f"{whose(request)}, max-age={PICTURE_SECONDS}"}
    return FileResponse(path.open("rb"), content_type="image/png", headers=headers)


@page
def document(request: HttpRequest, name: str) -> HttpResponseBase:
    """A page of the documentation, as it was written."""
    if name not in DOCUMENTS:
        raise Http404("There is no such page of the documentation.")
    text = (Path(settings.BASE_DIR) / DOCUMENTS[name]).read_text()
    return HttpResponse(
        text, content_type="text/plain; charset=utf-8", headers={"Cache-Control": f"{whose(request)}, max-age={MAX_AGE}"}
    )


def _symbol_page(request: HttpRequest, prediction: Prediction, *, now: datetime) -> HttpResponse:
    told = story(prediction)
    address = request.build_absolute_uri(reverse("symbol-page", kwargs={"ticker": told.ticker}))
    picture = told.picture and request.build_absolute_uri(
        reverse("preview", kwargs={"ticker": told.ticker, "forecast": told.picture})
    )
    context = {"story": told, "ticker": told.ticker, "address": address, "picture": picture}
    age = min(MAX_AGE, seconds_of_validity([prediction], now=now))
    context["size"] = previews.WIDTH, previews.HEIGHT
    response: HttpResponse = shows_chart(shown)(request, "symbol.html", context, max_age=age)
    return response


def _last_said(symbol: Symbol, *, now: datetime) -> Prediction:
    """The newest forecast of a symbol, if its newest bar has none yet by the version that serves now."""
    found = Forecast.objects.newest_of(Symbol.objects.named([symbol.ticker])).with_closes(1)
    newest = found.select_related("symbol", "version").first()
    stale = newest is not None and market.is_stale(symbol, newest.as_of, now=now)
    return Prediction(symbol, newest and row_in_prices_of_today(newest), stale=stale)


def _not_followed(request: HttpRequest, name: str, found: Symbol | None, *, now: datetime) -> HttpResponse:
    """Why there is no page of a name."""
    if found and not found.is_in_service:
        return problem(request, HTTPStatus.GONE, f"{name} is no longer forecast", f"{TAKEN_OUT.capitalize()}.", asked=name)
    known = RequestedName.objects.named([name]).remembered(now=now).first()
    why = f"The price source said: {known.reason}." if known and known.reason else ""
    like = list(Symbol.objects.like([name]).values_list("ticker", flat=True)[:5]) if found is None else []
    return problem(
        request, HTTPStatus.NOT_FOUND, f"{name} is not followed yet", why, asked=name, suggestions=like, how_to_start=True
    )


def _number(text: str) -> int:
    """The page's number; raises Http404 for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise Http404("A page has a number.")
    return int(text)
