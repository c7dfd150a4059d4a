"""A request's id reaches what it causes: tasks, trainings and the trainer process; as JSON, each line is one object."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from django_q.models import OrmQ
from django_q.signals import pre_execute
from django_q.tasks import async_task

from forecasting import tracing
from forecasting.models import Training
from forecasting.models.trainings import TrainingState
from forecasting.runtime.processes import wait_for
from tests.running import started

IDENTITY = "of-this-test"


@pytest.mark.django_db
def test_a_task_carries_the_id_to_the_process_that_runs_it() -> None:
    with tracing.work_for(IDENTITY):
        async_task("forecasting.background.tasks.look_up_names")
    task = OrmQ.objects.get().task
    with tracing.work_for(""):
        pre_execute.send(sender="django_q", func=None, task=task)
        assert tracing.request_id() == IDENTITY


@pytest.mark.django_db
def test_a_task_that_no_request_caused_carries_none() -> None:
    with tracing.work_for(""):  # a test before this one may have sent requests in this thread
        async_task("forecasting.background.tasks.look_up_names")
    assert "request_id" not in OrmQ.objects.get().task


def written(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.django_db(transaction=True)
def test_the_lines_of_a_training_have_the_id_of_its_request_in_all_processes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {"LOG_FORMAT": "json", "PORT": str(port), "TRUSTED_PROXIES": "127.0.0.1"}
    app = tmp_path / "logs" / "app.log"
    with started("web", tmp_path, **variables), started("worker", tmp_path, **variables):
        assert wait_for(lambda: app.exists() and "accept connections" in app.read_text(), seconds=60)
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"X-Request-ID": IDENTITY, "Content-Type": "application/json"}
        client.request("POST", "/models/check", json.dumps({"symbols": ["SAMPLE1"]}), headers)
        assert client.getresponse().getheader("X-Request-ID") == IDENTITY
        client.close()
        assert wait_for(lambda: Training.objects.filter(state=TrainingState.SUCCEEDED).exists(), seconds=200)
    (access,) = [line for line in written(app.with_name("access.log")) if line["request_id"] == IDENTITY]
    assert (access["method"], access["route"], access["status"]) == ("POST", "models/check", 200)
    caused = {(line["logger"], line["message"].split(",")[0]) for line in written(app) if line.get("request_id") == IDENTITY}
    assert ("forecasting.training.requests", "training requested: never trained") in caused
    assert ("forecasting.training.queue", "training claimed") in caused
    assert "forecasting.background.trainer_child" in {logger for logger, _ in caused}
