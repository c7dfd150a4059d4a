"""The base model, which serves symbols without a version and from which their trainings start."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction

from forecasting.models import ModelVersion
from forecasting.models.locks import Lock, lock_until_commit
from forecasting.models.versions import VersionState
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.base_rates import BaseRates
from forecasting.pipeline.model.leads import LeadModel
from forecasting.pipeline.model.live import LiveModel
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import LEADS, LIVE, RATES, TREES, BaseModel
from forecasting.pipeline.serving.verified import ArtifactError, ArtifactFile, OutOfReachError
from forecasting.registry.files import read_files, write_files
from forecasting.registry.publishing import create, locked_versions

Coefficients = TypeVar("Coefficients")

SHIPPED_BASE = Path(__file__).parent.parent / "pretrained"

logger = logging.getLogger(__name__)


def forecast_config() -> ForecastConfig:
    """The configuration of all trainings of this installation."""
    return ForecastConfig(seed=settings.SEED)


def base_version() -> ModelVersion | None:
    """The base that serves symbols without a version: the active one if it fits this release's config, else the shipped one.

    The shipped base is installed at its first use. If that fails, the error is logged and the result is None.
    """
    if active := _fitting_base():
        return active
    try:
        return _install_shipped_base()
    except (ArtifactError, OSError) as error:
        logger.error("the shipped base model cannot be installed: %s", error)
        return None


def load_base(version: ModelVersion) -> BaseModel:
    """The complete base, as the start of a training. Raises ArtifactError."""
    return read_files(artifacts.read_base, version.folder, version.artifact_files)


def lead_model() -> LeadModel | None:
    """The lead model of the base that serves, cached in memory; None if it has none or its file cannot be used."""
    return _coefficients(base_version(), LEADS, artifacts.read_leads)


def base_rates() -> BaseRates | None:
    """The base rates of the base that serves, cached in memory; None if it has none or its file cannot be used."""
    return _coefficients(base_version(), RATES, artifacts.read_rates)


def live_model() -> LiveModel | None:
    """The live model of the base that serves, else the shipped one, cached in memory; None if neither can be used.

    It depends on no network, so that a base trained here does with the shipped one, and that no base is installed for it.
    """
    return _coefficients(_fitting_base(), LIVE, artifacts.read_live) or _shipped_live_model()


def register_base(base: BaseModel, *, decision: str) -> ModelVersion:
    """Publishes and activates a base that was not made by a queued training. Raises OSError."""
    version_id, files, folder = write_files(base)
    trained: dict[str, Any] = {"trained_at": base.trained_at} if base.trained_at else {}
    with transaction.atomic():
        locked_versions(None).active().update(state=VersionState.RETIRED)
        return create(base, files, version_id=version_id, symbol=None, folder=folder, decision=decision, **trained)


def _coefficients(
    version: ModelVersion | None, name: str, read: Callable[[Path, dict[str, ArtifactFile]], Coefficients | None]
) -> Coefficients | None:
    """What `read` makes of a file of a base; None without one, or if it cannot be used."""
    file = version.artifact_files.get(name) if version else None
    try:
        return _read(read, version.folder, name, file) if version and file else None
    except OutOfReachError:
        return None  # for now


@functools.lru_cache(maxsize=6)  # three files, also of the base before, while another one takes over
def _read(read: Callable[[Path, dict[str, ArtifactFile]], Any], folder: str, name: str, file: ArtifactFile) -> Any:
    try:
        return read_files(read, folder, {name: file})
    except OutOfReachError:
        raise  # nothing to remember
    except ArtifactError as error:
        logger.error("forecasts do without the base's coefficients: %s", error)
        return None


@functools.cache
def _shipped_live_model() -> LiveModel | None:
    try:
        return artifacts.read_live(SHIPPED_BASE, artifacts.recorded(SHIPPED_BASE))
    except ArtifactError as error:
        logger.error("there are no forecasts during the session: %s", error)
        return None


@transaction.atomic
def _install_shipped_base() -> ModelVersion | None:
    """Copies the shipped base to the model folder, unless another process has already done so."""
    lock_until_commit(Lock.BASE)
    if active := _fitting_base():
        return active
    base = artifacts.read_base(SHIPPED_BASE, artifacts.recorded(SHIPPED_BASE))
    if not base.fits(forecast_config()):
        return None
    logger.info("the shipped base model now serves symbols without a model of their own")
    return register_base(base, decision=f"Ships with the service: trained on {len(base.symbols)} symbols.")


def _fitting_base() -> ModelVersion | None:
    """The active base, if this release can use it."""
    active = ModelVersion.objects.active().filter(symbol=None).first()
    return active if active and _fits(active) else None


def _fits(version: ModelVersion) -> bool:
    """Whether this release can use the base; it may come from a release with another config, or without trees."""
    try:
        return TREES in version.files and forecast_config().has_network_of(ForecastConfig.from_dict(version.config))
    except (KeyError, TypeError, ValueError):
        return False
