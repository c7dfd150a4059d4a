"""The training queue under any order of events: random stories of requests, claims, deaths and rescues."""

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

from forecasting import training_queue
from forecasting.models import Symbol, Training
from forecasting.models.trainings import MAX_ATTEMPTS, TrainingReason, TrainingState
from tests.factories import make_symbol
from tests.task_queue import queued_tasks

STORIES = settings(max_examples=12, stateful_step_count=30, deadline=None, database=None)

WRITES = {
    "renew": training_queue.renew,
    "report": lambda training: training_queue.report(training, stage="fit", fraction=0.5),
    "retry": lambda training: training_queue.retry(training, error="The network is down."),
    "fail": lambda training: training_queue.fail(training, error="Too few bars."),
    "release": training_queue.release,
}


class Queue(RuleBasedStateMachine):
    """Two symbols, any number of trainers that may hold on to a training for too long."""

    def __init__(self) -> None:
        """Each story begins with an empty queue."""
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self.symbols = [make_symbol("SAMPLE1"), make_symbol("SAMPLE2")]
        self.claimed: list[Training] = []
        self.fences: dict[int, int] = {}

    def teardown(self) -> None:
        """What happened did not happen."""
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)

    @rule(which=some.sampled_from([0, 1]), reason=some.sampled_from(TrainingReason))
    def request(self, which: int, reason: TrainingReason) -> None:
        """Everybody gets the one active training, at least as urgent as asked for while it waits."""
        symbol: Symbol = self.symbols[which]
        training = training_queue.request([symbol], reason=reason)[symbol.pk]
        assert training == Training.objects.active().get(symbol=symbol)

    @rule()
    def claim(self) -> None:
        """The most urgent due training, if any, by a new fence."""
        due = Training.objects.claimable().first()
        training = training_queue.claim()
        assert training == due
        if training:
            self.claimed.append(training)

    @precondition(lambda self: self.claimed)
    @rule(write=some.sampled_from(sorted(WRITES)), data=some.data())
    def write(self, write: str, data: Any) -> None:
        """Whoever holds the fence changes the row, and nobody else."""
        training = data.draw(some.sampled_from(self.claimed))
        holds = Training.objects.held(training_id=training.pk, fence=training.fence).exists()
        before = Training.objects.values().get(pk=training.pk)
        WRITES[write](training)
        assert (Training.objects.values().get(pk=training.pk) != before) == holds

    @precondition(lambda self: self.claimed)
    @rule(data=some.data())
    def cancel(self, data: Any) -> None:
        """Only an active training can be cancelled."""
        training = data.draw(some.sampled_from(self.claimed))
        active = Training.objects.active().filter(pk=training.pk).exists()
        assert training_queue.cancel(training, by="ana") == active

    @rule()
    def time_passes(self) -> None:
        """All leases run out and all pauses end."""
        minute = timedelta(minutes=6)
        Training.objects.update(lease_expires_at=F("lease_expires_at") - minute, not_before=F("not_before") - minute)

    @rule()
    def doorbells_are_answered(self) -> None:
        """By clusters that died right after."""
        OrmQ.objects.update(lock=timezone.now() + timedelta(hours=1))

    @rule()
    def rescue(self) -> None:
        """Afterwards nobody is given up for dead, and no due training waits unheard."""
        training_queue.rescue()
        assert not Training.objects.expired().exists()
        heard = OrmQ.objects.filter(lock__lte=timezone.now()).exists()
        assert heard or not Training.objects.claimable().exists()

    @invariant()
    def no_training_is_tried_too_often(self) -> None:
        """Nor ends without its reason and time, which the database refuses."""
        assert all(training.attempts <= MAX_ATTEMPTS for training in Training.objects.all())
        assert set(queued_tasks(training_queue.CLUSTER)) <= {"forecasting.tasks.drain_training_queue"}

    @invariant()
    def no_fence_is_used_twice(self) -> None:
        """They only rise, and a training at work has one."""
        for training in Training.objects.all():
            assert training.fence >= self.fences.get(training.pk, 0)
            assert training.fence or training.state != TrainingState.RUNNING
            self.fences[training.pk] = training.fence
        assert len({(training.pk, training.fence) for training in self.claimed}) == len(self.claimed)


@pytest.mark.django_db
def test_no_story_of_requests_deaths_and_rescues_breaks_the_queue() -> None:
    run_state_machine_as_test(Queue, settings=STORIES)
