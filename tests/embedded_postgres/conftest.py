"""Servers for the tests, and their folders."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stockpred.embedded_postgres.server import EmbeddedPostgres


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter. The server of root runs as another user, who cannot enter pytest's folders."""
    folder = Path(tempfile.mkdtemp(prefix="stockpred-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(open_folder: Path) -> Path:
    """An empty folder for one test that every user can enter."""
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def new(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server that never ran."""
    server = EmbeddedPostgres.at(folder / "postgres")
    yield server
    server.destroy()


@pytest.fixture(scope="session")
def shared(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server shared by many tests, because creating its data takes as long as ten tests."""
    server = EmbeddedPostgres.at(open_folder / "shared")
    server.ensure()
    yield server
    server.destroy()


@pytest.fixture
def running(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """A running server."""
    shared.ensure()
    return shared


@pytest.fixture
def stopped(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server that ran before and is stopped now."""
    shared.stop()
    return shared
