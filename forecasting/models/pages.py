"""Pages of a list without filters: compiled once per process, the first page planned once per connection, each with the count.

The ORM compiles the query each time, counts in another one, and builds rows through signals. Most of a list's time went there.
A row that the database sends again as it was gives the same instance, with the text that has been written from it.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from django.contrib.postgres.fields import ArrayField
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models.expressions import RawSQL
from django.db.models.sql.compiler import SQLCompiler

from forecasting.models.prepared import PreparedStatement, Statement, instance

Row = TypeVar("Row", bound=models.Model)
Reader = Callable[[Sequence[Any]], Any]

TOTAL = "rows_on_all_pages"  # annotation
LAST = 2**63 - 1  # Postgres counts no further


class PageOfRows(NamedTuple, Generic[Row]):
    """Some rows, and how many there are on all pages; 0 if this page is empty."""

    rows: list[Row]
    total: int


class PreparedPages(Generic[Row]):
    """The pages of a queryset that is the same for all requests. It may select related rows and have annotations."""

    def __init__(self, queryset: "models.QuerySet[Row, Any]", *, usual: int) -> None:
        """`usual`: the number of rows on most pages that are read."""
        self._queryset, self._usual = queryset, usual
        self._first = PreparedStatement(f"first_{queryset.model._meta.model_name}_page", [], lambda: self._limited(0, usual))

    def page(self, *, offset: int, limit: int) -> PageOfRows[Row]:
        """The rows from `offset` on. One statement."""
        found = self._first.rows() if (offset, limit) == (0, self._usual) else self._found(min(offset, LAST), limit)
        place = self._compiler.annotation_col_map[TOTAL]
        rows = [self._read((*row[:place], None, *row[place + 1 :])) for row in found]
        return PageOfRows(rows, found[0][place] if found else 0)

    def _found(self, offset: int, limit: int) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(*self._limited(offset, limit))
            rows: list[Any] = cursor.fetchall()
        return rows

    def _limited(self, offset: int, limit: int) -> Statement:
        """Both numbers are constants: without them, the planner would expect a tenth of all rows."""
        sql, constants = self._compiled
        return f"{sql} LIMIT %s OFFSET %s", (*constants, limit, offset)

    @cached_property
    def _compiled(self) -> Statement:
        sql, constants = self._compiler.as_sql()
        return sql, constants

    @cached_property
    def _compiler(self) -> SQLCompiler:
        counted, constants = self._queryset.order_by().values("pk").query.sql_with_params()
        total = RawSQL(f"SELECT count(*) FROM ({counted}) AS counted", constants)  # noqa: S608, S611 - made by the ORM
        compiler: SQLCompiler = self._queryset.annotate(**{TOTAL: total}).query.get_compiler(DEFAULT_DB_ALIAS)
        return compiler

    @cached_property
    def _converters(self) -> dict[int, Any]:
        converters: dict[int, Any] = self._compiler.get_converters([column for column, _, _ in self._compiler.select])
        return converters

    @cached_property
    def _read(self) -> Reader:
        main = _reader(self._compiler.select, self._compiler.klass_info)
        annotations = [(name, place) for name, place in self._compiler.annotation_col_map.items() if name != TOTAL]

        def read(sent: Sequence[Any]) -> Any:
            (row,) = self._compiler.apply_converters([sent], self._converters)
            built = main(row)
            for name, place in annotations:
                setattr(built, name, row[place])
            return built

        has_arrays = any(isinstance(column.output_field, ArrayField) for column, _, _ in self._compiler.select)
        if has_arrays:
            return read  # an array comes as a list, which cannot be a key
        return lru_cache(self._usual)(read)  # a row of versions takes 15 kB


def _reader(select: Sequence[Any], described: dict[str, Any]) -> Reader:
    """A function from a row of the database to an instance with its related instances, or None. `described`: by the compiler."""
    model, places = described["model"], described["select_fields"]
    names = [select[place][0].target.attname for place in places]
    key = places[names.index(model._meta.pk.attname)]
    related = [
        (_reader(select, each), each["local_setter"], each["remote_setter"]) for each in described.get("related_klass_infos", ())
    ]

    def read(row: Sequence[Any]) -> Any:
        if row[key] is None:
            return None
        built = instance(model, names, [row[place] for place in places])
        for other, set_here, set_there in related:
            found = other(row)
            set_here(built, found)
            if found is not None:
                set_there(found, built)
        return built

    return read
