"""Alerts: the operator is told once of what is wrong and once when it is over, by mail and webhook, whoever has died."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from forecasting.background import alerts, conditions
from forecasting.background.webhooks import signature
from forecasting.models import Alert, JobRun, Summary, Training, Upstream, WorkerProcess
from forecasting.models.alerts import AlertEvent
from forecasting.models.jobs import JobState
from forecasting.models.locks import Lock, lock_if_free
from forecasting.models.trainings import TrainingState
from forecasting.models.upstream import BreakerState
from forecasting.models.webhooks import new_secret
from forecasting.runtime.processes import StopSignal, wait_for
from tests.factories import make_symbol, make_training, make_upstream, make_worker
from tests.mailbox import Mailbox, mailbox
from tests.racing import begin
from tests.receiver import Receiver, receiver
from tests.running import started

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(settings: Settings) -> Iterator[Receiver]:
    with receiver() as ours:
        settings.ALERT_WEBHOOK, settings.ALERT_WEBHOOK_SECRET, settings.WEBHOOK_ALLOW_PRIVATE = ours.url, new_secret(), True
        yield ours


@pytest.fixture
def mail(settings: Settings) -> Iterator[Mailbox]:
    with mailbox() as ours:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"  # pytest-django keeps messages otherwise
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.ALERT_EMAIL = (
            "127.0.0.1",
            int(ours.url.rpartition(":")[2]),
            ["ana@example.org"],
        )
        yield ours


@pytest.fixture(autouse=True)
def _healthy(settings: Settings, db: None) -> None:
    make_worker()
    settings.ALERT_DISK_FREE_MB = 0


def standing() -> dict[str, str]:
    """The subjects by event."""
    return dict(Alert.objects.standing().values_list("event", "subject"))


def record(**values: Any) -> dict[str, Any]:
    fitting: dict[str, Any] = {"exchange": "XNYS", "sessions": 20, "seen": 20, "forecasts": 600, "coverage": 0.8}
    return fitting | {"low": 0.75, "high": 0.85, "pinball_ratio": 1.0} | values


def keep_records(*records: dict[str, Any]) -> None:
    figures = {"computed_at": timezone.now(), "newest_forecast": 0, "newest_score": 0, "issued": {}, "scored": {}, "bars": {}}
    Summary.objects.update_or_create(pk=1, defaults=figures | {"records": list(records)})


# What is wrong


def test_nothing_is_wrong_with_a_healthy_service() -> None:
    alerts.look()
    assert standing() == {}


def test_no_worker_is_an_alert() -> None:
    WorkerProcess.objects.all().delete()
    make_worker(seen_s=600)
    alerts.look()
    assert Alert.objects.get().text.startswith("No worker since ")


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.INCOMPLETE])
def test_a_daily_job_that_failed_or_is_incomplete_is_an_alert_until_one_succeeds(state: JobState) -> None:
    run = JobRun.objects.create(
        job="daily", date=date(2025, 6, 2), state=state, error="no answer", report={"symbols": 1, "untried": 2}
    )
    alerts.look()
    assert Alert.objects.get(event=AlertEvent.DAILY_JOB).text.endswith("no answer")
    JobRun.objects.filter(pk=run.pk).update(state=JobState.RUNNING)
    alerts.look()
    assert standing() == {"daily_job": ""}
    JobRun.objects.filter(pk=run.pk).update(state=JobState.SUCCEEDED)
    alerts.look()
    assert standing() == {}


def test_a_training_that_failed_for_good_is_an_alert_until_another_one_succeeds() -> None:
    symbol = make_symbol()
    failed = make_training(symbol, state=TrainingState.FAILED)
    alerts.look()
    assert standing() == {"training": symbol.ticker}
    again = make_training(symbol, created_at=failed.created_at + timedelta(seconds=1))
    alerts.look()
    assert standing() == {"training": symbol.ticker}
    Training.objects.filter(pk=again.pk).update(state=TrainingState.SUCCEEDED, finished_at=timezone.now())
    alerts.look()
    assert standing() == {}


def test_a_price_source_that_is_left_alone_is_an_alert_until_it_answers(settings: Settings) -> None:
    settings.PRICE_SOURCE = "yahoo"
    make_upstream(state=BreakerState.OPEN, reason="too many requests")
    alerts.look()
    assert "too many requests" in Alert.objects.get().text
    Upstream.objects.update(open_until=timezone.now() - timedelta(seconds=1))
    alerts.look()
    assert standing() == {"price_source": "yahoo"}
    Upstream.objects.update(state=BreakerState.CLOSED, opened_at=None, open_until=None)
    alerts.look()
    assert standing() == {}


def test_coverage_outside_its_band_is_an_alert_of_its_exchange() -> None:
    keep_records(record(coverage=0.6), record(exchange="BVMF"), record(exchange="XLON", coverage=0.5, seen=3))
    alerts.look()
    assert Alert.objects.get().subject == "XNYS"
    assert Alert.objects.get().text.startswith("the intervals held 60.0% of 600 closes")


def test_a_full_disk_is_an_alert_of_this_machine_and_leaves_those_of_others_alone(settings: Settings) -> None:
    cache.set("alerts-another-machine", True)
    Alert.objects.create(event=AlertEvent.DISK, subject="another-machine /srv/media", text="3 MB are free", told_at=timezone.now())
    settings.ALERT_DISK_FREE_MB = 10**9
    alerts.look()
    assert Alert.objects.filter(subject__startswith=socket.gethostname()).count() >= 1
    settings.ALERT_DISK_FREE_MB = 0
    alerts.look()
    assert standing() == {"disk": "another-machine /srv/media"}


def test_a_folder_that_cannot_be_read_is_an_alert(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.LOG_DIR = tmp_path / "file/logs"
    alerts.look()
    assert Alert.objects.get().text == "it cannot be read: Not a directory"


def test_the_full_disk_of_a_machine_that_is_gone_is_over() -> None:
    Alert.objects.create(event=AlertEvent.DISK, subject="former-container /srv/media", text="3 MB are free", told_at=timezone.now())
    alerts.look()
    assert standing() == {}


def test_each_event_has_a_condition() -> None:
    assert set(conditions.CONDITIONS) == set(AlertEvent)


class Stop(StopSignal):
    """Stops after these waits, of which one is longer than it should be."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = iter(seconds)

    def wait(self, seconds: float) -> bool:
        found = next(self._seconds, None)
        return found is None or wait_for(lambda: False, seconds=found, every_s=0.01)


@pytest.mark.django_db(transaction=True)
def test_after_a_suspension_the_worker_gets_time_for_a_sign_of_life(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALERT_SECONDS = 0
    monkeypatch.setattr(alerts, "SLACK_SECONDS", 0.5)
    WorkerProcess.objects.update(seen_at=timezone.now() - timedelta(hours=9))
    alerts._watch(Stop(0.7))
    assert standing() == {}
    alerts._watch(Stop(0.7, 0.01))
    assert standing() == {"no_worker": ""}


# Who is told


def test_an_alert_is_told_once_and_its_end_once(hook: Receiver, mail: Mailbox) -> None:
    keep_records(record(coverage=0.6))
    for _ in range(2):
        alerts.look()
    keep_records(record())
    for _ in range(2):
        alerts.look()
    assert [
        message["Subject"].startswith(f"stockpred: {text}") for message, text in zip(mail.got, ("coverage", "Over: c"), strict=True)
    ]
    assert [message["data"]["alerts"][0]["ended_at"] is None for message in hook.messages()] == [True, False]


def test_a_webhook_gets_a_signed_message(hook: Receiver, settings: Settings) -> None:
    keep_records(record(coverage=0.6))
    alerts.look()
    headers, body = hook.got[0]
    identity, moment = headers["webhook-id"], int(headers["webhook-timestamp"])
    expected = signature(settings.ALERT_WEBHOOK_SECRET, message_id=identity, timestamp=moment, body=body)
    assert headers["webhook-signature"] == expected


def test_a_private_address_gets_nothing_unless_that_is_allowed(hook: Receiver, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = False
    keep_records(record(coverage=0.6))
    alerts.look()
    assert (hook.got, Alert.objects.get().told_at) == ([], None)


def test_a_message_that_nobody_takes_is_sent_again(mail: Mailbox) -> None:
    mail.refuses = True
    keep_records(record(coverage=0.6))
    alerts.look()
    assert mail.got == []
    mail.refuses = False
    alerts.look()
    assert len(mail.got) == 1


def test_many_alerts_are_one_message(mail: Mailbox) -> None:
    for place in range(30):
        make_training(make_symbol(f"SAMPLE{place}"), state=TrainingState.FAILED)
    alerts.look()
    (message,) = mail.got
    assert message["Subject"] == "stockpred: 30 alerts, 0 over"
    assert message.get_content().splitlines()[-1] == "... and 10 more"


@pytest.mark.django_db(transaction=True)
def test_two_processes_do_not_tell_the_same(mail: Mailbox) -> None:
    make_worker()
    keep_records(record(coverage=0.6))
    with lock_if_free(Lock.ALERTS) as mine, ThreadPoolExecutor(1) as threads:
        begin(threads, alerts.look).result()
        assert (mine, mail.got) == (True, [])
    alerts.look()
    assert len(mail.got) == 1


@pytest.mark.django_db(transaction=True)
def test_the_web_server_tells_that_the_worker_has_died(hook: Receiver, mail: Mailbox, tmp_path: Path, settings: Settings) -> None:
    WorkerProcess.objects.all().delete()
    make_worker(seen_s=600)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {
        "PORT": str(port),
        "ALERT_SECONDS": "1",
        "ALERT_WEBHOOK": settings.ALERT_WEBHOOK,
        "ALERT_WEBHOOK_SECRET": settings.ALERT_WEBHOOK_SECRET,
        "WEBHOOK_ALLOW_PRIVATE": "True",
        "ALERT_EMAIL": "ana@example.org",
        "EMAIL_URL": mail.url,
        "ALERT_DISK_FREE_MB": "0",
    }
    with started("web", tmp_path, **variables):
        assert wait_for(lambda: len(hook.got) == len(mail.got) == 1, seconds=100)
        make_worker()
        assert wait_for(lambda: len(hook.got) == len(mail.got) == 2, seconds=30)
    assert "No worker since" in str(mail.got[0]["Subject"])
    assert str(mail.got[1]["Subject"]).startswith("stockpred: Over: ")


# The test of it


def test_a_test_message_reaches_everybody(hook: Receiver, mail: Mailbox) -> None:
    out = StringIO()
    call_command("alert_test", stdout=out)
    assert out.getvalue() == "Sent: e-mail to ana@example.org, webhook.\n"
    assert (len(hook.got), mail.got[0]["Subject"]) == (1, "stockpred: test of the alerts")


def test_a_test_message_without_receivers_says_which_variables_to_set() -> None:
    with pytest.raises(CommandError, match="set ALERT_EMAIL or ALERT_WEBHOOK"):
        call_command("alert_test")


def test_a_test_message_that_is_refused_says_by_whom(mail: Mailbox) -> None:
    mail.refuses = True
    with pytest.raises(CommandError, match="e-mail: "):
        call_command("alert_test")
