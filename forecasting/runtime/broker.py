"""django-q2's queue in Postgres, on the database's clock, plus a queue of its own for each cluster.

The library's ORM broker compares a task's lock with the local clock. A machine that is an hour slow ignores new tasks of others
for an hour; one that is fast takes tasks that others still work on.
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

OWN_QUEUE = "CLUSTER_OWN_QUEUE"  # environment variable: the queue that only this cluster reads, in addition to the shared one

DEQUEUE = """
    UPDATE django_q_ormq SET lock = statement_timestamp() + make_interval(secs => %s)
    WHERE id = (
        SELECT id FROM django_q_ormq WHERE key = ANY (%s) AND lock <= statement_timestamp()
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, payload
"""

logger = logging.getLogger(__name__)


class DatabaseClockBroker(Broker):
    """A task is a row. Dequeuing locks it for `retry` seconds; if it is not acknowledged by then, it is delivered again."""

    _database_is_down = False

    def enqueue(self, task: str) -> int:
        """Adds a task to the queue, in the caller's transaction; returns its primary key."""
        return int(OrmQ.objects.create(key=self.list_key, payload=task, lock=Now()).pk)

    def dequeue(self) -> list[tuple[int, str]]:
        """The oldest unlocked task, if any. An unreachable database counts as an empty queue, so that the cluster waits for it."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(DEQUEUE, [Conf.RETRY, self._queues()])
                tasks: list[tuple[int, str]] = cursor.fetchall()
            self._database_is_down = False
        except (OperationalError, InterfaceError) as error:
            if not self._database_is_down:
                logger.warning("cannot fetch tasks, the database is unreachable: %s", str(error).partition("\n")[0])
            self._database_is_down = True
            connection.close()
            tasks = []
        for key, _ in tasks:
            heartbeat.task_taken(key)
        if not tasks:
            time.sleep(Conf.POLL)
        return tasks

    def acknowledge(self, task_id: int) -> None:
        """Removes a finished task."""
        OrmQ.objects.filter(pk=task_id).delete()
        heartbeat.task_done(task_id)

    delete = fail = acknowledge

    def queue_size(self) -> int:
        """Number of waiting tasks."""
        return int(self._rows().filter(lock__lte=Now()).count())

    def lock_size(self) -> int:
        """Number of tasks in progress."""
        return int(self._rows().filter(lock__gt=Now()).count())

    def purge_queue(self) -> None:
        """Deletes all tasks of the queue."""
        self._rows().delete()

    delete_queue = purge_queue

    def ping(self) -> bool:
        """Always true: `dequeue` handles an unreachable database itself."""
        return True

    def info(self) -> str:
        """The broker's name in the library's monitor."""
        return "Postgres, on the database's clock"

    def _queues(self) -> list[str]:
        return [self.list_key, *([os.environ[OWN_QUEUE]] if OWN_QUEUE in os.environ else [])]

    def _rows(self) -> Any:
        return OrmQ.objects.filter(key=self.list_key)
