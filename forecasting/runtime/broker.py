"""django-q2's queue in Postgres, on the database's clock, plus a queue of its own for each cluster.

The library's ORM broker compares a task's lock with the local clock. If a machine's clock is an hour slow, it sees
new tasks an hour late. If it is fast, it takes tasks that are still in progress.
"""

import logging
import os
import time
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now
from django_q.brokers.orm import ORM
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


class DatabaseClockBroker(ORM):
    """A task is a row. Dequeuing locks it for `retry` seconds; if it is not acknowledged by then, it is delivered again."""

    _database_is_down = False

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """The table. The library would close idle connections here, and with them release locks of the session."""
        return OrmQ.objects

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

    def delete(self, task_id: int) -> None:
        """Removes a finished task."""
        OrmQ.objects.filter(pk=task_id).delete()
        heartbeat.task_done(task_id)

    def _queues(self) -> list[str]:
        return [self.list_key, *([os.environ[OWN_QUEUE]] if OWN_QUEUE in os.environ else [])]
