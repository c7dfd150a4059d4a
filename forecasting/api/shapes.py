"""The shapes of what goes out as plain dictionaries, for the OpenAPI document; the answers themselves are made in serializers."""

from typing import Any

from rest_framework import serializers

from forecasting.models.trainings import ACTIVE_STATES, TrainingReason

PRICE = "In the symbol's currency."
SIMULATED = "Whether the prices are made up (`PRICE_SOURCE=sample`), and not those of a market."
CLASSICAL_METRICS = {
    "MAE": f"Mean absolute error. {PRICE}",
    "RMSE": f"Root of the mean squared error. {PRICE}",
    "MAPE": "Mean absolute error, percent of the close.",
    "R²": "Of price levels, so close to 1 for any forecast near the last close: read it beside the naive forecast's.",
}


class Shape(serializers.Serializer[Any]):
    """A JSON object."""


class ActiveTraining(Shape):
    """A training that waits or runs."""

    id = serializers.IntegerField(help_text="See `/models/trainings/{id}`.")
    state = serializers.ChoiceField([(str(state), state.label) for state in ACTIVE_STATES])
    reason = serializers.ChoiceField(TrainingReason.choices)
    position = serializers.IntegerField(help_text="From 1 in the queue; 0 while it runs.")
    expected_wait = serializers.IntegerField(
        allow_null=True,
        help_text="Seconds until it will probably have ended, by the median of the last ones; null before the first.",
    )
    stage = serializers.CharField(help_text="What the trainer is doing; empty while the training waits.")
    epoch = serializers.IntegerField(allow_null=True, help_text="Within the stage; null where it has none.")
    epochs = serializers.IntegerField(allow_null=True, help_text="At most, within the stage.")
    progress = serializers.FloatField(min_value=0, max_value=1, help_text="Fraction done.")
    error = serializers.CharField(help_text="Why the last attempt failed, or what it waits for; empty where neither is so.")
    created_at = serializers.DateTimeField()


class CheckAnswer(Shape):
    """What `check` says of one symbol."""

    symbol = serializers.CharField(help_text="Trimmed and in upper case.")
    model_exists = serializers.BooleanField()
    message = serializers.CharField(help_text="One of four sentences, see the route.")
    version = serializers.IntegerField(allow_null=True, help_text="Number of the version that serves.")
    training = ActiveTraining(allow_null=True, help_text="The symbol's active training, if any.")


class ClassicalMetrics(Shape):
    """Four errors over the test sessions."""

    def get_fields(self) -> dict[str, Any]:
        """By the names of the contract, one of which cannot be a Python attribute."""
        return {name: serializers.FloatField(help_text=text) for name, text in CLASSICAL_METRICS.items()} | super().get_fields()


class OutOfSampleMetrics(ClassicalMetrics):
    """All on test sessions that neither fitting nor early stopping saw."""

    last_data_date = serializers.DateField(help_text="The newest bar that the training knew.")
    training_duration = serializers.FloatField(help_text="Seconds.")
    training_data_size = serializers.IntegerField(help_text="Windows.")
    validation_data_size = serializers.IntegerField(help_text="Windows.")
    naive = ClassicalMetrics(help_text="The errors of repeating the last close.")
    mase = serializers.FloatField(help_text="MAE divided by the naive forecast's: below 1 is better than repeating the last close.")
    beats_naive_p = serializers.FloatField(
        allow_null=True,
        help_text="One-sided Diebold-Mariano p-value; small means better than naive. Null if the point forecast is the last close.",
    )
    pinball_ratio = serializers.FloatField(help_text="Quantile loss divided by that of the last 250 sessions' quantiles.")
    coverage_80 = serializers.FloatField(help_text="Share of closes inside the 80 % interval.")
    directional_accuracy = serializers.FloatField(
        allow_null=True, help_text="Share of sessions whose direction was right. Null if the point forecast is the last close."
    )
    test_size = serializers.IntegerField(help_text="Sessions.")


class MedianWeight(Shape):
    """How much of the network's own median is in the point forecast, and why. The rest is the last close."""

    weight = serializers.FloatField(min_value=0, max_value=1, help_text="0: the point forecast is the last close.")
    reason = serializers.CharField(help_text="What became of the weight that was tried.")
    tried = serializers.FloatField(allow_null=True, help_text="The weight that the earlier validation days chose.")
    p = serializers.FloatField(
        allow_null=True, help_text="One-sided p-value on the later validation days; small means better than the last close."
    )
    p_by_exchange = serializers.DictField(child=serializers.FloatField(), help_text="The same, of each exchange's symbols alone.")


class VersionMetrics(OutOfSampleMetrics):
    """Unrounded. A base's are over all its symbols: ratios and coverage are means over them."""

    unit = serializers.CharField(
        help_text="Of MAE and RMSE: the symbol's currency, or `share of the last close` for a base, whose symbols have many "
        "currencies; R² is then that of the moves."
    )
    median = MedianWeight(
        required=False,
        help_text="As the base learnt it if the version was trained from one. Missing from versions of an earlier release.",
    )
    symbols = serializers.IntegerField(required=False, help_text="Only of a base: how many were measured.")
    worst_pinball_ratio = serializers.FloatField(required=False, help_text="Only of a base: of the worst symbol.")
    least_coverage_80 = serializers.FloatField(required=False, help_text="Only of a base: of the symbol with the least.")
    most_coverage_80 = serializers.FloatField(required=False, help_text="Only of a base: of the symbol with the most.")


class LiveRecord(Shape):
    """The track record of the forecasts that were really served; null until the first target session has happened."""

    forecasts = serializers.IntegerField(help_text="Served and scored so far.")
    mae = serializers.FloatField(allow_null=True, help_text=f"Mean absolute error. {PRICE}")
    mase = serializers.FloatField(allow_null=True, help_text="MAE divided by the naive forecast's.")
    coverage_80 = serializers.FloatField(allow_null=True, help_text="Share of closes inside the 80 % interval.")


class Metrics(OutOfSampleMetrics):
    """A version's test, and what its symbol's forecasts have been worth since."""

    version = serializers.IntegerField(help_text="Number of the version that serves.")
    live = LiveRecord()
    simulated = serializers.BooleanField(help_text=SIMULATED)


class MetricsAnswer(Shape):
    """What `metrics` says of one symbol: `metrics`, or `error` where no model serves it."""

    symbol = serializers.CharField(help_text="Trimmed and in upper case.")
    metrics = Metrics(required=False)
    error = serializers.CharField(required=False)


class Variation(Shape):
    """The forecast move."""

    status = serializers.ChoiceField(["positive", "negative", "neutral"])
    percentage = serializers.FloatField(help_text="Percent of the last close.")


class Interval(Shape):
    """The next close lies inside with probability `level`."""

    level = serializers.FloatField()
    low = serializers.FloatField(help_text=PRICE)
    high = serializers.FloatField(help_text=PRICE)
    spread_factor = serializers.FloatField(
        help_text="By how much the online calibration spreads the model's own interval, after the outcomes of earlier forecasts."
    )


class ServingModel(Shape):
    """The version that made the forecast."""

    version = serializers.IntegerField()
    kind = serializers.ChoiceField(["symbol", "base"], help_text="`base`: the model of all symbols, until this one has its own.")
    trained_at = serializers.DateTimeField()


class Skill(Shape):
    """How far to trust it: the error on the version's test sessions beside the naive forecast's."""

    mase = serializers.FloatField(help_text="Below 1 is better than repeating the last close.")
    beats_naive = serializers.BooleanField(help_text="Whether it is significantly better (5 %).")


class Prediction(Shape):
    """What `predict` says of one symbol: the fields that follow `status` depend on it."""

    status = serializers.ChoiceField(
        ["success", "training", "failed"],
        help_text="`success`: the forecast. `training`: `message` and `training`, try again later. `failed`: `error`.",
    )
    predicted_price = serializers.FloatField(required=False, help_text=f"Median of the next session's close. {PRICE}")
    point_forecast = serializers.ChoiceField(
        ["last_close", "model"],
        required=False,
        help_text="What `predicted_price` is: the last close, or the model's median, where that was significantly better.",
    )
    variation = Variation(required=False)
    last_close = serializers.FloatField(required=False, help_text=PRICE)
    as_of = serializers.DateField(required=False, help_text="The last session that the forecast knew.")
    target_date = serializers.DateField(required=False, help_text="The session whose close is forecast.")
    stale = serializers.BooleanField(required=False, help_text="Whether the bar of a session that has closed is missing.")
    interval = Interval(required=False)
    probability_up = serializers.FloatField(required=False, help_text="That the close is above the last one.")
    quantiles = serializers.DictField(child=serializers.FloatField(), required=False, help_text="Probability level to price.")
    model = ServingModel(required=False)
    skill = Skill(required=False)
    currency = serializers.CharField(required=False, help_text="As the price source writes it.")
    simulated = serializers.BooleanField(required=False, help_text=SIMULATED)
    message = serializers.CharField(required=False)
    training = ActiveTraining(required=False)
    error = serializers.CharField(required=False)


class PredictAnswer(Shape):
    """Each symbol's prediction."""

    predictions = serializers.DictField(child=Prediction(), help_text="By symbol, in the order of the request.")


class RetrainAnswer(Shape):
    """The training that was asked for."""

    message = serializers.CharField()
    training = ActiveTraining()


class Error(Shape):
    """Why a request as a whole could not be answered."""

    error = serializers.CharField(help_text="For people.")
    details = serializers.DictField(help_text="Field to reasons, where single fields are at fault.")


class ArtifactFile(Shape):
    """What a file of a version must be, to be used."""

    sha256 = serializers.CharField(help_text="Hexadecimal.")
    size = serializers.IntegerField(help_text="Bytes.")
