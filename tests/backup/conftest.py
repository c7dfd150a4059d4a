"""A second Postgres server, with an empty database for each test."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stockpred.embedded_postgres.server import EmbeddedPostgres
from tests.backup.places import Place, place

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that the account of root's Postgres can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def second_server(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres.at(open_folder / "second")
    server.ensure()
    yield server
    server.destroy()


@pytest.fixture
def empty(second_server: EmbeddedPostgres, tmp_path: Path) -> Place:
    """A place without tables and model files."""
    database = {key: str(value) for key, value in second_server.django_database().items()} | {"NAME": f"target{next(_numbers)}"}
    with psycopg.connect(second_server._conninfo("postgres"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {database['NAME']}".encode())
    return place(tmp_path / "elsewhere", database)
