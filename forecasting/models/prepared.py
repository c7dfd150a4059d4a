"""Queries that are compiled once per process and planned once per connection.

The ORM compiles a query each time it runs, and Postgres plans it each time. For the query behind `predict`, this took several times
as long as the query itself.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models.expressions import RawSQL
from django.utils.functional import cached_property
from psycopg import Connection

Row = TypeVar("Row", bound=models.Model)
Statement = tuple[str, Sequence[Any]]  # SQL and the constants of its placeholders

PARAMETER = RawSQL("SELECT unnest($1)", ())  # the listed texts, for a filter with `__in`


@dataclass(frozen=True)
class Columns(Generic[Row]):
    """The selected columns of one model."""

    model: type[Row]
    names: frozenset[str]

    @cached_property
    def fields(self) -> "list[models.Field[Any, Any]]":
        """The primary key and the named columns, in the order of the model."""
        return [field for field in self.model._meta.concrete_fields if field.primary_key or field.attname in self.names]

    def reader(self, start: int) -> Callable[[Sequence[Any]], Row | None]:
        """A function that reads an instance from a row of the database, from column `start` on. None without a primary key."""
        end = start + len(self.fields)
        names = [field.attname for field in self.fields]
        decoders = {place: field.from_db_value for place, field in enumerate(self.fields) if hasattr(field, "from_db_value")}

        def read(row: Sequence[Any]) -> Row | None:
            if row[start] is None:
                return None
            values = list(row[start:end])
            for place, decode in decoders.items():
                values[place] = decode(values[place], None, connection)
            return self.model.from_db(DEFAULT_DB_ALIAS, names, values)

        return read


class Prepared(Generic[Row]):
    """A query with one parameter, `$1`: a list of texts."""

    def __init__(
        self,
        name: str,
        main: Columns[Row],
        *,
        related: Mapping[str, Columns[Any]],
        objects: Sequence[str] = (),
        statement: Callable[[list[str]], Statement],
    ) -> None:
        """`related` and `objects` become attributes of the rows: instances, which need no foreign key, and JSON objects.

        `statement` gets the names of all columns, as `values_list` takes them. It is called at the first use.
        """
        self.name = name
        self._parts = {"": main, **related}
        self._objects = objects
        self._statement = statement
        self._known = WeakSet[Connection[Any]]()

    def rows(self, values: Sequence[str]) -> Iterator[Row]:
        """The rows for these values. One statement, and another one at the first use of a connection."""
        with connection.cursor() as cursor:
            if connection.connection not in self._known:
                self._prepare(connection.connection)
            cursor.execute(f"EXECUTE {self.name} (%s)", [list(values)])
            return map(self._read, cursor.fetchall())

    def _prepare(self, session: "Connection[Any]") -> None:
        """Past Django's cursor, so that the number of logged statements does not depend on which connections exist."""
        sql, constants = self._compiled
        with connection.wrap_database_errors:
            # Otherwise Postgres would go on planning each execution, for the number of values that it finds.
            session.execute("SET plan_cache_mode = force_generic_plan")
            session.execute(f"PREPARE {self.name} (text[]) AS {sql}", constants)
        self._known.add(session)

    @cached_property
    def _compiled(self) -> Statement:
        parts = [(f"{part}__" if part else "", columns.fields) for part, columns in self._parts.items()]
        return self._statement([*(prefix + field.attname for prefix, fields in parts for field in fields), *self._objects])

    @cached_property
    def _read(self) -> Callable[[Sequence[Any]], Row]:
        start = 0
        readers: dict[str, Callable[[Sequence[Any]], Any]] = {}
        for part, columns in self._parts.items():
            readers[part] = columns.reader(start)
            start += len(columns.fields)
        readers |= {name: _object_at(place) for place, name in enumerate(self._objects, start)}
        main = readers.pop("")

        def read(row: Sequence[Any]) -> Row:
            instance: Row = main(row)
            for name, reader in readers.items():
                setattr(instance, name, reader(row))
            return instance

        return read


def _object_at(place: int) -> Callable[[Sequence[Any]], Any]:
    """A function that reads a JSON object from a row; it may be null."""
    return lambda row: row[place] and json.loads(row[place])
