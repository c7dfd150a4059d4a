"""Any list as CSV: the rows that pass its filters, in its order, sent while they are read."""

import re
from collections.abc import Callable, Generator, Iterator
from datetime import date, datetime
from html import unescape
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import display_for_field, label_for_field, lookup_field
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db.models import CharField, Model, QuerySet, TextField
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.text import slugify

from forecasting.admin import display
from forecasting.api.csv_lists import csv_lines, file_response
from forecasting.api.errors import TemporarilyUnavailable

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # cannot be subscripted at run time

Column = tuple[str, Callable[[Model], Any]]  # the heading, and the cell of a row

SHORTENED = re.compile('<span title="([^"]*)">[^<]*</span>')  # the list shows its beginning, the file all of it


class Exported(ModelAdmin):
    """Lists with a link to themselves as CSV."""

    exported = True
    csv_fields: tuple[str, ...] = ()  # numbers that the list shows only inside of texts

    def get_urls(self) -> list[URLPattern]:
        """The standard pages, and the file."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_csv"
        return [path("csv/", self.admin_site.admin_view(self.csv), name=name), *super().get_urls()]

    def csv(self, request: HttpRequest) -> HttpResponseBase:
        """All rows that pass the filters of the address."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        every = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        try:
            rows: QuerySet[Model] = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{every}?e=1")
        try:
            return file_response(self._csv_text(request, rows), name=slugify(str(self.opts.verbose_name_plural)))
        except TemporarilyUnavailable as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(f"{every}?{request.GET.urlencode()}")

    def _csv_text(self, request: HttpRequest, rows: QuerySet[Model]) -> Generator[str, None, None]:
        columns = list(self._columns(request))
        headings = [heading for heading, _ in columns]
        return csv_lines(headings, rows, lambda row: [read(row) for _, read in columns])

    def _columns(self, request: HttpRequest) -> Iterator[Column]:
        """The columns of the list as texts, each one followed by the number or the time that it is sorted by, if it is."""
        for name in self.get_list_display(request):
            label, shown = label_for_field(name, self.model, self, return_attr=True)
            if not label:
                continue  # buttons
            yield str(label), _shown_by(str(name), self)
            order = getattr(shown, "admin_order_field", None)
            if isinstance(order, str) and not _is_text(self.model, order.lstrip("-").split("__")):
                yield order.lstrip("-").replace("__", "."), _value_at(order.lstrip("-").split("__"))
        yield from ((name, _value_at([name])) for name in self.csv_fields)


def _shown_by(name: str, model_admin: ModelAdmin) -> Callable[[Model], Any]:
    def read(row: Model) -> Any:
        field, _, value = lookup_field(name, row, model_admin)
        if field is not None and field.flatchoices:
            return display_for_field(value, field, "")
        return _plain(value)

    return read


def _value_at(names: list[str]) -> Callable[[Model], Any]:
    """A function to the row's value at this path of attributes and members; None if there is none."""

    def read(row: Model) -> Any:
        value: Any = row
        for name in names:
            value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        return _plain(value)

    return read


def _is_text(model: type[Model], names: list[str]) -> bool:
    """Whether the column at the end of this path contains text, which the list shows already. Annotations and JSON do not."""
    try:
        field = model._meta.get_field(names[0])
    except FieldDoesNotExist:
        return False
    if field.is_relation and isinstance(field.related_model, type):
        return len(names) == 1 or _is_text(field.related_model, names[1:])
    return isinstance(field, CharField | TextField)


def _plain(value: Any) -> Any:
    """A cell's number, truth value or text without markup; the lines of a cell are joined by semicolons."""
    if isinstance(value, SafeString):
        value = unescape(strip_tags(SHORTENED.sub(r"\1", value).replace("<br>", "; ")))
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float):
        return value
    return "" if str(value) == display.NOTHING else str(value)
