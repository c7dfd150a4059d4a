"""System checks: what can be wrong with a deployment, each with an id (`manage.py check`)."""

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


@register()
def queue_timeouts(**_: Any) -> list[CheckMessage]:
    """A task that is delivered again while it still runs would run twice: `retry` must exceed what may precede its end."""
    base: dict[str, Any] = settings.Q_CLUSTER
    clusters = {base["name"]: base} | {name: base | alternative for name, alternative in base["ALT_CLUSTERS"].items()}
    return [
        Error(
            f"Queue '{name}' delivers a task again after {cluster['retry']} s though it may run for {cluster['timeout']} s.",
            hint=f"Set its retry to at least three timeouts and a minute: {3 * cluster['timeout'] + 60}.",
            id="forecasting.E001",
        )
        for name, cluster in clusters.items()
        if cluster["retry"] < 3 * cluster["timeout"] + 60
    ]


@register()
def media_writable(**_: Any) -> list[CheckMessage]:
    """Trainings publish their files below MEDIA_ROOT. A disk that went read-only stops only them: whatever restarts serves on."""
    root = settings.MEDIA_ROOT
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return []
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        return [
            Warning(
                f"MEDIA_ROOT {root} is on a file system that takes no writing: forecasts are served, no training can be published.",
                hint="Make the file system writable, or set MEDIA_ROOT.",
                id="forecasting.W002",
            )
        ]
    return [
        Error(
            f"MEDIA_ROOT {root} cannot be written.",
            hint="Let the service's user write it, or set MEDIA_ROOT.",
            id="forecasting.E002",
        )
    ]


@register()
def price_source_usable(**_: Any) -> list[CheckMessage]:
    """The source must exist, and a folder of CSV files must be one."""
    if settings.PRICE_SOURCE not in ("yahoo", "csv", "sample"):
        return [
            Error(
                f"PRICE_SOURCE '{settings.PRICE_SOURCE}' is unknown.",
                hint="Set it to yahoo, csv or sample.",
                id="forecasting.E003",
            )
        ]
    if settings.PRICE_SOURCE == "csv" and not settings.PRICE_DIR.is_dir():
        return [
            Error(
                f"PRICE_DIR {settings.PRICE_DIR} is not a folder.",
                hint="Set PRICE_DIR to a folder with one SYMBOL.csv a symbol.",
                id="forecasting.E004",
            )
        ]
    return []


@register()
def debug_is_local(**_: Any) -> list[CheckMessage]:
    """Debug pages show settings and source code to whoever can reach them; the name in a request is the client's to choose."""
    if settings.DEBUG and (public := {settings.HOST, *settings.ALLOWED_HOSTS} - set(settings.LOCAL_HOSTS)):
        return [
            Error(
                f"DEBUG is on while HOST or ALLOWED_HOSTS admits {', '.join(sorted(public))}.",
                hint="Set DEBUG=False and a SECRET_KEY.",
                id="forecasting.E005",
            )
        ]
    return []


@register()
def prices_are_real(**_: Any) -> list[CheckMessage]:
    """Simulated prices must never be taken for a market's."""
    if settings.PRICE_SOURCE == "sample" and not settings.DEBUG:
        return [Warning("PRICE_SOURCE=sample serves simulated prices.", id="forecasting.W001")]
    return []
