"""Faults of the task clusters and of their worker: processes killed, worker down for days, wrong clocks."""

import time
from datetime import timedelta
from functools import partial

from django.db.models import F, QuerySet
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Success
from django_q.tasks import async_task

from forecasting.models import JobRun, Training
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingState
from forecasting.runtime.processes import ProcessGroup
from tests.chaos.processes import descendants, is_dead, is_gone, kill, parent
from tests.chaos.site import (
    FAULTY,
    TICKERS,
    Site,
    is_being_fitted,
    is_running,
)

HOUR = 3600


def killed_busy_process(site: Site, count: int) -> None:
    """Case 2: kill -9 of the cluster process that runs the training's task."""
    with site.worker():
        for number in range(count):
            training = _being_fitted(site, number)
            fence, trainer = training.fence, site.trainer()
            kill(parent(trainer))
            site.within(5, "its trainer died with it", partial(is_dead, trainer))
            site.within(90, "running again", partial(_runs_or_has_succeeded, training, after_fence=fence))
        site.settle()


def _being_fitted(site: Site, number: int) -> Training:
    """Requests three trainings; returns one while its trainer works on it."""
    first = 3 * number % (len(TICKERS) - 3)
    trainings = site.request(TICKERS[first : first + 3])
    found: list[Training] = []

    def look() -> bool:
        found[:] = [training for training in trainings if is_being_fitted(training)]
        return bool(found)

    site.until("one of three trainings is being fitted", look)
    return found[0]


def _runs_or_has_succeeded(training: Training, *, after_fence: int) -> bool:
    return is_running(training, after_fence=after_fence) or training.state == TrainingState.SUCCEEDED


def killed_idle_process(site: Site, count: int) -> None:
    """Case 3: kill -9 of idle processes, which leaves a lock of the cluster's internal queue locked forever."""
    with site.worker():
        for number in range(count):
            clusters = site.until_clusters_run()
            _until_idle(site)
            name, processes = ("training", 1) if number % 2 == 0 else ("short", 2)
            sentinel = descendants(clusters[name])[0]
            for pid in descendants(sentinel)[:processes]:
                kill(pid)
            if name == "training":
                (training,) = site.request([TICKERS[number % len(TICKERS)]])
                site.within(180, "the training queue moves again", partial(_has_left_the_queue, training))
                site.settle()
            else:
                for _ in range(2):  # the hanging cluster dequeues one of them
                    async_task("forecasting.background.tasks.sync_symbols", [])
                site.within(180, "the queue of short tasks moves again", lambda: not OrmQ.objects.filter(key="short").exists())


def _until_idle(site: Site) -> None:
    """Waits until no task is in progress and no trainer lives."""
    site.until("no task waits", lambda: not OrmQ.objects.filter(key__in=["short", "training"]).exists())
    site.until("no trainer runs", lambda: not site.pids("trainer"))


def _has_left_the_queue(training: Training) -> bool:
    training.refresh_from_db()
    return training.state != TrainingState.QUEUED


def _any_runs(trainings: list[Training]) -> bool:
    return any(is_running(training) for training in trainings)


def killed_main_processes(site: Site, count: int) -> None:
    """Case 4: kill -9 of a cluster's main process, then of the worker itself; a new worker starts at once."""
    for number in range(count):
        with site.worker() as worker:
            training = _being_fitted(site, number)
            fence, old = training.fence, site.clusters()["training"]
            kill(old)
            site.within(90, "main process: the old group is gone", partial(is_gone, old))
            site.within(90, "main process: running again", partial(_runs_or_has_succeeded, training, after_fence=fence))
            _kill_the_worker(site, worker, _being_fitted(site, number))


def _kill_the_worker(site: Site, worker: ProcessGroup, training: Training) -> None:
    fence, old = training.fence, set(site.clusters().values())
    kill(worker.pid)
    began = time.monotonic()
    with site.worker():

        def new_ones_run() -> bool:
            running = set(site.clusters().values())
            site.expect(not (running & old and running - old), "old and new clusters overlapped")
            return bool(running - old)

        site.within(90, "worker: the old groups are gone, new ones run", new_ones_run)
        left = 90 - (time.monotonic() - began)
        site.within(left, "worker: running again", lambda: _runs_or_has_succeeded(training, after_fence=fence))
        site.settle()


def wrong_clocks(site: Site, count: int) -> None:
    """Case 11: two machines whose clocks are an hour off, one fast, one slow."""
    fast = site.worker("fast", **FAULTY, CLOCK_OFFSET=str(HOUR))
    slow = site.worker("slow", **FAULTY, CLOCK_OFFSET=str(-HOUR))
    with fast, slow:
        for name in ("fast", "slow"):
            site.until_clusters_run(name=name)
        site.within(60, "the daily job is done", lambda: JobRun.objects.filter(state=JobState.SUCCEEDED).exists())
        for number in range(count):
            trainings = site.request(TICKERS[6 * number % 90 :][:6])
            site.within(60, "a training is claimed", partial(_any_runs, trainings))
            site.settle()
    stolen = site.rows().exclude(state=TrainingState.SUCCEEDED, attempts=1)
    site.expect(not stolen.exists(), f"leases were stolen: {list(stolen.values('state', 'attempts', 'error'))}")
    _expect_one_daily_job_a_date(site, JobRun.objects.all())


def off_for_days(site: Site, count: int) -> None:
    """Case 12: the worker was down for five days."""
    days = timedelta(days=5)
    for _ in range(count):
        with site.worker():
            site.until("a daily job has succeeded", lambda: JobRun.objects.filter(state=JobState.SUCCEEDED).exists())
        JobRun.objects.update(date=F("date") - days, started_at=F("started_at") - days, finished_at=F("finished_at") - days)
        Schedule.objects.update(next_run=F("next_run") - days)
        Success.objects.all().delete()
        before = set(JobRun.objects.values_list("date", flat=True))
        with site.worker():
            caught_up = JobRun.objects.exclude(date__in=before)
            site.within(60, "the daily job is done", caught_up.filter(state=JobState.SUCCEEDED).exists)
            # The scheduler looks at the missed schedules half a minute after the start.
            site.until("no schedule is due", lambda: not Schedule.objects.filter(next_run__lt=timezone.now()).exists())
            site.until("no short task waits", lambda: not OrmQ.objects.filter(key="short").exists())
        site.expect(caught_up.count() == 1, f"{caught_up.count()} daily jobs ran after the start")
        _expect_one_daily_job_a_date(site, caught_up)
        JobRun.objects.all().delete()


def _expect_one_daily_job_a_date(site: Site, runs: QuerySet[JobRun]) -> None:
    """Of all daily job tasks, whether from a start or the schedule, exactly one per date did the work."""
    done = [task for task in Success.objects.filter(func="forecasting.background.tasks.daily_job") if task.result == "done"]
    dates = runs.filter(state=JobState.SUCCEEDED).count()
    site.expect(len(done) == dates, f"{len(done)} daily jobs were done for {dates} dates")
