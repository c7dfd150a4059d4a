"""What Prometheus reads: counters of the web server's processes, and figures of the database."""

from django.conf import settings


def enabled() -> bool:
    """Whether there are metrics: with a key, or on a developer's machine. Otherwise nothing is counted."""
    return bool(settings.METRICS_KEY or settings.DEBUG)
