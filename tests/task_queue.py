"""What lies in django-q2's queue."""

from django_q.models import OrmQ


def queued_tasks(cluster: str) -> list[str]:
    """The functions that a cluster is asked to run, oldest first."""
    return [task.func() for task in OrmQ.objects.filter(key=cluster).order_by("pk")]
