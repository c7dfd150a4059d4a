"""Every page of the service, by name: what is photographed, checked by axe, and measured. A new page is one line in `pages`.

Lists and details of the admin come from its registry.
"""

from dataclasses import dataclass

from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from forecasting.models import Symbol

CHART = "figure[data-loaded]"


@dataclass(frozen=True, slots=True)
class Page:
    """A page, whether it needs a member of staff, and what is there once its scripts have drawn it (a CSS selector)."""

    name: str
    address: str
    staff: bool = True
    drawn: str = "body"


def pages(ticker: str = "") -> list[Page]:
    """The pages that exist in this database. `ticker`: whose details are shown, by default the first symbol's."""
    symbol = Symbol.objects.filter(ticker=ticker or None).first() or Symbol.objects.order_by("pk").first()
    named = [
        Page("login", reverse("admin:login"), staff=False),
        Page("swagger", "/swagger", staff=False, drawn=".opblock"),
        Page("home", reverse("admin:index")),
        *([Page("visitors", "/", staff=False)] if _is_there("/") else []),
        *([Page("visitors-symbol", f"/s/{symbol}", staff=False, drawn=CHART)] if symbol and _is_there(f"/s/{symbol}") else []),
    ]
    return named + [page for model in admin.site._registry for page in _pages_of(model, symbol)]


def _pages_of(model: type[Model], symbol: Symbol | None) -> list[Page]:
    """The list, and the page of the newest row: the symbol's, if rows belong to symbols."""
    kind = f"{model._meta.app_label}_{model._meta.model_name}"
    rows = model._default_manager.all()
    if "symbol" in {field.name for field in model._meta.fields}:
        rows = rows.filter(symbol=symbol)
    row = symbol if model is Symbol else rows.first()
    listed = Page(f"{model._meta.model_name}-list", reverse(f"admin:{kind}_changelist"))
    if row is None:
        return [listed]
    drawn = CHART if model is Symbol else "body"
    return [listed, Page(f"{model._meta.model_name}", reverse(f"admin:{kind}_change", args=[row.pk]), drawn=drawn)]


def _is_there(address: str) -> bool:
    """Whether an address has a page of its own."""
    return Client(headers={"host": "localhost"}).get(address).status_code == 200
