"""Statements that are compiled once per process and planned once per connection.

The ORM compiles a query each time it runs, and Postgres plans it each time. For the query behind `predict`, this took several times
as long as the query itself.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models.base import ModelState
from django.db.models.expressions import RawSQL
from django.utils.functional import cached_property
from psycopg import Connection

Row = TypeVar("Row", bound=models.Model)
Statement = tuple[str, Sequence[Any]]  # SQL and the constants of its placeholders

Find = Callable[[Sequence[str]], Iterable[Row]]  # the rows for some texts

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
        model = self.model

        def read(row: Sequence[Any]) -> Row | None:
            if row[start] is None:
                return None
            values = list(row[start:end])
            for place, decode in decoders.items():
                values[place] = decode(values[place], None, connection)
            return instance(model, names, values)

        return read


def instance(model: type[Row], names: Sequence[str], values: Sequence[Any]) -> Row:
    """A stored row with these columns; the others are loaded when they are read.

    The same as `from_db` gives, without its loop over all fields and its signals, which took most of the time.
    """
    built = model.__new__(model)
    built.__dict__.update(zip(names, values, strict=True))
    built._state = ModelState()
    built._state.adding, built._state.db = False, DEFAULT_DB_ALIAS
    return built


class PreparedStatement:
    """A statement with the parameters `$1`, `$2` and so on, of these SQL types. `compiled` is called at the first use."""

    def __init__(self, name: str, types: Sequence[str], compiled: Callable[[], Statement]) -> None:
        self.name, self.types, self.compiled = name, types, compiled
        self._prepare_as = f"{name} ({', '.join(types)})" if types else name
        self._execute = f"EXECUTE {name} ({', '.join(['%s'] * len(types))})" if types else f"EXECUTE {name}"
        self._known = WeakSet[Connection[Any]]()

    def rows(self, *values: Any) -> list[Any]:
        """What the statement returns. One statement, and another one at the first use of a connection."""
        with connection.cursor() as cursor:
            if connection.connection not in self._known:
                self._prepare(connection.connection)
            cursor.execute(self._execute, values)
            rows: list[Any] = cursor.fetchall()
        return rows

    def _prepare(self, session: "Connection[Any]") -> None:
        """Past Django's cursor, so that the number of logged statements does not depend on which connections exist."""
        sql, constants = self.compiled()
        with connection.wrap_database_errors:
            # Otherwise Postgres would go on planning each execution, for the number of values that it finds.
            session.execute("SET plan_cache_mode = force_generic_plan")
            session.execute(f"PREPARE {self._prepare_as} AS {sql}", constants)
        self._known.add(session)


class Prepared(Generic[Row]):
    """A query with one parameter, `$1`: a list of values of one SQL type."""

    def __init__(
        self,
        name: str,
        main: Columns[Row],
        *,
        of: str = "text",
        related: Mapping[str, Columns[Any]],
        objects: Sequence[str] = (),
        values: Sequence[str] = (),
        remembered: int = 0,
        statement: Callable[[list[str]], Statement],
    ) -> None:
        """`related`, `objects` and `values` become attributes of the rows: instances, which need no foreign key, JSON objects, and
        values as they are.

        `remembered`: how many rows keep their instance, so that it is the same until the database sends another row.

        `statement` gets the names of all columns, as `values_list` takes them. It is called at the first use.
        """
        self._parts = {"": main, **related}
        self._objects, self._values, self._remembered = objects, values, remembered
        self.statement = PreparedStatement(name, [f"{of}[]"], lambda: statement(self._columns))

    def rows(self, values: Sequence[Any]) -> Iterator[Row]:
        """The rows for these values."""
        return map(self.read, self.statement.rows(list(values)))

    @property
    def _columns(self) -> list[str]:
        parts = [(f"{part}__" if part else "", columns.fields) for part, columns in self._parts.items()]
        return [*(prefix + field.attname for prefix, fields in parts for field in fields), *self._objects, *self._values]

    @cached_property
    def read(self) -> Callable[[Sequence[Any]], Row]:
        """A function from what the database sends to a row."""
        start = 0
        readers: dict[str, Callable[[Sequence[Any]], Any]] = {}
        for part, columns in self._parts.items():
            readers[part] = columns.reader(start)
            start += len(columns.fields)
        readers |= {name: _object_at(place) for place, name in enumerate(self._objects, start)}
        readers |= {name: itemgetter(place) for place, name in enumerate(self._values, start + len(self._objects))}
        main = readers.pop("")
        related = {field.name for field in self._parts[""].model._meta.concrete_fields if field.is_relation}
        relations = {name: reader for name, reader in readers.items() if name in related}
        others = {name: reader for name, reader in readers.items() if name not in related}

        def read(row: Sequence[Any]) -> Row:
            built: Row = main(row)
            for name, reader in relations.items():
                built._state.fields_cache[name] = reader(row)
            for name, reader in others.items():
                built.__dict__[name] = reader(row)
            return built

        return lru_cache(self._remembered)(read) if self._remembered else read


def _object_at(place: int) -> Callable[[Sequence[Any]], Any]:
    """A function that reads a JSON object from a row; it may be null."""
    return lambda row: row[place] and json.loads(row[place])
