"""Helpers for admin tests: addresses, pages, forms, and one row of each table."""

from datetime import date, timedelta
from typing import Any

from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags
from django_q.models import Failure, OrmQ, Schedule, Success, Task
from django_q.tasks import async_task

from forecasting.models import (
    Delivery,
    Finding,
    Forecast,
    JobRun,
    ModelVersion,
    RequestedName,
    Restatement,
    Symbol,
    Training,
    Upstream,
    Webhook,
    WorkerProcess,
)
from forecasting.models.jobs import JobState
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingState
from forecasting.models.upstream import BreakerState
from tests.factories import (
    add_bars,
    make_finding,
    make_forecast,
    make_name,
    make_restatement,
    make_symbol,
    make_training,
    make_upstream,
    make_version,
    make_worker,
)

MODELS = (
    Symbol,
    ModelVersion,
    Forecast,
    Training,
    JobRun,
    WorkerProcess,
    Upstream,
    Restatement,
    Finding,
    RequestedName,
    Delivery,
    Schedule,
    Success,
    Failure,
    OrmQ,
)
AS_OF = date(2025, 6, 2)

Rows = dict[type[Model], Model]


def page(model: type[Model], kind: str, *keys: object) -> str:
    """The address of an admin page."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=keys)


def text_of(client: Client, address: str, **query: str) -> str:
    """The page's text; fails if it does not load."""
    response = client.get(address, query)
    assert response.status_code == 200, address
    return response.content.decode()


def post(client: Client, address: str, **data: object) -> list[str]:
    """The messages to the user after a form was sent, without links."""
    return [strip_tags(str(message)) for message in client.post(address, data, follow=True).context["messages"]]


def act(client: Client, model: type[Model], name: str, *rows: Model) -> list[str]:
    """The messages to the user after an action on rows of a list."""
    return post(client, page(model, "changelist"), action=name, _selected_action=[row.pk for row in rows])


def add_task(*, success: bool, **values: Any) -> Task:
    """A finished background task."""
    now = timezone.now()
    defaults = {
        "name": "one-two",
        "func": "forecasting.background.tasks.daily_job",
        "started": now - timedelta(seconds=90),
        "stopped": now,
    }
    return Task.objects.create(id=f"{success}".rjust(32, "0"), success=success, **(defaults | values))


def one_of_each() -> Rows:
    """One row of each table."""
    symbol = make_symbol("BBAS3.SA", upstream_state=UpstreamState.UNAVAILABLE, upstream_reason="Connection refused.")
    add_bars(symbol, count=12)
    version = make_version(symbol, number=3)
    forecast = make_forecast(version, AS_OF, actual_close=104.5)
    training = make_training(symbol, state=TrainingState.FAILED, error="Only 12 bars, 490 are needed.")
    run = JobRun.objects.create(
        job="daily", date=AS_OF, state=JobState.SUCCEEDED, finished_at=timezone.now(), report={"scored": 4711}
    )
    schedule = Schedule.objects.create(
        name="rescue", func="forecasting.background.tasks.rescue_trainings", schedule_type=Schedule.MINUTES
    )
    make_worker()
    add_task(success=True)
    add_task(success=False, result="Boom : Traceback of the failure")
    async_task("forecasting.background.tasks.sync_symbols", [symbol.pk], cluster="training")
    upstream = make_upstream(state=BreakerState.OPEN, reason="Yahoo Finance refuses more requests for now")
    restatement, finding = make_restatement(symbol), make_finding(symbol)
    webhook = Webhook.objects.create(url="https://example.org/hook", events=["training.ended"])
    delivery = Delivery.objects.create(webhook=webhook, event="training.ended", object_id=training.pk)
    tasks = (Success.objects.get(), Failure.objects.get(), OrmQ.objects.get())
    worker = WorkerProcess.objects.get(cluster="")
    found = (
        *(symbol, version, forecast, training, run, worker, upstream, restatement, finding, make_name(), delivery, schedule),
        *tasks,
    )
    return dict(zip(MODELS, found, strict=True))
