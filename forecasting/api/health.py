"""Health: whether the process lives, whether it reaches its database, and whether the service is ready."""

import math
import time
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from forecasting import readiness
from forecasting.api import examples
from forecasting.api.documentation import ANYWHERE, SERVICE, answer, errors
from forecasting.api.errors import RETRY_AFTER, body
from forecasting.api.negotiation import AlwaysJson
from forecasting.prices.catalogue import SOURCES
from forecasting.readiness import Part, State

# How long a process gives the same answer of all parts: it costs ten others, and nobody's budget counts it.
REMEMBERED_SECONDS = 1.0

WITHOUT_DATABASE = {code: text for code, text in ANYWHERE.items() if code != status.HTTP_503_SERVICE_UNAVAILABLE}


class Healthy(serializers.Serializer[Any]):
    """The service works."""

    status = serializers.ChoiceField(["ok"])
    prices = serializers.ChoiceField(list(SOURCES), help_text="The price source.")


class Living(serializers.Serializer[Any]):
    """The process answers."""

    status = serializers.ChoiceField(["ok"])


class ReadyPart(serializers.Serializer[Any]):
    """One part of the service."""

    status = serializers.ChoiceField([str(state) for state in State], help_text="`warning` does not make the service unready.")
    text = serializers.CharField(help_text="A sentence for people.")


class ReadyParts(serializers.Serializer[Any]):
    """The parts that the service needs."""

    database = ReadyPart()
    migrations = ReadyPart(help_text="Whether the database has the tables of this release.")
    worker = ReadyPart(help_text="Whether task clusters answer, by their heartbeats.")
    queue = ReadyPart(help_text="Whether tasks and trainings are taken.")
    daily_job = ReadyPart(help_text="Whether it ran within 26 hours.")
    price_source = ReadyPart(help_text="Whether it may be asked.")
    media = ReadyPart(help_text="Whether model files can be written.")


class Ready(serializers.Serializer[Any]):
    """All parts work."""

    status = serializers.ChoiceField(["ok"])
    parts = ReadyParts()


class Health(APIView):
    """Whether this process works and reaches its database."""

    content_negotiation_class = AlwaysJson

    @extend_schema(
        operation_id="health",
        tags=[SERVICE],
        summary="Does the service work?",
        description="Answers while web server and database work.",
        responses={200: Healthy, **errors(ANYWHERE)},
        examples=[answer("It works", examples.HEALTHY)],
    )
    def get(self, request: Request) -> Response:
        """Is the service up?"""
        with connection.cursor() as cursor:  # a statement, because an open connection may lead to a dead server
            cursor.execute("SELECT 1")
        return Response({"status": "ok", "prices": settings.PRICE_SOURCE})


class HealthLive(APIView):
    """Whether this process answers; the database is not asked."""

    content_negotiation_class = AlwaysJson

    @extend_schema(
        operation_id="health_live",
        tags=[SERVICE],
        summary="Does the process answer?",
        description="Answers as long as the web server works, also without the database.",
        responses={200: Living, **errors(WITHOUT_DATABASE)},
        examples=[answer("It answers", examples.LIVING)],
    )
    def get(self, request: Request) -> Response:
        """Is the process alive?"""
        return Response({"status": "ok"})


class HealthReady(APIView):
    """Whether the whole service does its work."""

    content_negotiation_class = AlwaysJson

    @extend_schema(
        operation_id="health_ready",
        tags=[SERVICE],
        summary="Does every part of the service work?",
        description="The state of each part with a sentence. If one does not work, the status is 503. A paused price source "
        "and an incomplete daily run are only warnings, because stored prices serve meanwhile.",
        responses={200: Ready, **errors(WITHOUT_DATABASE | {503: "`error` names what does not work; `details` has all parts."})},
        examples=[answer("Ready", examples.READY), answer("No worker", examples.NOT_READY, status=503)],
    )
    def get(self, request: Request) -> Response:
        """Is the service ready?"""
        parts = _parts(math.floor(time.monotonic() / REMEMBERED_SECONDS))
        shown = {name: {"status": part.status, "text": part.text} for name, part in parts.items()}
        if failing := [name for name, part in parts.items() if not part.is_ready]:
            told = body(f"Not ready: {', '.join(failing)}.", shown)
            return Response(told, status=status.HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": RETRY_AFTER})
        return Response({"status": "ok", "parts": shown})


@lru_cache(maxsize=1)
def _parts(_: int) -> dict[str, Part]:
    """The parts at a moment."""
    return readiness.parts()
