"""Lists as CSV: the members of a JSON row, flattened, all rows that pass the filters, written as the database delivers them."""

import csv
import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.db.models import Model, QuerySet
from django.http import StreamingHttpResponse
from rest_framework import serializers

from forecasting.api.errors import TemporarilyUnavailable

MEDIA_TYPE = "text/csv"
BATCH_ROWS = 200
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001 # spreadsheets run texts that begin with one of these
AT_ONCE = 1  # streams per process: a client that reads slowly occupies a thread of the web server
PATIENCE_S = 0.2  # a client may ask for the next file before the server has closed the last one

_room = threading.BoundedSemaphore(AT_ONCE)
_patient = threading.Semaphore(1)  # at most one request of a process waits for room, because it occupies a thread, too

Path = tuple[str, ...]
Row = serializers.Serializer[Any]


class Stream:
    """The pieces of a file. It takes up room until its end, or until the response is closed, even if nothing was sent."""

    def __init__(self, pieces: Generator[str, None, None]) -> None:
        self.pieces = pieces
        self.is_open = True

    def __iter__(self) -> Iterator[str]:
        yield from self.pieces
        self.close()

    def close(self) -> None:
        """Makes room, once."""
        self.pieces.close()
        if self.is_open:
            self.is_open = False
            _room.release()


class Line:
    """What csv.writer takes for a file; `writerow` then returns the line."""

    def write(self, line: str) -> str:
        """The line itself."""
        return line


def csv_response(rows: QuerySet[Any], serializer: Row, *, name: str) -> StreamingHttpResponse:
    """The rows as a file. Raises TemporarilyUnavailable like `file_response`."""
    return file_response(csv_text(rows, serializer), name=name)


def file_response(text: Generator[str, None, None], *, name: str) -> StreamingHttpResponse:
    """A file that is sent while it is read. Raises TemporarilyUnavailable if this process sends another one already."""
    if not _has_room():
        raise TemporarilyUnavailable("Another CSV file is being sent; try again shortly.")
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingHttpResponse(Stream(text), content_type=f"{MEDIA_TYPE}; charset=utf-8", headers=headers)


def _has_room() -> bool:
    """Takes up room, if there is some; else waits for it, unless another request does already."""
    if _room.acquire(blocking=False):
        return True
    if not _patient.acquire(blocking=False):
        return False
    try:
        return _room.acquire(timeout=PATIENCE_S)
    finally:
        _patient.release()


def csv_text(rows: QuerySet[Any], serializer: Row) -> Generator[str, None, None]:
    """The rows as the serializer shows them."""
    columns = list(columns_of(serializer))

    def values(row: Model) -> list[Any]:
        shown = serializer.to_representation(row)
        return [_member(shown, path) for path in columns]

    return csv_lines([".".join(path) for path in columns], rows, values)


def csv_lines(headings: Sequence[str], rows: QuerySet[Any], values: Callable[[Any], Sequence[Any]]) -> Generator[str, None, None]:
    """The headings, then the `values` of the rows in pieces of BATCH_ROWS lines."""
    line = csv.writer(Line()).writerow
    yield str(line([cell(heading) for heading in headings]))
    for batch in _batches(rows.iterator(BATCH_ROWS)):
        yield "".join(str(line([cell(value) for value in values(row)])) for row in batch)


def columns_of(serializer: Row) -> Iterator[Path]:
    """The path of each column: nested objects and mappings with fixed keys have one for each member."""
    for name, field in serializer.fields.items():
        if isinstance(field, serializers.Serializer):
            yield from ((name, *path) for path in columns_of(field))
        else:
            yield from ((name, key) for key in field.keys_in_csv) if hasattr(field, "keys_in_csv") else [(name,)]


def cell(value: Any) -> Any:
    """How CSV shows a JSON value. Text that a spreadsheet would run begins with an apostrophe; lists and mappings stay JSON."""
    if isinstance(value, str):
        return f"'{value}" if value.lstrip().startswith(FORMULA) or value.startswith(("\t", "\r", "\n")) else value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | list | dict) else value


def _member(row: Any, path: Path) -> Any:
    """The member at the path, or None."""
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _batches(rows: Iterable[Model]) -> Iterator[list[Model]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_ROWS)):
        yield batch
