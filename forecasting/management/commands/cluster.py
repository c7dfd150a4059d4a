"""`manage.py cluster`: one django-q2 cluster (named by Q_CLUSTER_NAME) that ends with the worker that started it."""

import os
import signal
from contextlib import suppress
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection
from django_q.cluster import Cluster
from django_q.signals import post_execute_in_worker

from forecasting import market
from forecasting.background import tasks  # noqa: F401 - what its processes will need
from forecasting.models import Symbol, standing
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.verified import ArtifactError
from forecasting.prices.schedules import schedule_of
from forecasting.prices.simulation import Simulation
from forecasting.registry.base_model import SHIPPED_BASE
from forecasting.runtime import heartbeat
from forecasting.runtime.processes import keep_loaded, return_freed_memory, stop_requested, yield_to_other_sessions
from forecasting.training import queue as training_queue

GRACE_SECONDS = 15  # for running tasks, after the worker has died unexpectedly
EXCHANGES = 8  # whose calendars all processes share, 0.15 s and 2 MB each; those of the most symbols


class Command(BaseCommand):
    """Started by `manage.py worker`; not for people."""

    help = "One task cluster, as `manage.py worker` starts it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs until SIGTERM, or until the worker is gone and its grace is over; CommandError when the cluster ends by itself."""
        if os.environ.get("Q_CLUSTER_NAME") == training_queue.CLUSTER:
            yield_to_other_sessions()
        heartbeat.report_tasks()
        post_execute_in_worker.connect(return_memory)
        warm_up()
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


def return_memory(**_: Any) -> None:
    """At the end of each task: the next one needs other rows of the ledger, if any, a day later."""
    standing.forget()
    return_freed_memory()


def warm_up() -> None:
    """Does what most tasks do first, before processes are forked. Else each one does it again, and in memory of its own."""
    market.price_source()
    for exchange in ("XNYS", *_exchanges()):
        schedule_of(exchange)
    bars = Simulation(seed=0).fetch("SAMPLE1", since=None, through=date(2025, 6, 2)).bars
    with suppress(ArtifactError):  # the task that needs the shipped base tells what is wrong
        Forecaster.load(SHIPPED_BASE, artifacts.recorded(SHIPPED_BASE)).forecasts(bars, factors={1: 1.0})


def _exchanges() -> list[str]:
    """Of the symbols in service; none while the database is away, or new."""
    try:
        return Symbol.objects.in_service().largest_exchanges(EXCHANGES)
    except Error:
        return []
    finally:
        connection.close()  # no process may inherit it
