"""Pagination of the read-only lists."""

from collections.abc import Iterable
from typing import Any, cast

from django.core.paginator import EmptyPage, Page, Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.functional import cached_property
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from forecasting.api.parameters import whole_number
from forecasting.api.written import json_response, json_text
from forecasting.models.pages import PreparedPages


class RowPaginator(Paginator):  # type: ignore[type-arg] # it is no generic class when the program runs
    """Counts all rows without the columns and relations that a list adds; they make the count several times as slow."""

    @cached_property
    def count(self) -> int:
        """The number of rows on all pages."""
        rows = cast("QuerySet[Any, Any]", self.object_list)
        return rows.count() if rows.query.where else rows.model._default_manager.count()

    def page(self, number: int) -> "Page[Any]":  # type: ignore[override] # it has been parsed already
        """The rows of a page. Raises EmptyPage if there is none."""
        if not isinstance(self.object_list, PreparedPages):
            return super().page(number)
        found = self.object_list.page(offset=(number - 1) * self.per_page, limit=self.per_page)
        if number > 1 and not found.rows:
            raise EmptyPage
        self.count = found.total
        return Page(found.rows, number, self)


class Pages(PageNumberPagination):
    """Pages by number, of a size that the client may choose. Raises ValidationError for anything but a whole number."""

    django_paginator_class = RowPaginator
    page_size = 50
    page_query_description = "Page number, from 1."
    page_size_query_param = "page_size"
    max_page_size = 500
    page_size_query_description = f"Rows per page: {page_size} by default, at most {max_page_size}."

    def get_page_number(self, request: Request, paginator: "Paginator[Any]") -> int:
        """The requested page, from 1."""
        return whole_number(request.query_params, self.page_query_param, default=1)

    def get_page_size(self, request: Request) -> int:
        """The requested number of rows."""
        return whole_number(request.query_params, self.page_size_query_param, default=self.page_size, most=self.max_page_size)

    def response(self, rows: Iterable[bytes]) -> HttpResponse:
        """A page of rows that are JSON texts, with the addresses of its neighbours."""
        count = cast("Page[Any]", self.page).paginator.count
        around = json_text({"count": count, "next": self.get_next_link(), "previous": self.get_previous_link()})
        return json_response(around[:-1] + b',"results":[' + b",".join(rows) + b"]}")

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Both parameters, with their ranges."""
        ranges = {self.page_query_param: {"minimum": 1}, self.page_size_query_param: {"minimum": 1, "maximum": self.max_page_size}}
        parameters = super().get_schema_operation_parameters(view)
        return [each | {"schema": each["schema"] | ranges[each["name"]]} for each in parameters]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A page. The addresses of its neighbours keep the filters. The example is a list of one row."""
        address = {"type": "string", "format": "uri", "nullable": True, "example": None}
        return {
            "type": "object",
            "required": ["count", "next", "previous", "results"],
            "properties": {
                "count": {"type": "integer", "description": "Rows on all pages.", "example": 1},
                "next": address | {"description": "Address of the next page."},
                "previous": address | {"description": "Address of the previous page."},
                "results": schema,
            },
        }
