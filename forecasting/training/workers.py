"""Whether a worker runs, by the heartbeats in the database."""

from datetime import UTC, timedelta

from django.conf import settings

from forecasting.models import WorkerProcess

CLUSTERS = ("short", "training")


def absence(*clusters: str) -> str:
    """Since when no process of one of these clusters has given a sign of life; empty if all have within HANG_SECONDS.

    One query.
    """
    seen = WorkerProcess.objects.last_seen(within=timedelta(seconds=settings.HANG_SECONDS))
    if any(cluster not in seen for cluster in clusters):
        return "No worker has run yet."
    absent = [moment for moment, is_there in (seen[cluster] for cluster in clusters) if not is_there]
    return f"No worker since {min(absent).astimezone(UTC):%Y-%m-%d %H:%M} UTC." if absent else ""
