"""The pages of the read-only lists."""

from typing import Any

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """Pages by number; their size may be chosen."""

    page_query_description = "Number of the page, from 1."
    page_size_query_param = "page_size"
    page_size_query_description = "Rows a page: 50, or up to 500."
    max_page_size = 500

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A page; its neighbours' addresses keep the filters."""
        address = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["count", "next", "previous", "results"],
            "properties": {
                "count": {"type": "integer", "description": "Rows on all pages."},
                "next": address | {"description": "Address of the next page."},
                "previous": address | {"description": "Address of the page before."},
                "results": schema,
            },
        }
