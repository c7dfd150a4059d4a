"""Servers for the tests, and the folders that they live in."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stockpred.embedded_postgres.server import EmbeddedPostgres


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter: root's server is another user, and pytest's folders are root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="stockpred-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(open_folder: Path) -> Path:
    """An empty folder of one test that every user may enter."""
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def new(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server that has never run."""
    server = EmbeddedPostgres.at(folder / "postgres")
    yield server
    server.destroy()


@pytest.fixture(scope="session")
def shared(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server that many tests start and stop, since making its data takes the time of ten tests."""
    server = EmbeddedPostgres.at(open_folder / "shared")
    server.ensure()
    yield server
    server.destroy()


@pytest.fixture
def running(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server that runs."""
    shared.ensure()
    return shared


@pytest.fixture
def stopped(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server that has run before and does not run now."""
    shared.stop()
    return shared
