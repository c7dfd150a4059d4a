"""The routes: each action validates, makes one call and serializes."""

from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from django_filters.rest_framework import FilterSet
from rest_framework import mixins, status, viewsets
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.views import APIView

from forecasting import ledger, registry, serving
from forecasting.api import documentation, filters, records, serializers
from forecasting.api.callers import RequestBudget, caller_of
from forecasting.api.check import check_json
from forecasting.api.credentials import STAFF_CREDENTIALS, ApiKey
from forecasting.api.csv_lists import csv_response
from forecasting.api.errors import RETRY_AFTER, NoSuchSymbolError, TemporarilyUnavailable
from forecasting.api.metrics import metrics_json
from forecasting.api.negotiation import AlwaysJson
from forecasting.api.pages import Pages
from forecasting.api.parameters import one_of, require_known
from forecasting.api.permissions import KeyIfRequired, MayChange, MayManageWebhooks
from forecasting.api.predict import predict_json, seconds_of_validity
from forecasting.api.rows import all_but
from forecasting.api.trainings import retrain_json
from forecasting.api.waiting import wait_until_ended
from forecasting.api.webhooks import NewWebhookSerializer, WebhookSerializer
from forecasting.callers.budgets import NewSymbols
from forecasting.callers.retraining import retrain
from forecasting.models import Finding, Forecast, ModelVersion, Restatement, Symbol, Training, Webhook
from forecasting.models.symbols import TICKER_IN_ANY_CASE
from forecasting.pipeline.serving.artifacts import ArtifactError
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from forecasting.training.positions import positions_of

Row = TypeVar("Row", bound=Model)

FORMATS = ("json", "csv")  # of lists


class Health(APIView):
    """Whether this process works and reaches its database."""

    content_negotiation_class = AlwaysJson

    @documentation.health
    def get(self, request: Request) -> Response:
        """Is the service up?"""
        with connection.cursor() as cursor:  # a statement, because an open connection may lead to a dead server
            cursor.execute("SELECT 1")
        return Response({"status": "ok", "prices": settings.PRICE_SOURCE})


def requested_tickers(body: Any) -> list[str]:
    """The symbols of a valid request; raises ValidationError."""
    serializer = serializers.SymbolsRequest(data=body)
    serializer.is_valid(raise_exception=True)
    return list(serializer.validated_data["symbols"])


class OpenRoute(APIView):
    """Open to everyone within the budget of requests; API_KEY_REQUIRED closes it."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (ApiKey,)
    permission_classes: Sequence[Any] = (AllowAny, KeyIfRequired)  # AllowAny documents that the key is optional
    throttle_classes = (RequestBudget,)
    content_negotiation_class = AlwaysJson

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


class ModelViewSet(OpenRoute, viewsets.ViewSet):
    """The four main routes."""

    @documentation.check
    @action(detail=False, methods=["post"])
    def check(self, request: Request) -> Response:
        """Is there a model?"""
        tickers = requested_tickers(request.data)
        new = NewSymbols(caller_of(request))
        statuses = serving.standing(tickers, now=timezone.now(), budget_s=settings.PREDICT_REFRESH_SECONDS, admit=new)
        new.require_any(tickers)
        positions = positions_of(status.training for status in statuses)
        return Response([check_json(status, positions) for status in statuses])

    @documentation.metrics
    @action(detail=False, methods=["post"])
    def metrics(self, request: Request) -> Response:
        """How good is it?"""
        tickers = requested_tickers(request.data)
        cards = ledger.scorecards(tickers)
        return Response([metrics_json(ticker, cards.get(ticker)) for ticker in tickers])

    @documentation.predict
    @action(detail=False, methods=["post"])
    def predict(self, request: Request) -> Response:
        """What will the next close be?"""
        tickers = requested_tickers(request.data)
        new = NewSymbols(caller_of(request))
        predictions = serving.predict(tickers, now=timezone.now(), budget_s=settings.PREDICT_REFRESH_SECONDS, admit=new)
        new.require_any(tickers)
        positions = positions_of(prediction.training for prediction in predictions)
        return Response(predict_json(predictions, positions))

    @documentation.current
    @predict.mapping.get
    def current(self, request: Request) -> Response:
        """What `predict` answers, but nothing is started."""
        require_known(request.query_params, {"symbols"}, repeatable={"symbols"})
        listed = request.query_params.getlist("symbols")
        tickers = requested_tickers({"symbols": ",".join(listed).split(",")} if listed else {})
        now = timezone.now()
        predictions = serving.current(tickers, now=now, budget_s=settings.PREDICT_REFRESH_SECONDS)
        positions = positions_of(prediction.training for prediction in predictions)
        headers = {"Cache-Control": f"max-age={seconds_of_validity(predictions, now=now)}"}
        return Response(predict_json(predictions, positions), headers=headers)

    @documentation.retrain
    @action(detail=False, methods=["post"], authentication_classes=STAFF_CREDENTIALS)
    def retrain(self, request: Request) -> Response:
        """Train it again."""
        serializer = serializers.SymbolRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        ticker = serializer.validated_data["symbol"]
        caller = caller_of(request)
        new = NewSymbols(caller)
        try:
            symbol = serving.trainable(ticker, now=timezone.now(), budget_s=settings.PREDICT_REFRESH_SECONDS, admit=new)
            training = retrain(symbol, by=caller, now=timezone.now())
        except serving.NotTrainableError as error:
            new.require_any([ticker])
            raise NoSuchSymbolError({"symbol": [serving.NOT_STARTED.format(reason=error)]}) from error
        except (serving.NoAnswerYetError, training_requests.QueueFullError) as error:
            raise TemporarilyUnavailable(serving.NOT_STARTED.format(reason=error)) from error
        return Response(retrain_json(training, positions_of([training])), status=status.HTTP_202_ACCEPTED)


class RecordViewSet(OpenRoute, viewsets.ReadOnlyModelViewSet[Row]):
    """A list and its rows."""

    pagination_class = Pages
    filterset_class: type[FilterSet]
    serializer_class: type[Serializer[Any]]

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One row."""
        require_known(request.query_params, ())
        return super().retrieve(request, *args, **kwargs)

    def complete(self, rows: Sequence[Row]) -> None:
        """Adds to the rows what the query does not select."""

    def get_object(self) -> Row:
        """The row of the URL."""
        row = super().get_object()
        self.complete([row])
        return row

    def paginate_queryset(self, queryset: QuerySet[Row, Any] | Sequence[Any]) -> list[Any] | None:
        """One page of rows."""
        page = super().paginate_queryset(queryset)
        self.complete(page or [])
        return page

    def filter_queryset(self, queryset: QuerySet[Row, Any]) -> QuerySet[Row, Any]:
        """The filtered rows. Without a query there are no filters, and the form that checks them is not built."""
        return super().filter_queryset(queryset) if self.request.query_params else queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response | StreamingHttpResponse:  # type: ignore[override]
        """A page of rows, or all of them as CSV."""
        pages = set() if request.query_params.get("format") == "csv" else {"page", "page_size"}
        require_known(request.query_params, {*self.filterset_class.base_filters, "format", *pages})
        if one_of(request.query_params, "format", FORMATS, default="json") == "json":
            return super().list(request, *args, **kwargs)
        rows = self.filter_queryset(self.get_queryset())
        if request.method == "HEAD":
            rows = rows.none()
        return csv_response(rows, self.serializer_class(), name=f"{self.basename}s", complete=self.complete)


@documentation.symbols
class SymbolViewSet(RecordViewSet[Symbol]):
    """All symbols that the price source has ever known, with their newest bar."""

    queryset = Symbol.objects.all().with_last_bar()
    serializer_class = records.SymbolSerializer
    filterset_class = filters.SymbolFilter
    lookup_field = "ticker"
    lookup_value_regex = TICKER_IN_ANY_CASE

    def get_object(self) -> Symbol:
        """The symbol of the URL; case is ignored."""
        self.kwargs["ticker"] = self.kwargs["ticker"].upper()
        return super().get_object()

    def complete(self, rows: Sequence[Symbol]) -> None:
        """Adds the newest restatements."""
        Restatement.objects.all().add_newest(rows, count=records.RESTATEMENTS_SHOWN)


@documentation.versions
class VersionViewSet(RecordViewSet[ModelVersion]):
    """Every published version, with its metrics."""

    queryset = (
        ModelVersion.objects.select_related("symbol")
        .defer(*all_but("symbol", Symbol, "ticker", "currency"))
        .with_data_revised()
        .with_live_record()
    )
    serializer_class = records.VersionSerializer
    filterset_class = filters.VersionFilter

    @documentation.activate
    @action(detail=True, methods=["post"], authentication_classes=STAFF_CREDENTIALS, permission_classes=[IsAdminUser, MayChange])
    def activate(self, request: Request, pk: str) -> Response:
        """Replaces the active version with this one."""
        version = self.get_object()
        try:
            registry.activate(version, by=request.user.get_username())
        except ArtifactError as error:
            raise ValidationError({"version": [f"Its files cannot be used: {error}"]}) from error
        return Response(self.get_serializer(version).data)


@documentation.trainings
class TrainingViewSet(RecordViewSet[Training]):
    """Every training: waiting, running or ended, with the reason of a failure."""

    queryset = Training.objects.select_related("symbol").defer(*all_but("symbol", Symbol, "ticker")).with_version()
    serializer_class = records.TrainingSerializer
    filterset_class = filters.TrainingFilter

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A training; with `wait`, as soon as it has ended, or after that many seconds."""
        require_known(request.query_params, {"wait"})
        seconds = serializers.WaitQuery(data=request.query_params)
        seconds.is_valid(raise_exception=True)
        training = self.get_object()
        waited = wait_until_ended(training, seconds=seconds.validated_data["wait"])
        return Response(self.get_serializer(training).data, headers={} if waited else {"Retry-After": RETRY_AFTER})

    @documentation.cancel
    @action(detail=True, methods=["post"], authentication_classes=STAFF_CREDENTIALS, permission_classes=[IsAdminUser, MayChange])
    def cancel(self, request: Request, pk: str) -> Response:
        """Ends a training that waits or runs."""
        training = self.get_object()
        cancelled = training_queue.cancel(training, by=request.user.get_username())
        training.refresh_from_db()
        if not cancelled:
            raise ValidationError({"training": [f"It has already ended: {training.state}."]})
        return Response(self.get_serializer(training).data)


@documentation.forecasts
class ForecastViewSet(RecordViewSet[Forecast]):
    """Every forecast ever served, with the actual close if it is known."""

    queryset = (
        Forecast.objects.with_score()
        .select_related("symbol", "version")
        .defer(*all_but("symbol", Symbol, "ticker", "currency"), *all_but("version", ModelVersion, "number", "symbol"))
    )
    serializer_class = records.ForecastSerializer
    filterset_class = filters.ForecastFilter

    def get_serializer_class(self) -> type[records.ForecastSerializer]:
        """The detail route shows all scores."""
        return records.ForecastDetailSerializer if self.action == "retrieve" else records.ForecastSerializer


@documentation.findings
class FindingViewSet(RecordViewSet[Finding]):
    """What the quality gate found in its last check of the prices."""

    queryset = Finding.objects.select_related("symbol").defer(*all_but("symbol", Symbol, "ticker"))
    serializer_class = records.FindingSerializer
    filterset_class = filters.FindingFilter


@documentation.webhooks
class WebhookViewSet(mixins.CreateModelMixin, mixins.DestroyModelMixin, RecordViewSet[Webhook]):
    """Addresses that are told of events."""

    authentication_classes = STAFF_CREDENTIALS
    permission_classes = (MayManageWebhooks,)
    queryset = Webhook.objects.all()
    serializer_class = WebhookSerializer
    filterset_class = filters.WebhookFilter

    def get_queryset(self) -> QuerySet[Webhook]:
        """A key without an account sees its own webhooks only."""
        webhooks = super().get_queryset()
        return webhooks if self.request.user.is_staff else webhooks.filter(created_by=str(caller_of(self.request)))

    def get_serializer_class(self) -> type[WebhookSerializer]:
        """Only the answer to its creation has the secret."""
        return NewWebhookSerializer if self.action == "create" else WebhookSerializer

    def perform_create(self, serializer: BaseSerializer[Webhook]) -> None:
        """Notes who made it."""
        serializer.save(created_by=str(caller_of(self.request)))
