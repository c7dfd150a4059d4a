"""The lists of stored rows, and what staff do with single rows."""

from typing import Any, TypeVar, cast

from django.contrib.admin.models import ADDITION, DELETION
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django_filters.rest_framework import FilterSet
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer

from forecasting import registry
from forecasting.accounts import log_change
from forecasting.api import filters, list_documentation, records, serializers
from forecasting.api.callers import caller_of
from forecasting.api.credentials import STAFF_CREDENTIALS
from forecasting.api.csv_lists import csv_response
from forecasting.api.errors import RETRY_AFTER
from forecasting.api.pages import Pages
from forecasting.api.parameters import one_of, require_known
from forecasting.api.permissions import MayChange, MayManageWebhooks
from forecasting.api.rows import all_but
from forecasting.api.views import OpenRoute
from forecasting.api.waiting import wait_until_ended
from forecasting.api.webhooks import NewWebhookSerializer, WebhookSerializer
from forecasting.api.written import written
from forecasting.models import Finding, Forecast, ModelVersion, Symbol, Training, Webhook
from forecasting.models.pages import PreparedPages
from forecasting.models.symbols import TICKER_IN_ANY_CASE
from forecasting.pipeline.serving.verified import ArtifactError
from forecasting.training import queue as training_queue

Row = TypeVar("Row", bound=Model)

FORMATS = ("json", "csv")


class RecordViewSet(OpenRoute, viewsets.ReadOnlyModelViewSet[Row]):
    """A list and its rows."""

    pagination_class = Pages
    queryset: QuerySet[Any, Any]
    filterset_class: type[FilterSet]
    serializer_class: type[Serializer[Any]]
    pages: PreparedPages[Row]  # of `queryset`

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.pages = PreparedPages(cls.queryset, usual=Pages.page_size)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One row."""
        require_known(request.query_params, ())
        return super().retrieve(request, *args, **kwargs)

    def paginate_queryset(self, queryset: QuerySet[Row, Any]) -> list[Any] | None:  # type: ignore[override]  # no list is given
        """One page of rows."""
        is_filtered = queryset.query.where != self.queryset.query.where
        rows: Any = queryset if is_filtered else self.pages
        return super().paginate_queryset(rows)

    def filter_queryset(self, queryset: QuerySet[Row, Any]) -> QuerySet[Row, Any]:
        """The filtered rows. Without a query there are no filters, and the form that checks them is not built."""
        return super().filter_queryset(queryset) if self.request.query_params else queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """A page of rows, or all of them as CSV."""
        pages = set() if request.query_params.get("format") == "csv" else {"page", "page_size"}
        require_known(request.query_params, {*self.filterset_class.base_filters, "format", *pages})
        if one_of(request.query_params, "format", FORMATS, default="json") == "json":
            return self._page()
        rows = self.filter_queryset(self.get_queryset())
        if request.method == "HEAD":
            rows = rows.none()
        return csv_response(rows, self.serializer_class(), name=f"{self.basename}s")

    def _page(self) -> HttpResponse:
        """A page of rows as JSON."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        show = self.get_serializer().to_representation
        return cast("Pages", self.paginator).response(written(row, show) for row in page)


@list_documentation.symbols
class SymbolViewSet(RecordViewSet[Symbol]):
    """All followed symbols that the price source has ever known, with their newest bar."""

    queryset = (
        Symbol.objects.filter(followed=True)
        .with_last_bar()
        .with_newest_restatements(*records.RESTATEMENT_FIELDS, count=records.RESTATEMENTS_SHOWN)
    )
    serializer_class = records.SymbolSerializer
    filterset_class = filters.SymbolFilter
    lookup_field = "ticker"
    lookup_value_regex = TICKER_IN_ANY_CASE

    def get_object(self) -> Symbol:
        """The symbol of the URL; case is ignored."""
        self.kwargs["ticker"] = self.kwargs["ticker"].upper()
        return super().get_object()


@list_documentation.versions
class VersionViewSet(RecordViewSet[ModelVersion]):
    """Every published version, with its metrics."""

    queryset = (
        ModelVersion.objects.select_related("symbol")
        .defer(*all_but("symbol", Symbol, "ticker", "currency", "pinned_version"))
        .with_data_revised()
        .with_live_record()
    )
    serializer_class = records.VersionSerializer
    filterset_class = filters.VersionFilter

    @list_documentation.activate
    @action(detail=True, methods=["post"], authentication_classes=STAFF_CREDENTIALS, permission_classes=[IsAdminUser, MayChange])
    def activate(self, request: Request, pk: str) -> Response:
        """Replaces the active version with this one."""
        version = self.get_object()
        by = str(caller_of(request))
        try:
            with transaction.atomic():
                registry.activate(version, by=by)
                log_change(request.user, version, f"Activated through the API by {by}.")
        except ArtifactError as error:
            raise ValidationError({"version": [f"Its files cannot be used: {error}"]}) from error
        return Response(self.get_serializer(version).data)


@list_documentation.trainings
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
        was_active = training.is_active
        waited = wait_until_ended(training, seconds=seconds.validated_data["wait"])
        if was_active and not training.is_active:
            training = self.get_object()  # with its version
        return Response(self.get_serializer(training).data, headers={} if waited else {"Retry-After": RETRY_AFTER})

    @list_documentation.cancel
    @action(detail=True, methods=["post"], authentication_classes=STAFF_CREDENTIALS, permission_classes=[IsAdminUser, MayChange])
    def cancel(self, request: Request, pk: str) -> Response:
        """Ends a training that waits or runs."""
        training = self.get_object()
        by = str(caller_of(request))
        cancelled = training_queue.cancel(training, by=by)
        training.refresh_from_db()
        if not cancelled:
            raise ValidationError({"training": [f"It has already ended: {training.state}."]})
        log_change(request.user, training, f"Cancelled through the API by {by}.")
        return Response(self.get_serializer(training).data)


@list_documentation.forecasts
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


@list_documentation.findings
class FindingViewSet(RecordViewSet[Finding]):
    """What the quality gate found in its last check of the prices."""

    queryset = Finding.objects.select_related("symbol").defer(*all_but("symbol", Symbol, "ticker"))
    serializer_class = records.FindingSerializer
    filterset_class = filters.FindingFilter


@list_documentation.webhooks
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
        by = str(caller_of(self.request))
        self._log(serializer.save(created_by=by), ADDITION, f"Added through the API by {by}.")

    def perform_destroy(self, instance: Webhook) -> None:
        """Notes who removed it."""
        self._log(instance, DELETION, f"Removed through the API by {caller_of(self.request)}.")
        instance.delete()

    def _log(self, webhook: Webhook, action: int, message: str) -> None:
        """A key without an account has no log; its name stays with its webhooks."""
        if self.request.user.is_authenticated:
            log_change(self.request.user, webhook, message, action=action)
