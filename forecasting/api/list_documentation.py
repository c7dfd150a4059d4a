"""The OpenAPI document of the lists and of what staff do with single rows."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from forecasting.api import list_examples as examples
from forecasting.api import records, serializers
from forecasting.api.csv_lists import MEDIA_TYPE
from forecasting.api.documentation import ANYWHERE, BAD_PARAMETER, answer, errors, question
from forecasting.api.webhooks import NewWebhookSerializer, WebhookSerializer

RECORDS, STAFF = "Records", "Staff"

BUSY = "The database cannot be reached, or another CSV file is being sent. `Retry-After` says when to try again."
LIST_ERRORS = ANYWHERE | {400: BAD_PARAMETER, 404: "The page does not exist.", 503: BUSY}
DETAIL_ERRORS = ANYWHERE | {400: BAD_PARAMETER, 404: "It does not exist."}
STAFF_ERRORS = ANYWHERE | {
    400: "Not possible; `details` says why.",
    401: "Not logged in. Use an API key of an account, HTTP Basic, or log in to the admin.",
    403: "The account is not staff, or has no permission to change such rows.",
    404: "It does not exist.",
    429: "Too many failed logins from this address. `Retry-After` says when to try again.",
}

FORMAT = OpenApiParameter(
    "format", str, enum=["json", "csv"], description="`csv`: all rows that pass the filters, without pages, as a file."
)


def list_and_detail(
    one: str,
    many: str,
    *,
    serializer: Any,
    example: Any,
    description: str,
    detail: tuple[Any, Any] | None = None,
    query: Any = None,
) -> Any:
    """Documents a read-only list and its detail route. drf-spectacular puts the example row into a page.

    `detail`: serializer and example of the detail route, if it shows more than the list does. `query`: its query parameters.
    """
    detail_serializer, detail_example = detail or (serializer, example)
    return extend_schema_view(
        list=extend_schema(
            operation_id=f"list_{many}",
            tags=[RECORDS],
            summary=f"List {many}",
            description=description,
            parameters=[FORMAT],
            responses={
                (200, "application/json"): serializer(many=True),
                (200, MEDIA_TYPE): OpenApiResponse(str, description="A page as JSON, or all rows as CSV."),
                **errors(LIST_ERRORS),
            },
            examples=[answer(f"One {one}", example)],
        ),
        retrieve=extend_schema(
            operation_id=f"get_{one}",
            tags=[RECORDS],
            summary=f"Get one {one}",
            description=description,
            parameters=[query] if query else [],
            responses={200: detail_serializer, **errors(DETAIL_ERRORS)},
            examples=[answer(f"A {one}", detail_example)],
        ),
    )


symbols = list_and_detail(
    "symbol",
    "symbols",
    serializer=records.SymbolSerializer,
    example=examples.SYMBOL_ROW,
    description="All symbols that the price source has ever known, by name: newest bar, state at the price source, and since when "
    "an operator has taken it out of service.",
)
versions = list_and_detail(
    "version",
    "versions",
    serializer=records.VersionSerializer,
    example=examples.VERSION_ROW,
    description="Every published version, newest first, with its unrounded metrics and why it serves or does not.",
)
trainings = list_and_detail(
    "training",
    "trainings",
    serializer=records.TrainingSerializer,
    example=examples.TRAINING_ROW,
    query=serializers.WaitQuery,
    description="Every training, newest first: waiting, running or ended, with the reason of a failure.",
)
forecasts = list_and_detail(
    "forecast",
    "forecasts",
    serializer=records.ForecastSerializer,
    example=examples.FORECAST_ROW,
    detail=(records.ForecastDetailSerializer, examples.FORECAST_DETAIL),
    description="Every forecast ever served, unrounded, newest first, with the actual close if it is known. If the "
    "price source corrects that close later, a new score is added; the detail route shows all scores.",
)
findings = list_and_detail(
    "finding",
    "findings",
    serializer=records.FindingSerializer,
    example=examples.FINDING_ROW,
    description="What the quality gate found in prices, newest first: `repaired` if the right value is certain; `left_out` if not "
    "(a bar, or all bars before a session); `refused` if no good bars remain, or if the newest ones wait until it is clear whether "
    "they are true; else `noted`.",
)


webhooks = extend_schema_view(
    list=extend_schema(
        operation_id="list_webhooks",
        tags=[STAFF],
        summary="List webhooks",
        description="Newest first, without their secrets.",
        responses={200: WebhookSerializer(many=True), **errors(STAFF_ERRORS)},
        examples=[answer("One webhook", examples.WEBHOOK_ROW)],
    ),
    retrieve=extend_schema(
        operation_id="get_webhook",
        tags=[STAFF],
        summary="Get one webhook",
        responses={200: WebhookSerializer, **errors(STAFF_ERRORS)},
        examples=[answer("A webhook", examples.WEBHOOK_ROW)],
    ),
    create=extend_schema(
        operation_id="create_webhook",
        tags=[STAFF],
        summary="Add a webhook",
        description="From now on, each of these events is sent to the address, signed as in the Standard Webhooks specification. "
        "An answer other than 2xx is tried again for two days. The secret is shown only here.",
        request=WebhookSerializer,
        responses={201: NewWebhookSerializer, **errors(STAFF_ERRORS)},
        examples=[
            question("Two events", {"url": examples.WEBHOOK_ROW["url"], "events": examples.WEBHOOK_ROW["events"]}),
            answer("It is told from now on", examples.NEW_WEBHOOK, status=201),
        ],
    ),
    destroy=extend_schema(
        operation_id="delete_webhook",
        tags=[STAFF],
        summary="Remove a webhook",
        description="It is told of nothing any more, and its deliveries are removed.",
        responses={204: None, **errors(STAFF_ERRORS)},
    ),
)

activate = extend_schema(
    operation_id="activate_version",
    tags=[STAFF],
    summary="Let a version serve",
    description="Replaces the active version of its symbol with this one. Its files are checked first.",
    request=None,
    responses={200: records.VersionSerializer, **errors(STAFF_ERRORS)},
    examples=[answer("It serves", examples.ACTIVATED)],
)

cancel = extend_schema(
    operation_id="cancel_training",
    tags=[STAFF],
    summary="Cancel a training",
    description="Ends a training that waits or runs. Work already done is discarded.",
    request=None,
    responses={200: records.TrainingSerializer, **errors(STAFF_ERRORS)},
    examples=[answer("Cancelled", examples.CANCELLED)],
)
