"""`manage.py cluster`: one django-q2 cluster (named by Q_CLUSTER_NAME) that ends with the worker that started it."""

import os
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_q.cluster import Cluster

from forecasting import market
from forecasting.background import tasks  # noqa: F401 - what its processes will need
from forecasting.prices.schedules import schedule_of
from forecasting.runtime import heartbeat
from forecasting.runtime.processes import keep_loaded, stop_requested, yield_to_other_sessions
from forecasting.training import queue as training_queue

GRACE_SECONDS = 15  # for running tasks, after the worker has died unexpectedly


class Command(BaseCommand):
    """Started by `manage.py worker`; not for people."""

    help = "One task cluster, as `manage.py worker` starts it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs until SIGTERM, or until the worker is gone and its grace is over; CommandError when the cluster ends by itself."""
        if os.environ.get("Q_CLUSTER_NAME") == training_queue.CLUSTER:
            yield_to_other_sessions()
        heartbeat.report_tasks()
        market.price_source()  # else each process would load it at its first fetch
        schedule_of("XNYS")  # and build the calendar of the largest market, in 0.2 s and 7 MB, each time that it is renewed
        keep_loaded()
        cluster = Cluster()
        cluster.start()
        while cluster.sentinel.is_alive() and not stop_requested(wait_s=1.0):
            pass
        if not stop_requested():
            raise CommandError(f"The sentinel of cluster {os.environ.get('Q_CLUSTER_NAME')} ended.")
        # Block SIGTERM from here on: while we set the event, its handler would deadlock on the event's lock.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        if stop := cluster.stop_event:  # None after the handler has run
            stop.set()
        cluster.sentinel.join(GRACE_SECONDS)
        if cluster.sentinel.is_alive():
            os.killpg(os.getpgrp(), signal.SIGKILL)
