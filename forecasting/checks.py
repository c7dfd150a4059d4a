"""System checks for a deployment, each with an id (`manage.py check`)."""

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from forecasting.prices.catalogue import SOURCES, is_simulated


@register()
def queue_timeouts(**_: Any) -> list[CheckMessage]:
    """A task that is redelivered while it runs would run twice, so `retry` must exceed the longest time to its end."""
    base: dict[str, Any] = settings.Q_CLUSTER
    clusters = {base["name"]: base} | {name: base | alternative for name, alternative in base["ALT_CLUSTERS"].items()}
    return [
        Error(
            f"Queue '{name}' delivers a task again after {cluster['retry']} s, but a task may run for {cluster['timeout']} s.",
            hint=f"Set its retry to at least three timeouts plus one minute: {3 * cluster['timeout'] + 60}.",
            id="forecasting.E001",
        )
        for name, cluster in clusters.items()
        if cluster["retry"] < 3 * cluster["timeout"] + 60
    ]


@register()
def media_writable(**_: Any) -> list[CheckMessage]:
    """Trainings write below MEDIA_ROOT. A read-only disk is only a warning, because serving still works after a restart."""
    root = settings.MEDIA_ROOT
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return []
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        return [
            Warning(
                f"MEDIA_ROOT {root} is on a read-only file system: forecasts are served, but no training can be published.",
                hint="Make the file system writable, or set MEDIA_ROOT.",
                id="forecasting.W002",
            )
        ]
    return [
        Error(
            f"MEDIA_ROOT {root} cannot be written.",
            hint="Give the service's user write permission, or set MEDIA_ROOT.",
            id="forecasting.E002",
        )
    ]


@register()
def price_source_usable(**_: Any) -> list[CheckMessage]:
    """PRICE_SOURCE must be known, and the folder of the source, if it has one, must be a folder."""
    if (source := SOURCES.get(settings.PRICE_SOURCE)) is None:
        return [
            Error(
                f"PRICE_SOURCE '{settings.PRICE_SOURCE}' is unknown.",
                hint=f"Set it to {' or '.join(SOURCES)}.",
                id="forecasting.E003",
            )
        ]
    if (name := source.folder) and not getattr(settings, name).is_dir():
        return [
            Error(
                f"{name} {getattr(settings, name)} is not a folder.",
                hint=f"Set {name} to a folder with one {source.files} per symbol.",
                id="forecasting.E004",
            )
        ]
    return []


@register()
def debug_is_local(**_: Any) -> list[CheckMessage]:
    """Debug pages show settings and source code to all clients, and a client can send any Host header."""
    if settings.DEBUG and (public := {settings.HOST, *settings.ALLOWED_HOSTS} - set(settings.LOCAL_HOSTS)):
        return [
            Error(
                f"DEBUG is on, but HOST or ALLOWED_HOSTS admits {', '.join(sorted(public))}.",
                hint="Set DEBUG=False and a SECRET_KEY.",
                id="forecasting.E005",
            )
        ]
    return []


@register()
def pages_show_what_the_api_tells(**_: Any) -> list[CheckMessage]:
    """Pages for visitors have no key, and their charts ask the API."""
    if settings.PUBLIC_PAGES and settings.API_KEY_REQUIRED:
        return [
            Error(
                "PUBLIC_PAGES would show everyone what API_KEY_REQUIRED refuses.",
                hint="Set PUBLIC_PAGES=False, or leave it out.",
                id="forecasting.E006",
            )
        ]
    return []


@register()
def prices_are_real(**_: Any) -> list[CheckMessage]:
    """Simulated prices must never be mistaken for real ones."""
    if is_simulated(settings.PRICE_SOURCE) and not settings.DEBUG:
        return [Warning(f"PRICE_SOURCE={settings.PRICE_SOURCE} serves simulated prices.", id="forecasting.W001")]
    return []
