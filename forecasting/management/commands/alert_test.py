"""`manage.py alert_test`: sends a message to all receivers of alerts."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from forecasting.background import alerts


class Command(BaseCommand):
    """To find out before an alert whether it would arrive."""

    help = "Sends a test message to everybody who is told of alerts."

    def handle(self, *args: Any, **options: Any) -> None:
        """Says who should have got it. Raises CommandError if a receiver did not take it, or if there is none."""
        if not alerts.receivers():
            raise CommandError("Nobody would be told: set ALERT_EMAIL or ALERT_WEBHOOK.")
        text = "This is a test of the alerts. Nothing is wrong."
        try:
            failures = alerts.send("test of the alerts", [text], message_id=f"test_{timezone.now():%Y%m%d%H%M%S}")
        except alerts.UntoldError as error:
            raise CommandError(f"Not sent: {error}.") from error
        if failures:
            raise CommandError(f"Not sent by {'; '.join(failures)}.")
        silent = "" if settings.ALERTS else " But alerts are off: ALERTS=on sends them."
        self.stdout.write(f"Sent: {', '.join(alerts.receivers())}.{silent}")
