"""A clock that the processes of a service and its database share, and that can be set forward while they run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import connection, transaction

from tests.seeding import install_clock

SET = "UPDATE moved.clock SET ahead = make_interval(secs => %s)"
# What was a moment ago stays so; else the service would be without a worker until its next heartbeat.
BEATS = "UPDATE forecasting_workerprocess SET seen_at = seen_at + make_interval(secs => %s)"


class Clock:
    """It differs from this machine's clock by what `file` says; tests/chaos/faults/sitecustomize.py reads it."""

    def __init__(self, file: Path, *, at: datetime) -> None:
        """Shows `at` from now on."""
        self._file, self._ahead = file, at - datetime.now(UTC)
        file.write_bytes(self._bytes())

    def install(self) -> None:
        """Makes the database of this process's settings show it to all later connections."""
        install_clock()
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{connection.settings_dict["NAME"]}" SET search_path = moved, pg_catalog, public')
            cursor.execute(SET, [self._ahead.total_seconds()])
        connection.close()

    def now(self) -> datetime:
        """What it shows."""
        return datetime.now(UTC) + self._ahead

    def forward(self, by: timedelta) -> None:
        """Sets it forward, the database first: of two clocks, the one that stamps rows must not be behind."""
        self._ahead += by
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(BEATS, [by.total_seconds()])
            cursor.execute(SET, [self._ahead.total_seconds()])
        with self._file.open("r+b") as file:
            file.write(self._bytes())

    def _bytes(self) -> bytes:
        return round(self._ahead / timedelta(microseconds=1) * 1000).to_bytes(8, "little", signed=True)
