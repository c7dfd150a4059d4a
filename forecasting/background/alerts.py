"""Tells the operator what is wrong, once, and when it is over.

The watcher must not be what has died. So the worker watches, and so does each process of the web server. A lock lets one of them
look at a time. Whoever looks also sends: a task would need the worker.
"""

import json
import logging
import smtplib
import threading
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.core.mail import send_mail
from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from forecasting.background.conditions import CONDITIONS, Found, machine
from forecasting.background.outgoing import UndeliveredError, post
from forecasting.background.webhooks import signed
from forecasting.models import Alert
from forecasting.models.alerts import AlertEvent
from forecasting.models.locks import Lock, lock_if_free
from forecasting.runtime.clock import Pace
from forecasting.runtime.processes import StopSignal

KEPT = timedelta(days=90)  # after its end
SHOWN = 20  # lines of a message
GONE_SECONDS = 3600
SLACK_SECONDS = 30.0  # a look may take so long

logger = logging.getLogger(__name__)


class UntoldError(Exception):
    """No receiver took the message; the text says why."""


def watch(stop: StopSignal) -> None:
    """Looks every ALERT_SECONDS, in a thread of its own, until the process stops. The first look leaves time for a start."""
    if settings.ALERTS:
        threading.Thread(target=_watch, args=[stop], name="alerts", daemon=True).start()


def look() -> None:
    """Notes what is wrong now and what is over, and tells of it; does nothing while another process looks."""
    with lock_if_free(Lock.ALERTS) as mine:
        if not mine:
            return
        for event, find in CONDITIONS.items():
            _note(event, find())
        _end_of_gone_machines()
        _tell()
        Alert.objects.filter(ended_at__lt=Now() - KEPT).delete()


def receivers() -> list[str]:
    """Who is told, in words."""
    return [*(f"e-mail to {each}" for each in settings.ALERT_EMAIL), *(["webhook"] if settings.ALERT_WEBHOOK else [])]


def send(subject: str, lines: Sequence[str], *, message_id: str, alerts: Sequence[Alert] = ()) -> list[str]:
    """Sends a message to all receivers; returns the failures. Raises UntoldError if there was no success."""
    sent, failures = 0, []
    for attempt in [*([_mail] if settings.ALERT_EMAIL else []), *([_hook] if settings.ALERT_WEBHOOK else [])]:
        try:
            attempt(subject, lines, message_id, alerts)
            sent += 1
        except (UndeliveredError, smtplib.SMTPException, OSError) as error:
            failures.append(f"{'e-mail' if attempt is _mail else 'webhook'}: {error}")
    if failures and not sent:
        raise UntoldError("; ".join(failures))
    return failures


def _watch(stop: StopSignal) -> None:
    pace = Pace(longest_s=settings.ALERT_SECONDS + SLACK_SECONDS)
    while not stop.wait(settings.ALERT_SECONDS):
        if pace.was_suspended():
            continue  # so was the worker, if the machine has slept: it needs a moment for a sign of life
        try:
            look()
        except (OperationalError, InterfaceError) as error:
            logger.warning("alerts wait for the database: %s", str(error).partition("\n")[0])
        except Exception:  # a fault in one look must not end the watch without anybody noticing
            logger.exception("a look for alerts failed; the next one is in %d s", settings.ALERT_SECONDS)
        finally:
            connection.close()


def _note(event: AlertEvent, found: Found) -> None:
    mine = machine() if event == AlertEvent.DISK else ""
    standing = {alert.subject: alert for alert in Alert.objects.standing().filter(event=event, subject__startswith=mine)}
    new = [Alert(event=event, subject=subject, text=text) for subject, text in found.items() if text and subject not in standing]
    for alert in Alert.objects.bulk_create(new):
        logger.error("alert: %s", alert)
    over = [alert for subject, alert in standing.items() if subject not in found]
    Alert.objects.filter(pk__in=[alert.pk for alert in over]).update(ended_at=Now())
    for alert in over:
        logger.info("alert is over: %s", alert)


def _end_of_gone_machines() -> None:
    """Ends what only a machine itself can find over, if it has not looked for GONE_SECONDS: a new container has another name."""
    cache.set(_looked(machine()), True, timeout=GONE_SECONDS)
    local = list(Alert.objects.standing().filter(event=AlertEvent.DISK))
    gone = [alert.pk for alert in local if not cache.get(_looked(alert.subject))]
    Alert.objects.filter(pk__in=gone).update(ended_at=Now())


def _looked(subject: str) -> str:
    """Cache key: whether the machine of this subject looks."""
    return f"alerts-{subject.partition(' ')[0]}"


def _tell() -> None:
    """One message for all that is new. If no receiver takes it, the next look tries again."""
    alerts = list(Alert.objects.to_tell())
    if not alerts:
        return
    raised = [alert for alert in alerts if alert.told_at is None]
    ended = [alert for alert in alerts if alert.ended_at]
    lines = [*(f"{alert}" for alert in raised), *(f"Over: {alert}" for alert in ended)]
    subject = lines[0] if len(lines) == 1 else f"{len(raised)} alerts, {len(ended)} over"
    try:
        for failure in send(subject, lines, message_id=f"alert_{alerts[-1].pk}_{len(ended)}", alerts=alerts):
            logger.error("alert not sent by %s", failure)
    except UntoldError as error:
        logger.error("alerts not sent: %s", error)
        return
    Alert.objects.filter(pk__in=[alert.pk for alert in raised]).update(told_at=Now())
    Alert.objects.filter(pk__in=[alert.pk for alert in ended]).update(end_told_at=Now())


def _mail(subject: str, lines: Sequence[str], message_id: str, alerts: Sequence[Alert]) -> None:
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    title = " ".join(f"stockpred: {subject}".split())[:150]  # a header is one line
    send_mail(title, "\n".join([*lines[:SHOWN], *more]), None, settings.ALERT_EMAIL)


def _hook(subject: str, lines: Sequence[str], message_id: str, alerts: Sequence[Alert]) -> None:
    listed = [
        {
            "event": alert.event,
            "subject": alert.subject,
            "text": alert.text,
            "since": alert.since.isoformat(),
            "ended_at": alert.ended_at.isoformat() if alert.ended_at else None,
        }
        for alert in alerts
    ]
    message = {"type": "alerts", "timestamp": timezone.now().isoformat(), "data": {"text": subject, "alerts": listed}}
    body = json.dumps(message, ensure_ascii=False).encode()
    headers = signed(body, message_id=message_id, secret=settings.ALERT_WEBHOOK_SECRET)
    status = post(settings.ALERT_WEBHOOK, body, headers=headers, allow_private=settings.WEBHOOK_ALLOW_PRIVATE)
    if not 200 <= status < 300:
        raise UndeliveredError(f"answer {status}")
