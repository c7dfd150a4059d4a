"""django-q2's queue in Postgres, by the database's clock alone, with a letterbox for each cluster.

The library's own broker for Postgres compares a task's lock with the clock of the machine that it runs on: a machine an hour slow
leaves whatever others enqueue alone for an hour, a fast one takes what others still work on.
"""

import logging
import os
import time
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now
from django_q.brokers import Broker
from django_q.conf import Conf
from django_q.models import OrmQ

from forecasting.runtime import heartbeat

LETTERBOX = "CLUSTER_LETTERBOX"  # names the queue that one cluster alone reads, besides the one that it shares

TAKE = """
    UPDATE django_q_ormq SET lock = statement_timestamp() + make_interval(secs => %s)
    WHERE id = (
        SELECT id FROM django_q_ormq WHERE key = ANY (%s) AND lock <= statement_timestamp()
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, payload
"""

logger = logging.getLogger(__name__)


class DatabaseClockBroker(Broker):
    """A task is a row: taken, it is locked for `retry` seconds, within which it must be acknowledged."""

    _is_away = False

    def enqueue(self, task: str) -> int:
        """Puts a task into the queue, in the caller's transaction; returns its key."""
        return int(OrmQ.objects.create(key=self.list_key, payload=task, lock=Now()).pk)

    def dequeue(self) -> list[tuple[int, str]]:
        """The oldest task that nobody works on, if any. A database that is away is an empty queue: its return is waited for."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(TAKE, [Conf.RETRY, self._queues()])
                tasks: list[tuple[int, str]] = cursor.fetchall()
            self._is_away = False
        except (OperationalError, InterfaceError) as error:
            if not self._is_away:
                logger.warning("no tasks from the database: %s", str(error).partition("\n")[0])
            self._is_away = True
            connection.close()
            tasks = []
        for key, _ in tasks:
            heartbeat.took(key)
        if not tasks:
            time.sleep(Conf.POLL)
        return tasks

    def acknowledge(self, task_id: int) -> None:
        """A task is done."""
        OrmQ.objects.filter(pk=task_id).delete()
        heartbeat.did(task_id)

    delete = fail = acknowledge

    def queue_size(self) -> int:
        """Tasks that wait."""
        return int(self._rows().filter(lock__lte=Now()).count())

    def lock_size(self) -> int:
        """Tasks that are worked on."""
        return int(self._rows().filter(lock__gt=Now()).count())

    def purge_queue(self) -> None:
        """Forgets every task of the queue."""
        self._rows().delete()

    delete_queue = purge_queue

    def ping(self) -> bool:
        """Nothing has to be reached before the first task."""
        return True

    def info(self) -> str:
        """What the library shows."""
        return "Postgres, by its own clock"

    def _queues(self) -> list[str]:
        return [self.list_key, *([os.environ[LETTERBOX]] if LETTERBOX in os.environ else [])]

    def _rows(self) -> Any:
        return OrmQ.objects.filter(key=self.list_key)
