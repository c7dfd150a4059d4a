"""The main routes: each action validates, makes one call and serializes. lists.py has the others."""

from collections.abc import Sequence
from typing import Any, NoReturn

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import status, viewsets
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from forecasting import serving
from forecasting.accounts import log_change
from forecasting.api import documentation, serializers
from forecasting.api.callers import RequestBudget, caller_of, charge, charging
from forecasting.api.check import check_json
from forecasting.api.credentials import STAFF_CREDENTIALS, ApiKey
from forecasting.api.errors import NoSuchSymbolError, TemporarilyUnavailable
from forecasting.api.metrics import metrics_text
from forecasting.api.negotiation import AlwaysJson
from forecasting.api.parameters import require_known
from forecasting.api.permissions import KeyIfRequired
from forecasting.api.predict import predict_json
from forecasting.api.trainings import retrain_json
from forecasting.api.validity import seconds_of_validity
from forecasting.api.written import json_response
from forecasting.callers.budgets import Charged, NewSymbols, OverBudgetError
from forecasting.callers.retraining import retrain
from forecasting.models.standing import STANDING
from forecasting.models.versions import SERVING, STATUSES
from forecasting.scorecards import scorecards
from forecasting.training import requests as training_requests
from forecasting.training.positions import positions_of


def requested(body: Any) -> tuple[list[str], float | None]:
    """The symbols and the coverage, if any, of a valid request of forecasts; raises ValidationError."""
    valid = _validated(_predict_request, body)
    return list(valid["symbols"]), valid.get("coverage")


def requested_tickers(body: Any) -> list[str]:
    """The symbols of another valid request; raises ValidationError."""
    return list(_validated(_request, body)["symbols"])


def _validated(request: serializers.SymbolsRequest, body: Any) -> Any:
    if body is None:
        raise ValidationError({"non_field_errors": ["No data provided"]})
    return request.run_validation(body)


# Each of them counts the request, too.
_standing, _statuses, _serving = Charged(STANDING), Charged(STATUSES), Charged(SERVING)

# One for all requests: they keep nothing of them, and each one would copy its fields.
_request, _predict_request = serializers.SymbolsRequest(), serializers.PredictRequest()


class OpenRoute(APIView):
    """Open to everyone within the budget of requests; API_KEY_REQUIRED closes it."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (ApiKey,)
    permission_classes: Sequence[Any] = (AllowAny, KeyIfRequired)  # AllowAny documents that the key is optional
    throttle_classes = (RequestBudget,)
    content_negotiation_class = AlwaysJson
    charging: frozenset[str] = frozenset()  # actions whose first statement counts the request

    def perform_authentication(self, request: Request) -> None:
        """Counts requests with wrong credentials for their address: each of them costs a query."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            self.check_throttles(request)
            raise

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> NoReturn:
        """Counts requests without the right."""
        self.check_throttles(request)
        super().permission_denied(request, message, code)

    def handle_exception(self, exc: Exception) -> Response:
        """Counts a request that has failed before its first statement."""
        try:
            charge(self.request)
        except OverBudgetError as error:
            exc = error
        return super().handle_exception(exc)


class ModelViewSet(OpenRoute, viewsets.ViewSet):
    """The four main routes."""

    charging = frozenset({"check", "metrics", "predict", "current"})

    @documentation.check
    @action(detail=False, methods=["post"])
    def check(self, request: Request) -> Response:
        """Is there a model?"""
        tickers = requested_tickers(request.data)
        caller = caller_of(request)
        statuses = serving.standing(
            tickers,
            now=timezone.now(),
            budget_s=settings.PREDICT_REFRESH_SECONDS,
            admit=NewSymbols(caller, of=tickers),
            by=str(caller),
            find=charging(request, _statuses),
        )
        positions = positions_of(status.training for status in statuses)
        return Response([check_json(status, positions) for status in statuses])

    @documentation.metrics
    @action(detail=False, methods=["post"])
    def metrics(self, request: Request) -> HttpResponse:
        """How good is it?"""
        tickers = requested_tickers(request.data)
        cards = scorecards(tickers, find=charging(request, _serving))
        return json_response(b"[" + b",".join(metrics_text(ticker, cards.get(ticker)) for ticker in tickers) + b"]")

    @documentation.predict
    @action(detail=False, methods=["post"])
    def predict(self, request: Request) -> HttpResponse:
        """What will the next close be?"""
        tickers, coverage = requested(request.data)
        caller = caller_of(request)
        predictions = serving.predict(
            tickers,
            now=timezone.now(),
            budget_s=settings.PREDICT_REFRESH_SECONDS,
            admit=NewSymbols(caller, of=tickers),
            by=str(caller),
            find=charging(request, _standing),
        )
        positions = positions_of(prediction.training for prediction in predictions)
        return json_response(predict_json(predictions, positions, coverage))

    @documentation.current
    @predict.mapping.get
    def current(self, request: Request) -> HttpResponse:
        """What `predict` answers, but nothing is started."""
        require_known(request.query_params, {"symbols", "coverage"}, repeatable={"symbols"})
        asked = {"symbols": ",".join(listed).split(",")} if (listed := request.query_params.getlist("symbols")) else {}
        tickers, coverage = requested(asked | {name: text for name, text in request.query_params.items() if name == "coverage"})
        now = timezone.now()
        find = charging(request, _standing)
        predictions = serving.current(tickers, now=now, budget_s=settings.PREDICT_REFRESH_SECONDS, find=find)
        positions = positions_of(prediction.training for prediction in predictions)
        whose = "" if caller_of(request).is_anonymous else "private, "
        headers = {"Cache-Control": f"{whose}max-age={seconds_of_validity(predictions, now=now)}"}
        return json_response(predict_json(predictions, positions, coverage), headers=headers)

    @documentation.retrain
    @action(detail=False, methods=["post"], authentication_classes=STAFF_CREDENTIALS)
    def retrain(self, request: Request) -> Response:
        """Train it again."""
        serializer = serializers.SymbolRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        ticker = serializer.validated_data["symbol"]
        caller = caller_of(request)
        new = NewSymbols(caller, of=[ticker])
        try:
            symbol = serving.trainable(ticker, now=timezone.now(), budget_s=settings.PREDICT_REFRESH_SECONDS, admit=new)
            training = retrain(symbol, by=caller, now=timezone.now())
            if request.user.is_staff:
                log_change(request.user, symbol, f"Training requested through the API by {caller}.")
        except serving.NotTrainableError as error:
            raise NoSuchSymbolError({"symbol": [serving.NOT_STARTED.format(reason=error)]}) from error
        except (serving.NoAnswerYetError, training_requests.QueueFullError) as error:
            raise TemporarilyUnavailable(serving.NOT_STARTED.format(reason=error)) from error
        return Response(retrain_json(training, positions_of([training])), status=status.HTTP_202_ACCEPTED)
