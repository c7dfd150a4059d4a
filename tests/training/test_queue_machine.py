"""The training queue under any order of events: random requests, claims, renewals, crashes, publications, cancellations."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django_q.models import OrmQ
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from forecasting import registry
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import MAX_ATTEMPTS, TrainingReason, TrainingState
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from tests.factories import make_symbol
from tests.small_model import trained_model
from tests.task_queue import queued_tasks
from tests.training.writes import WRITES

RUNS = settings(max_examples=12, stateful_step_count=40, deadline=None, database=None)

MACHINES = ("one", "two")


def folders() -> set[str]:
    """The contents of the folder of all versions."""
    root = registry.models_root()
    return {path.name for path in root.iterdir()} if root.exists() else set()


class Queue(RuleBasedStateMachine):
    """Two symbols and any number of trainers, some of which keep writing after they have lost their claim."""

    def __init__(self) -> None:
        """Each run begins with an empty queue."""
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self.symbols = [make_symbol("SAMPLE1"), make_symbol("SAMPLE2")]
        self.claimed: list[Training] = []
        self.fences: dict[int, int] = {}
        self.ended: dict[int, str] = {}

    def teardown(self) -> None:
        """Rolls everything back."""
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)

    @rule(which=some.sampled_from([0, 1]), reason=some.sampled_from(TrainingReason))
    def request(self, which: int, reason: TrainingReason) -> None:
        """All callers get the one active training."""
        symbol: Symbol = self.symbols[which]
        training = training_requests.request([symbol], reason=reason)[symbol.pk]
        assert training == Training.objects.active().get(symbol=symbol)

    @rule(by=some.sampled_from(MACHINES))
    def claim(self, by: str) -> None:
        """Claims the most urgent due training, if any."""
        due = Training.objects.claimable().first()
        training = training_queue.claim(by=by)
        assert training == due
        if training:
            self.claimed.append(training)

    @precondition(lambda self: self.claimed)
    @rule(write=some.sampled_from(sorted(WRITES)), data=some.data())
    def write(self, write: str, data: Any) -> None:
        """Only the last claim of a running training changes the row."""
        self.expect_only_the_holder_writes(write, data.draw(some.sampled_from(self.claimed)))

    @precondition(lambda self: self.claimed)
    @rule(data=some.data())
    def publish(self, data: Any) -> None:
        """The holder of the fence ends the training with an active version; anyone else leaves no row and no file."""
        training = data.draw(some.sampled_from(self.claimed))
        holds = self.holds(training)
        before = (Training.objects.values().get(pk=training.pk), self.versions(), folders())
        if holds:
            version = registry.publish(trained_model(), training_id=training.pk, fence=training.fence)
            assert Training.objects.get(pk=training.pk).state == TrainingState.SUCCEEDED
            assert version.training == training
            return
        with pytest.raises(registry.FenceLostError):
            registry.publish(trained_model(), training_id=training.pk, fence=training.fence)
        assert (Training.objects.values().get(pk=training.pk), self.versions(), folders()) == before

    @precondition(lambda self: Training.objects.exists())
    @rule(data=some.data())
    def cancel(self, data: Any) -> None:
        """Only an active training can be cancelled, whether it was ever claimed or not."""
        training = data.draw(some.sampled_from(list(Training.objects.order_by("pk"))))
        active = Training.objects.active().filter(pk=training.pk).exists()
        assert training_queue.cancel(training, by="ana") == active

    @precondition(lambda self: self.claimed)
    @rule(data=some.data())
    def expire(self, data: Any) -> None:
        """One lease expires."""
        training = data.draw(some.sampled_from(self.claimed))
        Training.objects.running().filter(pk=training.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    @precondition(lambda self: self.claimed)
    @rule(write=some.sampled_from(sorted(WRITES)), by=some.sampled_from(MACHINES))
    def taken_over(self, write: str, by: str) -> None:
        """All leases run out and the next attempt begins, while the first trainer still writes."""
        self.time_passes()
        self.rescue()
        self.time_passes()
        self.claim(by=by)
        self.expect_only_the_holder_writes(write, next(each for each in self.claimed if each.pk == self.claimed[-1].pk))

    @rule(machine=some.sampled_from(MACHINES))
    def machine_dies(self, machine: str) -> None:
        """Its trainings are taken back at once; those of others stay."""
        others = set(Training.objects.running().exclude(claimed_by=machine))
        training_queue.take_back(claimed_by=machine, error="The task cluster hung.")
        assert set(Training.objects.running()) == others

    @rule(machine=some.sampled_from(MACHINES))
    def machine_stops(self, machine: str) -> None:
        """Its trainings are requeued, and the attempts do not count."""
        attempts = {training.pk: training.attempts for training in Training.objects.running().filter(claimed_by=machine)}
        training_queue.release_all(claimed_by=machine)
        for training in Training.objects.filter(pk__in=attempts):
            assert (training.state, training.attempts) == (TrainingState.QUEUED, attempts[training.pk] - 1)

    @rule()
    def time_passes(self) -> None:
        """All leases expire and all pauses end."""
        minute = timedelta(minutes=6)
        Training.objects.update(lease_expires_at=F("lease_expires_at") - minute, not_before=F("not_before") - minute)

    @rule()
    def tasks_are_lost(self) -> None:
        """Clusters dequeued them and died right after."""
        OrmQ.objects.update(lock=timezone.now() + timedelta(hours=1))

    @rule()
    def rescue(self) -> None:
        """Afterwards no lease is expired, and if a training is due, a task waits to wake a worker."""
        training_queue.rescue()
        assert not Training.objects.expired().exists()
        waking = OrmQ.objects.filter(lock__lte=timezone.now()).exists()
        assert waking or not Training.objects.claimable().exists()

    def expect_only_the_holder_writes(self, write: str, training: Training) -> None:
        """The row changes if and only if this claim holds the training."""
        holds = self.holds(training)
        before = Training.objects.values().get(pk=training.pk)
        WRITES[write](training)
        assert (Training.objects.values().get(pk=training.pk) != before) == holds

    def holds(self, claim: Training) -> bool:
        """Whether this claim may still write: the training runs, and nobody has claimed it since. Does not read the fence."""
        last = [each for each in self.claimed if each.pk == claim.pk][-1]
        return claim is last and Training.objects.filter(pk=claim.pk, state=TrainingState.RUNNING).exists()

    @staticmethod
    def versions() -> list[tuple[Any, ...]]:
        """All versions, as rows of the database."""
        return list(ModelVersion.objects.order_by("pk").values_list())

    @invariant()
    def every_training_ends_once(self) -> None:
        """An ended training keeps its state; each success has exactly one version."""
        for training in Training.objects.all():
            if training.pk in self.ended:
                assert training.state == self.ended[training.pk]
            if not training.is_active:
                self.ended[training.pk] = training.state
        successes = [key for key, state in self.ended.items() if state == TrainingState.SUCCEEDED]
        assert sorted(ModelVersion.objects.values_list("training_id", flat=True)) == sorted(successes)

    @invariant()
    def nothing_is_active_twice(self) -> None:
        """Each symbol has at most one active training and, once one succeeded, exactly one active version."""
        for symbol in self.symbols:
            assert Training.objects.active().of([symbol]).count() <= 1
            assert ModelVersion.objects.active().of([symbol]).count() == ModelVersion.objects.of([symbol]).exists()

    @invariant()
    def no_training_is_tried_too_often(self) -> None:
        """Attempts stay within the limit, and only one kind of task is queued."""
        assert all(training.attempts <= MAX_ATTEMPTS for training in Training.objects.all())
        assert set(queued_tasks(training_queue.CLUSTER)) <= {"forecasting.background.tasks.drain_training_queue"}

    @invariant()
    def no_fence_is_used_twice(self) -> None:
        """Fences only rise, and a running training has one."""
        for training in Training.objects.all():
            assert training.fence >= self.fences.get(training.pk, 0)
            assert training.fence or training.state != TrainingState.RUNNING
            self.fences[training.pk] = training.fence
        assert len({(training.pk, training.fence) for training in self.claimed}) == len(self.claimed)


@pytest.mark.django_db
def test_no_order_of_requests_crashes_and_rescues_breaks_the_queue() -> None:
    run_state_machine_as_test(Queue, settings=RUNS)
