"""All faults by number, and how often each is tried."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import clusters, crowds, damages, machines, surroundings, trainers
from tests.chaos.site import Site


@dataclass(frozen=True, slots=True)
class Case:
    """One fault. `long`, `short`: repetitions in each form, 0 if it takes too long; `shard`: repetitions per process."""

    number: int
    fault: str
    run: Callable[[Site, int], None]
    long: int
    short: int = 1
    shard: int = 20
    own_server: bool = False
    real_times: bool = True  # one repetition uses the default timings, the others faster ones


CASES = (
    Case(1, "kill -9 of the trainer", trainers.killed_trainer, long=200, shard=50, real_times=False),
    Case(2, "kill -9 of a busy cluster process", clusters.killed_busy_process, long=20, shard=10),
    Case(3, "kill -9 of an idle cluster process", clusters.killed_idle_process, long=20, shard=10),
    Case(4, "kill -9 of a main process, of the worker", clusters.killed_main_processes, long=20, shard=10),
    Case(5, "trainer and task stopped for two leases", trainers.frozen_trainer, long=3, short=0),
    Case(6, "trainer above its memory limit", trainers.oversized_trainer, short=0, long=2, real_times=False),
    Case(7, "SIGTERM during a training", trainers.stopped_worker, long=5, real_times=False),
    Case(8, "database down for 10 s", surroundings.absent_database, short=0, long=2, own_server=True),
    Case(9, "disk full, read-only", surroundings.refusing_disk, short=0, long=2, real_times=False),
    Case(10, "crash before and after the commit", trainers.crash_during_publication, long=5, short=0, real_times=False),
    Case(11, "clocks an hour off", clusters.wrong_clocks, short=0, long=3),
    Case(12, "worker down for five days", clusters.off_for_days, short=0, long=1, real_times=False),
    Case(13, "an artifact deleted, truncated, changed", damages.damaged_artifact, long=6, short=0, real_times=False),
    Case(14, "64 clients, 20 symbols", crowds.same_symbols, long=5, real_times=False),
    Case(15, "two workers share the trainings", crowds.shared_queue, long=100, short=6, shard=100, real_times=False),
    Case(16, "one of two machines lost with its disk", machines.lost_machine, long=20, short=4, shard=20),
)
