"""The OpenAPI document of the main routes: purpose, schemas, examples, errors. list_documentation.py has the other routes."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers as drf

from forecasting.api import examples, serializers
from forecasting.api.check import AVAILABLE, CheckAnswer
from forecasting.api.metrics import METRICS_ANSWERS
from forecasting.api.predict import PredictAnswer
from forecasting.api.serializers import TICKER_SCHEMA
from forecasting.api.trainings import IN_PROGRESS, STARTED, RetrainAnswer
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.distribution import COVERAGES
from forecasting.serving import NOT_STARTED

MODELS, SERVICE = "Models", "Service"

REFUSED = "The body is not JSON, or a symbol is invalid; `details` names the field and the reason. Nothing was started."
OUT_OF_REACH = "The database cannot be reached. `Retry-After` says when to try again."
OTHER_METHOD = "This route does not support the method; `Allow` lists those that it supports."
NOT_TRAINABLE = "The price source does not know the symbol, or the operator took it out of service; `details` says which."
NOT_NOW = (
    "The training queue is full, the price source has not answered in time whether it knows the symbol, or the database cannot be "
    "reached. `Retry-After` says when to try again."
)
NOT_VALID = "The API key is not valid, or one is required (`API_KEY_REQUIRED`)."
OVER_BUDGET = "You have asked for too much. `error` says of what, and `Retry-After` when to try again."
NO_BUDGET_LEFT = "Too many requests; or all symbols are new, and you may ask for no more today. See `error` and `Retry-After`."
ANYWHERE = {401: NOT_VALID, 405: OTHER_METHOD, 429: OVER_BUDGET, 503: OUT_OF_REACH}
ERRORS = ANYWHERE | {400: REFUSED, 413: "The body is too large.", 415: "The body is not `application/json`."}
RETRAIN_ERRORS = ERRORS | {
    401: "The password or the API key is wrong, or one is required (`API_KEY_REQUIRED`).",
    403: "A session of the admin without its CSRF token.",
    404: NOT_TRAINABLE,
    429: "The symbol was trained again a short time ago, or you have asked for too much. See `error` and `Retry-After`.",
    503: NOT_NOW,
}
BAD_PARAMETER = "A parameter is unknown, empty, given twice or invalid; `details` names it and what is allowed."


class Error(drf.Serializer[Any]):
    """Why the request as a whole failed."""

    error = drf.CharField(help_text="A sentence for people.")
    details = drf.DictField(help_text="Reasons by field, if single fields are invalid.")


def errors(described: dict[int, str]) -> dict[int, OpenApiResponse]:
    """One documented answer for each status."""
    return {status: OpenApiResponse(Error, description=text) for status, text in sorted(described.items())}


def question(name: str, value: Any) -> OpenApiExample:
    """An example of a request."""
    return OpenApiExample(name, value, request_only=True)


def answer(name: str, value: Any, *, status: int = 200) -> OpenApiExample:
    """An example of an answer."""
    return OpenApiExample(name, value, response_only=True, status_codes=[str(status)])


TWO_SYMBOLS = question("Two symbols", examples.SYMBOLS)
INVALID = answer("The second symbol is invalid", examples.INVALID_SYMBOL, status=400)
AWAY = answer("The database cannot be reached", examples.OUT_OF_REACH, status=503)


check = extend_schema(
    operation_id="check",
    tags=[MODELS],
    summary="Is there a model?",
    description=f"""Says for each symbol whether a model serves it, and starts the training of one that is missing.

| `message` | meaning |
|---|---|
| {AVAILABLE} | Ask for `metrics` and `predict`. |
| {STARTED} | There was none; this request has started the training. If `training` is null, the price source has not said yet \
whether it knows the symbol. |
| {IN_PROGRESS} | There is none yet; `training` shows its progress. |
| {NOT_STARTED.format(reason="*reason*")} | The price source does not know the symbol, its last training failed within the last \
hour, the queue is full, the operator took the symbol out of service, or you may ask for no more new symbols today. |
""",
    request=serializers.SymbolsRequest,
    responses={200: CheckAnswer(many=True), **errors(ERRORS | {429: NO_BUDGET_LEFT})},
    examples=[
        TWO_SYMBOLS,
        answer("Available", examples.MODEL_AVAILABLE),
        answer("Training started", examples.TRAINING_STARTED),
        answer("Training in progress", examples.TRAINING_IN_PROGRESS),
        answer("Training not started", examples.TRAINING_NOT_STARTED),
        INVALID,
        AWAY,
    ],
)

metrics = extend_schema(
    operation_id="metrics",
    tags=[MODELS],
    summary="How good is the model?",
    description="Errors on test sessions that neither fitting nor early stopping saw, beside the naive forecast (the last close), "
    "and the track record of the forecasts that were really served. A symbol without a model has an `error` instead; nothing is "
    "started.",
    request=serializers.SymbolsRequest,
    responses={200: METRICS_ANSWERS, **errors(ERRORS)},
    examples=[
        TWO_SYMBOLS,
        answer("Available", examples.METRICS),
        answer("No model", examples.METRICS_NOT_AVAILABLE),
        INVALID,
        AWAY,
    ],
)

predict = extend_schema(
    operation_id="predict",
    tags=[MODELS],
    summary="What will the next session's close be?",
    description="Median, interval and quantiles of the next session's close. A missing model's training is started. Until it "
    "ends, the base model of all symbols forecasts (`model.kind` is `base`) if there are enough prices.\n\n"
    "A forecast is made once for each version and session and then stored, so every request gets the same one. If newer prices "
    "do not arrive in time, the last known ones are used, see `as_of` and `stale`. A symbol that fails does not affect the others."
    "\n\nStocks of exchanges that open after New York or Tokyo have closed get a second forecast before their session, which knows "
    "what SPY and ^N225 have done since their last close (`basis` is `lead`). The best one that exists is the answer."
    "\n\nA symbol that nobody has named before is looked up first. Until the price source answers, `training` is null.",
    request=serializers.PredictRequest,
    responses={200: PredictAnswer, **errors(ERRORS | {429: NO_BUDGET_LEFT})},
    examples=[
        TWO_SYMBOLS,
        answer("One forecast, one in training", examples.FORECAST_AND_TRAINING),
        answer("One forecast, one failure", examples.FORECAST_AND_FAILURE),
        INVALID,
        AWAY,
    ],
)

SYMBOLS = OpenApiParameter(
    "symbols",
    {"type": "array", "items": TICKER_SCHEMA, "minItems": 1, "maxItems": serializers.MAX_SYMBOLS},
    required=True,
    explode=False,
    style="form",
    description="1 to 50 symbols, separated by commas.",
)
COVERAGE = OpenApiParameter(
    "coverage",
    {"type": "number", "minimum": COVERAGES[0], "maximum": COVERAGES[-1]},
    description=f"Probability of the intervals; {ForecastConfig().interval_level} by default.",
)
CACHED = OpenApiParameter(
    "Cache-Control", str, OpenApiParameter.HEADER, response=[200], description="`max-age`: seconds that the answer stands."
)

current = extend_schema(
    operation_id="get_predictions",
    tags=[MODELS],
    summary="The same, to read and to cache",
    description="Answers like the POST, but creates no symbol and starts no training: a symbol without a model has the status "
    "`failed`, or `training` if somebody else has started one. Prices of known symbols are refreshed as for the POST.\n\n"
    "`Cache-Control` says how long the answer stands: until the first target session has its bar, or a minute if any part is "
    "stale, comes from the base model or waits for a training.",
    parameters=[SYMBOLS, COVERAGE, CACHED],
    responses={200: PredictAnswer, **errors(ANYWHERE | {400: BAD_PARAMETER})},
    examples=[
        answer("One forecast, one in training", examples.FORECAST_AND_TRAINING),
        answer("One forecast, one without a model", examples.FORECAST_AND_NO_MODEL),
        answer("No symbol", examples.NO_SYMBOLS, status=400),
        AWAY,
    ],
)

retrain = extend_schema(
    operation_id="retrain",
    tags=[MODELS],
    summary="Train a model again",
    description="Starts a training. If one already waits or runs, it is returned and its priority is raised. A symbol that nobody "
    "has named before is looked up at the price source first.\n\n"
    "For staff and keys with the scope `train`, it goes first, at any time. For all others, it waits for first trainings, and a "
    "symbol is retrained at most once an hour (`RETRAIN_COOLDOWN`); its first training does not count.",
    request=serializers.SymbolRequest,
    responses={202: RetrainAnswer, **errors(RETRAIN_ERRORS)},
    examples=[
        question("A symbol", examples.SYMBOL),
        answer("Started", examples.RETRAINING, status=202),
        answer("No symbol", examples.NO_SYMBOL, status=400),
        answer("Trained a short time ago", examples.TRAINED_JUST_NOW, status=429),
        answer("Not known to the price source", examples.UNKNOWN_SYMBOL, status=404),
        answer("The queue is full", examples.QUEUE_FULL, status=503),
        AWAY,
    ],
)
