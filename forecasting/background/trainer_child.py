"""The trainer process: trains one symbol after the other for its parent. No other process of the service imports TensorFlow.

It reads requests, one JSON object per line: `{"training": 7, "fence": 1}`. It answers each with progress lines,
`{"stage": ..., "fraction": ..., "epoch": ..., "epochs": ...}`, and one line with the outcome,
`{"outcome": "published", "error": ""}`.

It fetches no prices: once TensorFlow is loaded, yfinance's curl resolves to TensorFlow's copy of libcurl and fails.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import IO

from django.db import DatabaseError, InterfaceError, close_old_connections, transaction
from django.utils import timezone

from forecasting import ledger, market, registry, tracing
from forecasting.background import base_training
from forecasting.models import ModelVersion, Restatement, Symbol, Training
from forecasting.models.trainings import Outcome
from forecasting.models.versions import VersionState
from forecasting.pipeline.evaluation.direction import direction_facts
from forecasting.pipeline.model.windows import UntrainableError
from forecasting.pipeline.progress import Progress
from forecasting.pipeline.serving.trained import BaseModel, TrainedModel
from forecasting.pipeline.serving.verified import ArtifactError
from forecasting.pipeline.training import train
from forecasting.prices.sources import BadDataError

logger = logging.getLogger(__name__)


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Handles requests until the parent closes its end."""

    def answer(**message: object) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for line in requests:
        job = json.loads(line)
        close_old_connections()  # the database may have been restarted since the last training
        outcome, error = work(job["training"], fence=job["fence"], progress=lambda now: answer(**asdict(now)))
        answer(outcome=outcome, error=error)


def work(training_id: int, *, fence: int, progress: Callable[[Progress], None]) -> tuple[Outcome, str]:
    """Runs one training, from stored bars to the published version; returns the outcome and, unless it succeeded, the reason.

    An unexpected error ends the process; the parent notices and counts the attempt.
    """
    training = Training.objects.select_related("symbol").get(pk=training_id)
    with tracing.work_for(training.request_id):
        return _attempt(training, fence=fence, progress=progress)


def _attempt(training: Training, *, fence: int, progress: Callable[[Progress], None]) -> tuple[Outcome, str]:
    about = training.log_fields
    try:
        # Read before the bars: a restatement in between then costs one extra training, instead of going unnoticed.
        restatement = Restatement.objects.last_of(training.symbol) if training.symbol else None
        trained, parent = _trained(training.symbol, progress)
        version = registry.publish(
            trained,
            training_id=training.pk,
            fence=fence,
            parent=parent,
            restatement=restatement,
            then=partial(_forecast, about=about),
        )
    except BadDataError as error:
        return Outcome.FAILED, error.reason
    except UntrainableError as error:
        return Outcome.FAILED, str(error)
    except registry.FenceLostError as error:
        return Outcome.REFUSED, str(error)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("database error during the training: %s", " ".join(str(error).split()), extra=about)
        return Outcome.RETRY, "Database error; see the log."
    except registry.OutOfReachError as error:
        return Outcome.RETRY, f"The model before cannot be read: {error}"
    except OSError as error:
        return Outcome.RETRY, f"The model's files could not be written: {error.strerror}."
    logger.info(
        "version %d published, its error is %.3f times the naive forecast's", version.number, version.metrics["mase"], extra=about
    )
    return Outcome.PUBLISHED, ""


def _forecast(version: ModelVersion, *, about: dict[str, object]) -> None:
    """Issues the first forecasts of a symbol's new version, so that no request finds it without them and has to make them.

    If they cannot be stored, the next request or daily job issues them. Database errors are raised only if the connection is lost.
    """
    symbol = version.symbol
    if symbol is None or version.state != VersionState.ACTIVE:
        return
    try:
        with transaction.atomic():
            ledger.issue({symbol: registry.load_forecaster(version)}, {symbol: version})
    except (ArtifactError, DatabaseError, InterfaceError) as error:
        if transaction.get_rollback():
            raise
        logger.warning("version %d has no forecast yet: %s", version.number, " ".join(str(error).split()), extra=about)


def _trained(symbol: Symbol | None, progress: Callable[[Progress], None]) -> tuple[TrainedModel | BaseModel, ModelVersion | None]:
    """The trained model of the symbol, or the base if there is no symbol, and the version that its training started from."""
    if symbol is None:
        trained_base = base_training.train(base_training.histories(), progress=progress)
        return base_training.with_rates(base_training.with_leads(trained_base)), None
    bars = market.training_bars(symbol, now=timezone.now())
    version, base = _base()
    trained = train(bars, registry.forecast_config(), symbol=symbol.ticker, exchange=symbol.calendar, base=base, progress=progress)
    rate = base.rates.of(symbol.rate_class) if base and base.rates else None
    facts = direction_facts(bars["close"], trained.backtest, rate)
    return replace(trained, metrics=trained.metrics | facts), version if trained.from_base else None


def _base() -> tuple[ModelVersion | None, BaseModel | None]:
    """The base to start from; None if no base has usable files. The training then starts from scratch."""
    version = registry.base_version()
    while version is not None:
        try:
            return version, registry.load_base(version)
        except ArtifactError as error:
            version = registry.replacement(version, problem=error)
            if version is None and isinstance(error, registry.OutOfReachError):
                raise  # a base that exists is worth waiting for
    logger.error("no usable base model: the training starts from scratch")
    return None, None
