"""Read-only admin for django-q2's tables. Its own admin would let staff run any function, by a schedule or a resubmitted task.

Arguments and results are pickles. Queued tasks are signed, and unpickled only if the signature is valid. Finished tasks are not
signed, so this admin never unpickles their arguments or results, except for a failure's message.
"""

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
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

    @admin.display(description="duration")
    def duration(self, task: Task) -> str:
        """From start to end."""
        return display.span(task.stopped - task.started)


@admin.register(Success)
class SuccessAdmin(TaskAdmin):
    """Tasks that returned."""

    list_display = fields = ("name", "func", "cluster", "started", "stopped", "duration", "attempt_count")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        """Without the pickled columns."""
        return super().get_queryset(request).defer("args", "kwargs", "result")


@admin.register(Failure)
class FailureAdmin(TaskAdmin):
    """Tasks that raised an error or timed out."""

    list_display = ("name", "func", "cluster", "started", "duration", "attempt_count", "short_error")
    fields = ("name", "func", "cluster", "started", "stopped", "duration", "attempt_count", "error")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        """Without the pickled columns, except the error message."""
        return super().get_queryset(request).defer("args", "kwargs")

    @admin.display(description="error")
    def short_error(self, task: Task) -> str:
        """The start of the message."""
        return display.shortened(str(task.result))

    @admin.display(description="error")
    def error(self, task: Task) -> SafeString:
        """The message and its traceback."""
        return display.verbatim(str(task.result))


@admin.register(OrmQ)
class QueuedTaskAdmin(ReadOnlyAdmin):
    """Tasks that are waiting or running."""

    list_display = ("name", "func", "key", "lock")
    list_filter = ("key",)
    fields = ("task_id", "name", "func", "args", "kwargs", "q_options", "key", "lock")
