"""Start, attach to and stop the embedded Postgres. Plain Python: Django comes in `base`.

Whether a server lives is never judged by a process id, which may be stale, a zombie's or another program's. It answers
on its socket, or it does not; and each of its processes, from `initdb` on, inherits a lock that the kernel takes back
only when the last of them is gone.
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
from stockpred.embedded_postgres.launch import launch
from stockpred.embedded_postgres.locks import exclusive, try_lock, until

TIMEOUT = 60.0  # seconds: to wait for another starter, for a start with its crash recovery, for a shutdown
LOG_LINES = 15  # of the end of the server's log, in an error
ADVICE = (
    "To use a Postgres of your own instead, set DATABASE_URL=postgres://user:password@host:5432/name "
    "(in the environment or in .env)."
)


class EmbeddedPostgresError(psycopg.OperationalError):
    """The embedded Postgres cannot be used: says why, where its log is, and how to use another database.

    An OperationalError, so that Django treats it like that of any database that is away.
    """


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One embedded Postgres. To make one of these objects starts nothing and writes nothing."""

    folders: Folders

    database_name: ClassVar[str] = "stockpred"
    user: ClassVar[str] = "postgres"

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The server that keeps everything in `folder`, or in a private one where that cannot be used.

        Raises EmbeddedPostgresError if there is no account that it could run under.
        """
        try:
            return cls(Folders.at(folder))
        except KeyError as error:
            raise EmbeddedPostgresError(f"Postgres cannot run as this user: {error.args[0]}. {ADVICE}") from error

    @property
    def socket(self) -> Path:
        """The folder of the server's socket: what libpq and Django call the host."""
        return self.folders.socket

    def django_database(self) -> dict[str, Any]:
        """The entry of Django's DATABASES; Django also needs this server as its setting EMBEDDED_POSTGRES."""
        return {
            "ENGINE": "stockpred.embedded_postgres",
            "NAME": self.database_name,
            "USER": self.user,
            "HOST": str(self.socket),
            "PORT": str(PORT),  # else libpq would take it from PGPORT
            "OPTIONS": self._trust,
        }

    def is_running(self) -> bool:
        """Whether a server answers and takes connections."""
        return PGconn.ping(self._conninfo("postgres").encode()) == Ping.OK

    def ensure(self) -> None:
        """Return once the server takes connections to its database; start it if need be.

        Safe from many processes and threads at once. A few milliseconds if it runs. Raises EmbeddedPostgresError.
        """
        if self._takes_connections():
            return
        with self._explained("cannot start", ADVICE):
            self.folders.claim()
            with self._only_one():
                self._start()
                self._create_database()

    def stop(self) -> bool:
        """Shut the server down, which ends its connections, and wait for its end; False if none was running.

        Raises EmbeddedPostgresError if it cannot be stopped.
        """
        with self._explained("cannot be stopped"):
            if not self.folders.root.exists():
                return False
            with self._only_one():
                return self._stop(signal.SIGINT)  # Postgres' fast shutdown: complete, but it waits for no client

    def destroy(self) -> bool:
        """Stop the server; delete its data and everything else that was made for it. False if none was running.

        Raises EmbeddedPostgresError if it cannot be stopped or a file cannot be deleted.
        """
        with self._explained("cannot be deleted"):
            if not self.folders.root.exists():
                return False
            with self._only_one():
                found = self._stop(signal.SIGQUIT)  # its immediate shutdown: nothing is written to be deleted next
                self.folders.delete()
                return found

    def _only_one(self) -> AbstractContextManager[None]:
        """One process at a time starts, stops or deletes the server, and may itself wait as long as `TIMEOUT`."""
        return exclusive(self.folders.start_lock, timeout=2 * TIMEOUT)

    @property
    def _trust(self) -> dict[str, str]:
        """Libpq's option to refuse a server that another user runs in our server's place."""
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
        for _ in until(TIMEOUT, "its processes neither take connections nor end"):
            if self.is_running():
                return
            with try_lock(self.folders.alive_lock) as alive:
                if alive is None:  # it starts up, recovers, shuts down, or its last processes notice its crash
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
            with suppress(FileNotFoundError, ProcessLookupError):  # it has not started yet, or has just ended
                os.kill(self._postmaster_id(), shutdown)  # harmless when repeated
        return found

    def _postmaster_id(self) -> int:
        """The id in the server's pid file, which is to be trusted only while a process of the server lives."""
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
