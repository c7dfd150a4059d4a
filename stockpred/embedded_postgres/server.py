"""Start, attach to and stop the embedded Postgres. This module does not use Django; see `base`.

Process ids do not prove that a server runs: they may be stale, or belong to a zombie or another program. Two signs count
instead. A running server answers on its socket. And each of its processes, including `initdb`, inherits a lock that the kernel
releases after the last one ends.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from stockpred.embedded_postgres.folders import PORT, Folders
from stockpred.embedded_postgres.launch import SUPERUSER, launch
from stockpred.embedded_postgres.locks import exclusive, try_lock, until
from stockpred.embedded_postgres.permissions import create_account

TIMEOUT = 60.0  # seconds to wait for another starter, for a start with crash recovery, or for a shutdown
LOG_LINES = 15  # from the end of the server's log, in an error message
ADVICE = (
    "To use your own Postgres instead, set DATABASE_URL=postgres://user:password@host:5432/name (in the environment or in .env)."
)


class EmbeddedPostgresError(psycopg.OperationalError):
    """The embedded Postgres cannot be used. The message says why, and names the log and the alternative.

    It is an OperationalError, so that Django handles it like any unreachable database.
    """


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One embedded Postgres. Creating this object starts and writes nothing."""

    folders: Folders

    database_name: ClassVar[str] = "stockpred"
    user: ClassVar[str] = SUPERUSER

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The server that stores everything in `folder`, or in a private folder if `folder` cannot be used.

        Raises EmbeddedPostgresError if no account can run it.
        """
        try:
            return cls(Folders.at(folder))
        except KeyError as error:
            raise EmbeddedPostgresError(f"Postgres cannot run as this user: {error.args[0]}. {ADVICE}") from error

    @property
    def socket(self) -> Path:
        """The folder of the server's socket, which libpq and Django call the host."""
        return self.folders.socket

    def django_database(self) -> dict[str, Any]:
        """The entry for Django's DATABASES. Django also needs this server as the setting EMBEDDED_POSTGRES."""
        return {
            "ENGINE": "stockpred.embedded_postgres",
            "NAME": self.database_name,
            "USER": self.user,
            "HOST": str(self.socket),
            "PORT": str(PORT),  # otherwise libpq uses PGPORT
            "OPTIONS": self._trust,
        }

    def is_running(self) -> bool:
        """Whether a server answers and accepts connections."""
        return PGconn.ping(self._conninfo("postgres").encode()) == Ping.OK

    def ensure(self) -> None:
        """Start the server if necessary; return as soon as it accepts connections to its database.

        Safe for concurrent processes and threads. Takes a few milliseconds if the server runs. Raises EmbeddedPostgresError.
        """
        if self._takes_connections():
            return
        with self._explained("cannot start", ADVICE):
            create_account(self.folders.account)
            self._take_over()
            self.folders.claim()
            with self._only_one():
                self._start()
                self._create_database()

    def stop(self) -> bool:
        """Shut the server down, close its connections, and wait for its end. False if none was running.

        Raises EmbeddedPostgresError if it cannot be stopped.
        """
        with self._explained("cannot be stopped"):
            if not self.folders.root.exists():
                return False
            with self._only_one():
                return self._stop(signal.SIGINT)  # fast shutdown: clean, but without waiting for clients

    def destroy(self) -> bool:
        """Stop the server, and delete its data and all other files made for it. False if none was running.

        Raises EmbeddedPostgresError if it cannot be stopped or a file cannot be deleted.
        """
        with self._explained("cannot be deleted"):
            if not self.folders.root.exists():
                return False
            with self._only_one():
                found = self._stop(signal.SIGQUIT)  # immediate shutdown: the data are deleted next, so nothing is written
                self.folders.delete()
                return found

    def _take_over(self) -> None:
        """Stop a server that an earlier release runs under another account, and take its data over."""
        if not self.folders.of_earlier_account():
            return
        with self._only_one():
            self._stop(signal.SIGINT)
            self.folders.adopt()

    def _only_one(self) -> AbstractContextManager[None]:
        """The lock of the one process that starts, stops or deletes the server. It may take up to `TIMEOUT` itself."""
        return exclusive(self.folders.start_lock, timeout=2 * TIMEOUT)

    @property
    def _trust(self) -> dict[str, str]:
        """The libpq option that refuses a server run by another user."""
        return {"requirepeer": self.folders.account.pw_name}

    def _conninfo(self, database: str) -> str:
        server = {"host": str(self.socket), "port": str(PORT), "user": self.user, **self._trust}
        return make_conninfo("", **server, dbname=database, connect_timeout="5")

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(self._conninfo(self.database_name)).close()
        except psycopg.OperationalError:
            return False
        return True

    def _start(self) -> None:
        launched = False
        for _ in until(TIMEOUT, "its processes neither accept connections nor end"):
            if self.is_running():
                return
            with try_lock(self.folders.alive_lock) as alive:
                if alive is None:  # it starts, recovers or shuts down, or processes of a crashed server still run
                    continue
                if launched:
                    raise ChildProcessError("the server ended while it started")
                launch(self.folders, alive=alive)
                launched = True

    def _create_database(self) -> None:
        with closing(psycopg.connect(self._conninfo("postgres"), autocommit=True)) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [self.database_name]).rowcount:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database_name)))

    def _stop(self, shutdown: signal.Signals) -> bool:
        found = False
        for _ in until(TIMEOUT, "its processes do not end"):
            with try_lock(self.folders.alive_lock) as alive:
                if alive is not None:
                    break
            found = True
            with suppress(FileNotFoundError, ProcessLookupError):  # not started yet, or just ended
                os.kill(self._postmaster_id(), shutdown)  # harmless when repeated
        return found

    def _postmaster_id(self) -> int:
        """The id in the server's pid file. It is valid only while a process of the server lives."""
        return int((self.folders.data / "postmaster.pid").read_text().partition("\n")[0])

    @contextmanager
    def _explained(self, failure: str, advice: str = "") -> Iterator[None]:
        try:
            yield
        except (OSError, subprocess.SubprocessError) as error:
            told = [f"The embedded Postgres in {self.folders.root} {failure}: {error}", *self._end_of_log(), advice]
            raise EmbeddedPostgresError("\n".join(told).rstrip()) from error

    def _end_of_log(self) -> list[str]:
        with suppress(OSError):
            lines = self.folders.log.read_text(errors="replace").splitlines()
            return [f"The end of its log {self.folders.log}:", *(f"    {line}" for line in lines[-LOG_LINES:])]
        return [f"Its log {self.folders.log} does not exist."]
