"""The content of django-q2's queue."""

from django_q.models import OrmQ


def queued_tasks(cluster: str) -> list[str]:
    """The functions of the queued tasks, oldest first."""
    return [task.func() for task in OrmQ.objects.filter(key=cluster).order_by("pk")]
