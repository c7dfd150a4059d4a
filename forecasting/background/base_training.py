"""Training of the base model on the bars in the database. Imports TensorFlow."""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import date

import pandas as pd
from django.utils import timezone

from forecasting import market, registry
from forecasting.models import Symbol
from forecasting.pipeline.base import train_base
from forecasting.pipeline.model.base_rates import fit_rates
from forecasting.pipeline.model.lead_fitting import fit_leads
from forecasting.pipeline.model.lead_moves import LeadMarkets
from forecasting.pipeline.progress import Progress, ignore
from forecasting.pipeline.serving.trained import BaseModel
from forecasting.prices.bars import between
from forecasting.prices.leads import ALL_LEADS, leads_of
from forecasting.prices.sources import BadDataError

logger = logging.getLogger(__name__)


def train(histories: Iterable[tuple[str, pd.DataFrame]], *, progress: Callable[[Progress], None] = ignore) -> BaseModel:
    """Trains a base with this installation's configuration. Raises UntrainableError."""
    return replace(train_base(histories, registry.forecast_config(), progress=progress), trained_at=timezone.now())


def with_leads(base: BaseModel) -> BaseModel:
    """The base with a lead model: of each exchange, the fit on stored bars or that of the active base, whichever saw more rows."""
    markets = LeadMarkets({symbol.ticker: market.bars(symbol) for symbol in Symbol.objects.in_service().named(ALL_LEADS)})
    followed = Symbol.objects.followed().order_by().values_list("ticker", "exchange")
    led = {ticker for ticker, exchange in followed if exchange and leads_of(exchange)}
    fitted = fit_leads(histories(led), markets, base.config)
    former = registry.lead_model()
    return replace(base, leads=former.extended_by(fitted) if former else fitted)


def with_rates(base: BaseModel) -> BaseModel:
    """The base with base rates: of each class, the fit on stored bars or that of the active base, whichever saw more moves."""
    symbols = Symbol.objects.in_service().with_history(base.config.minimum_bars).order_by("pk")
    fitted = fit_rates((symbol.rate_class, market.bars(symbol)) for symbol in symbols.iterator() if symbol.rate_class)
    former = registry.base_rates()
    return replace(base, rates=former.extended_by(fitted) if former else fitted)


def histories(symbols: Collection[str] | None = None, *, through: date = date.max) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields symbol and bars of these symbols, or of all followed ones with enough history, if the bars pass the quality gate.

    The order is pseudorandom but always the same: if there are more bars than a base is trained on, the first symbols are used.
    """
    known = Symbol.objects.followed().with_history(registry.forecast_config().minimum_bars)
    wanted = known if symbols is None else known.named(symbols)
    for symbol in sorted(wanted, key=lambda each: hashlib.sha256(each.ticker.encode()).digest()):
        try:
            yield symbol.ticker, between(market.training_bars(symbol, now=timezone.now()), first=None, last=through)
        except BadDataError as error:
            logger.warning("left out of the base model: %s", error.reason, extra={"symbol": symbol.ticker})
