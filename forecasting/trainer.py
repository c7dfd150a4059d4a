"""The trainer process: trains one symbol after the other for its parent; no other process of the service loads TensorFlow.

It reads requests, one JSON object a line: `{"training": 7, "fence": 1}`. It answers each with lines of progress,
`{"stage": ..., "fraction": ...}`, and one line with the outcome, `{"outcome": "published", "error": ""}`.

It fetches no prices: where TensorFlow is loaded first, yfinance's curl finds TensorFlow's copy of libcurl and fails.
"""

import json
import logging
from collections.abc import Callable
from typing import IO

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.utils import timezone

from forecasting import market, registry
from forecasting.models import Symbol
from forecasting.models.trainings import Outcome
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.sources import BadDataError
from forecasting.pipeline.training import Progress, train
from forecasting.pipeline.windows import UntrainableError

logger = logging.getLogger(__name__)


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Works off requests until the parent closes its end."""

    def answer(**message: object) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for line in requests:
        job = json.loads(line)
        close_old_connections()  # the database may have been restarted since the last training
        outcome, error = work(
            job["training"], fence=job["fence"], progress=lambda now: answer(stage=now.stage, fraction=now.fraction)
        )
        answer(outcome=outcome, error=error)


def work(training_id: int, *, fence: int, progress: Callable[[Progress], None]) -> tuple[Outcome, str]:
    """One training, from stored bars to the published version; returns how it ended and, where it did not succeed, why.

    An error that nobody foresaw ends the process; the parent sees that and counts the attempt.
    """
    about: dict[str, object] = {"training": training_id}
    try:
        symbol = Symbol.objects.filter(trainings=training_id).first()
        if symbol is None:
            return Outcome.FAILED, "The queue trains symbols; this training names none."
        about["symbol"] = symbol.ticker
        bars = market.training_bars(symbol, now=timezone.now())
        trained = train(bars, ForecastConfig(seed=settings.SEED), symbol=symbol.ticker, progress=progress)
        version = registry.publish(trained, training_id=training_id, fence=fence)
    except BadDataError as error:
        return Outcome.FAILED, error.reason
    except UntrainableError as error:
        return Outcome.FAILED, str(error)
    except registry.FenceLostError as error:
        return Outcome.REFUSED, str(error)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("the database failed: %s", " ".join(str(error).split()), extra=about)
        return Outcome.RETRY, "The database failed; the log says how."
    except OSError as error:
        return Outcome.RETRY, f"The model's files could not be written: {error.strerror}."
    logger.info("version %d published, error %.3f of the naive forecast's", version.number, version.metrics["mase"], extra=about)
    return Outcome.PUBLISHED, ""
