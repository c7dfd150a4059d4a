"""Webhooks: which events are told, how they are signed, and what becomes of deliveries that fail."""

import base64
import hashlib
import hmac
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone
from pytest_django import Settings

from forecasting import scoring
from forecasting.background import outgoing, webhooks
from forecasting.background.outgoing import UndeliveredError, is_public, post
from forecasting.models import Delivery, Symbol, Webhook
from forecasting.models.webhooks import DeliveryState, WebhookEvent
from forecasting.runtime.processes import wait_for
from forecasting.training import queue as training_queue
from tests.factories import add_bar, make_claimed, make_forecast, make_symbol, make_training, make_version
from tests.receiver import Receiver, receiver
from tests.task_queue import queued_tasks

pytestmark = pytest.mark.django_db

DAY = date(2024, 6, 27)


@pytest.fixture
def hook(settings: Settings) -> Iterator[Receiver]:
    """A receiver that is told of everything."""
    settings.WEBHOOK_ALLOW_PRIVATE = True
    with receiver() as ours:
        Webhook.objects.create(url=ours.url, events=WebhookEvent.values)
        yield ours


def told(hook: Receiver) -> list[str]:
    """The types of the messages that have arrived once all due ones are delivered."""
    webhooks.deliver_due()
    return [message["type"] for message in hook.messages()]


def cancelled(symbol: Symbol) -> None:
    training_queue.cancel(make_training(symbol), by="ana")


def failed(symbol: Symbol) -> None:
    training_queue.fail(make_claimed(symbol), error="too few bars")


@pytest.mark.parametrize("end", [cancelled, failed])
def test_the_end_of_a_training_is_told(hook: Receiver, end: Callable[[Symbol], None]) -> None:
    end(make_symbol())
    assert told(hook) == ["training.ended"]
    (message,) = hook.messages()
    assert (message["data"]["symbol"], message["data"]["state"]) == ("SAMPLE1", end.__name__)


def test_a_training_that_is_tried_again_is_not_told(hook: Receiver) -> None:
    training_queue.retry(make_claimed(make_symbol()), error="no prices")
    assert told(hook) == []


def test_a_new_version_that_serves_and_its_forecast_are_told(hook: Receiver) -> None:
    make_forecast(make_version(make_symbol()), DAY)
    assert told(hook) == ["version.activated", "forecast.issued"]


def test_a_version_that_does_not_serve_is_not_told(hook: Receiver) -> None:
    make_version(make_symbol(), state="rejected")
    assert told(hook) == []


def test_a_score_is_told_with_the_forecast(hook: Receiver) -> None:
    symbol = make_symbol()
    forecast = make_forecast(make_version(symbol), DAY)
    add_bar(symbol, DAY, 100.0)
    add_bar(symbol, forecast.target_date, 102.0)
    scoring.score_due()
    assert told(hook)[2:] == ["forecast.scored"]
    assert hook.messages()[-1]["data"]["actual_close"] == 102.0


def test_only_wanted_events_are_told_and_only_while_the_webhook_is_active(hook: Receiver) -> None:
    Webhook.objects.update(events=[WebhookEvent.FORECAST_ISSUED])
    make_forecast(make_version(make_symbol()), DAY)
    assert told(hook) == ["forecast.issued"]
    Webhook.objects.update(active=False)
    make_forecast(make_version(make_symbol("SAMPLE2")), DAY)
    assert told(hook) == ["forecast.issued"]


def test_what_waits_for_an_inactive_webhook_is_sent_once_it_is_active_again(hook: Receiver) -> None:
    cancelled(make_symbol())
    Webhook.objects.update(active=False)
    webhooks.wake_if_due()
    assert "forecasting.background.tasks.deliver_webhooks" not in queued_tasks("short")
    assert told(hook) == []
    Webhook.objects.update(active=True)
    assert told(hook) == ["training.ended"]


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(IntegrityError, match="webhook_events_known"):
        Webhook.objects.create(url="https://example.org", events=["training.started"])


def test_a_message_is_signed_with_the_secret(hook: Receiver) -> None:
    cancelled(make_symbol())
    told(hook)
    ((headers, body),) = hook.got
    key = base64.b64decode(Webhook.objects.get().secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["host"] == hook.url.split("/")[2]


def test_a_refused_message_is_sent_again_later_with_the_same_id(hook: Receiver) -> None:
    hook.statuses = [500]
    cancelled(make_symbol())
    assert told(hook) == ["training.ended"]
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.error, delivery.status_code) == (DeliveryState.WAITING, "answer 500", 500)
    assert delivery.not_before > timezone.now() + timedelta(seconds=5)
    Delivery.objects.update(not_before=timezone.now())
    assert told(hook) == ["training.ended"] * 2
    assert len({headers["webhook-id"] for headers, _ in hook.got}) == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.status_code, delivery.error) == (DeliveryState.DELIVERED, 2, 204, "")


def test_a_receiver_that_fails_is_left_alone_for_longer_each_time(hook: Receiver) -> None:
    hook.statuses = [500, 500]
    for ticker in ("SAMPLE1", "SAMPLE2"):
        cancelled(make_symbol(ticker))
    told(hook)
    assert len(hook.got) == 1
    Delivery.objects.update(not_before=timezone.now())
    told(hook)
    assert len(hook.got) == 2
    assert min(Delivery.objects.values_list("not_before", flat=True)) > timezone.now() + timedelta(seconds=50)


def test_a_redirect_is_not_followed(hook: Receiver) -> None:
    hook.statuses = [307]
    cancelled(make_symbol())
    told(hook)
    assert (len(hook.got), Delivery.objects.get().error) == (1, "answer 307")


def test_a_receiver_that_is_gone_is_told_of_nothing_more(hook: Receiver) -> None:
    hook.statuses = [410]
    for ticker in ("SAMPLE1", "SAMPLE2"):
        cancelled(make_symbol(ticker))
    told(hook)
    assert not Webhook.objects.get().active
    Delivery.objects.update(not_before=timezone.now())
    told(hook)
    assert len(hook.got) == 1
    assert sorted(Delivery.objects.values_list("state", flat=True)) == [DeliveryState.FAILED, DeliveryState.WAITING]


def test_after_two_days_a_message_is_given_up(hook: Receiver) -> None:
    hook.statuses = [500]
    cancelled(make_symbol())
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=2, seconds=1))
    told(hook)
    assert Delivery.objects.get().state == DeliveryState.FAILED


def test_old_deliveries_are_removed(hook: Receiver) -> None:
    cancelled(make_symbol())
    assert not Delivery.objects.all().old().exists()
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    assert Delivery.objects.all().old().exists()


def test_due_deliveries_enqueue_one_task(hook: Receiver) -> None:
    webhooks.wake_if_due()
    assert queued_tasks("short") == []
    cancelled(make_symbol())
    before = len(queued_tasks("short"))
    webhooks.wake_if_due()
    webhooks.wake_if_due()
    assert queued_tasks("short")[before:] == ["forecasting.background.tasks.deliver_webhooks"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1", "fe80::1%eth0",  # noqa: S104
     "fd00::1", "::ffff:10.0.0.1", "2002:a00:1::1", "64:ff9b::a00:1"],
)  # fmt: skip
def test_addresses_of_this_machine_and_its_network_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1"])
def test_a_private_receiver_gets_nothing(hook: Receiver, host: str) -> None:
    url = hook.url.replace("127.0.0.1", host)
    with pytest.raises(UndeliveredError, match="private"):
        post(url, b"{}", headers={}, allow_private=False)
    assert hook.got == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org:99999/", "not valid"),
        ("ftp://example.org", "not an http"),
        ("http://", "not an http"),
        ("http://name.invalid/", "cannot be resolved"),
    ],
)
def test_an_address_that_cannot_be_used_says_why(url: str, reason: str) -> None:
    with pytest.raises(UndeliveredError, match=reason):
        post(url, b"{}", headers={}, allow_private=False)


def test_a_receiver_that_answers_byte_by_byte_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "DEADLINE_S", 1.0)
    ended = threading.Event()

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while not ended.wait(0.1):
                    self.request.sendall(b"H")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(UndeliveredError, match="no whole answer within 1 s"):
            post(f"http://127.0.0.1:{server.server_address[1]}/", b"{}", headers={}, allow_private=True)
        assert time.monotonic() - began < 5
        assert wait_for(lambda: "webhook" not in {thread.name for thread in threading.enumerate()}, seconds=5)
        ended.set()
        server.shutdown()


def test_a_receiver_that_does_not_answer_says_so() -> None:
    with receiver() as ours:
        url = ours.url
    with pytest.raises(UndeliveredError, match="no answer"):
        post(url, b"{}", headers={}, allow_private=True)
