"""`manage.py predict SYMBOL...`: shows forecasts at the terminal."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from forecasting import serving, terminal
from forecasting.api.predict import prediction_json
from forecasting.api.serializers import SymbolsRequest
from forecasting.prices.catalogue import is_simulated
from forecasting.training.positions import positions_of


def valid_tickers(words: list[str]) -> list[str]:
    """The symbols, validated like in the API; raises CommandError with the problem."""
    request = SymbolsRequest(data={"symbols": words})
    try:
        request.is_valid(raise_exception=True)
    except ValidationError as error:
        raise CommandError(f"{' '.join(words)}: {_first(error.detail)}") from error
    return list(request.validated_data["symbols"])


def _first(detail: Any) -> str:
    """The first text in the nested details of a validation error."""
    while not isinstance(detail, str):
        detail = next(iter(detail.values() if isinstance(detail, dict) else detail))
    return str(detail)


class Command(BaseCommand):
    """The same forecasts as `POST /models/predict`."""

    help = "Forecasts the next session's close. Symbols without a model are queued for training."

    def add_arguments(self, parser: CommandParser) -> None:
        """Symbols."""
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints a table."""
        tickers = valid_tickers(options["symbols"])
        predictions = serving.predict(tickers, now=timezone.now(), budget_s=settings.PREDICT_REFRESH_SECONDS)
        positions = positions_of(each.training for each in predictions)
        answers = {each.symbol.ticker: prediction_json(each, positions) for each in predictions}
        terminal.show_forecasts(terminal.console(), answers, simulated=is_simulated(settings.PRICE_SOURCE))
