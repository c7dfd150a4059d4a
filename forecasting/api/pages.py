"""Pagination of the read-only lists."""

from typing import Any

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """Pages by number, of a size that the client may choose."""

    page_size = 50
    page_query_description = "Page number, from 1."
    page_size_query_param = "page_size"
    max_page_size = 500
    page_size_query_description = f"Rows per page: {page_size} by default, at most {max_page_size}."

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
