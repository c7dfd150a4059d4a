"""Read-only admin for django-q2's tables. Its own admin would let staff run any function, by a schedule or a resubmitted task.

Arguments and results are pickles: whoever can write such a row could run code in the web process. So this admin reads only text;
results and errors come from `TaskOutcome`.
"""

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import HttpRequest
from django_q import admin as stock
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from forecasting.admin import display
from forecasting.admin.read_only import ReadOnlyAdmin

for model in (stock.Schedule, stock.Success, stock.Failure, stock.OrmQ):
    admin.site.unregister(model)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """Schedules, which the worker creates."""

    list_display = ("name", "func", "schedule_type", "minutes", "cron", "next_run", "last_run_succeeded")
    fields = ("name", "func", "args", "kwargs", "schedule_type", "minutes", "cron", "repeats", "next_run", "last_run_succeeded")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        """Adds whether the last task succeeded."""
        last_success = Task.objects.filter(pk=OuterRef("task")).values("success")[:1]
        schedules: QuerySet[Schedule] = super().get_queryset(request).annotate(last_success=Subquery(last_success))
        return schedules

    @admin.display(description="last run succeeded", boolean=True)
    def last_run_succeeded(self, schedule: Schedule) -> bool | None:
        """None before the first run, and after the task's record was deleted."""
        succeeded: bool | None = schedule.last_success
        return succeeded


class TaskAdmin(ReadOnlyAdmin):
    """Finished tasks."""

    list_filter = ("func", "cluster", "started")
    search_fields = ("name", "func")
    fields = ("name", "func", "cluster", "started", "stopped", "duration", "attempt_count", "outcome_text")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        """Without the pickled columns."""
        return super().get_queryset(request).select_related("outcome").defer("args", "kwargs", "result")

    @admin.display(description="duration")
    def duration(self, task: Task) -> str:
        """From start to end."""
        return display.span(task.stopped - task.started)

    @admin.display(description="outcome")
    def short_outcome(self, task: Task) -> str:
        """The start of the result or error."""
        return display.shortened(_outcome(task))

    @admin.display(description="outcome")
    def outcome_text(self, task: Task) -> str:
        """The result, or the error and its traceback."""
        return display.verbatim(text) if (text := _outcome(task)) else display.NOTHING


@admin.register(Success)
class SuccessAdmin(TaskAdmin):
    """Tasks that returned."""

    list_display = ("name", "func", "cluster", "started", "stopped", "duration", "attempt_count")


@admin.register(Failure)
class FailureAdmin(TaskAdmin):
    """Tasks that raised an error or timed out."""

    list_display = ("name", "func", "cluster", "started", "duration", "attempt_count", "short_outcome")


@admin.register(OrmQ)
class QueuedTaskAdmin(ReadOnlyAdmin):
    """Tasks that are waiting or running. Their names are inside the payload, which is not opened."""

    list_display = fields = ("number", "key", "delivered", "lock")
    list_filter = ("key",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrmQ]:
        """Without the payload, and with the state by the database's clock."""
        queued: QuerySet[OrmQ] = super().get_queryset(request).defer("payload").annotate(is_delivered=Q(lock__gt=Now()))
        return queued

    @admin.display(description="number", ordering="pk")
    def number(self, task: OrmQ) -> int:
        """Older tasks have smaller numbers."""
        return int(task.pk)

    @admin.display(description="delivered", boolean=True)
    def delivered(self, task: OrmQ) -> bool:
        """Whether a cluster has it; it is delivered again once its lock has passed."""
        return bool(task.is_delivered)


def _outcome(task: Task) -> str:
    """Nothing for a task of an earlier release, which stored no text."""
    return task.outcome.text if hasattr(task, "outcome") else ""
