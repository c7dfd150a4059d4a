"""What background tasks returned or raised, as text: django-q2 keeps it as a pickle, which runs code where it is read."""

from typing import Any

from django.db import connection, models
from django_q.models import Task

KEPT_TASKS = 500  # that succeeded, and as many that failed
LONGEST_TEXT = 20_000  # characters, enough for a long traceback


class TaskOutcome(models.Model):
    """The result of a finished task, or the error and traceback of a failed one."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, primary_key=True, related_name="outcome")
    text = models.TextField(blank=True)

    class Meta:
        default_permissions = ()  # a part of the task

    def __str__(self) -> str:
        return self.text[:100]


def keep_outcome(*, instance: Task, **_: Any) -> None:
    """Receiver of a task's save: the process that ran the task still has the result itself."""
    result = "" if instance.result is None else str(instance.result)
    text = result.replace("\0", "")[:LONGEST_TEXT]
    TaskOutcome.objects.update_or_create(task_id=instance.pk, defaults={"text": text})


def forget_old_tasks() -> int:
    """Deletes finished tasks but the newest; returns their number. By SQL, because Django would open their pickles first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH ranked AS (
                SELECT id, row_number() OVER (PARTITION BY success ORDER BY stopped DESC, id) AS place FROM django_q_task
            ), old AS (
                SELECT id FROM ranked WHERE place > %s
            ), outcomes AS (
                DELETE FROM forecasting_taskoutcome USING old WHERE task_id = old.id
            )
            DELETE FROM django_q_task USING old WHERE django_q_task.id = old.id
            """,
            [KEPT_TASKS],
        )
        return int(cursor.rowcount)
