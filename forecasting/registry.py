"""Model versions: published in one transaction, activated, loaded for serving."""

import functools
import logging
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Max
from django.db.models.functions import Now

from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import ModelVersionQuerySet, VersionState
from forecasting.pipeline import artifacts
from forecasting.pipeline.artifacts import ArtifactError, ArtifactFile, BaseModel, TrainedModel
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.forecaster import Forecaster

UNPUBLISHED_SECONDS = 24 * 60 * 60
LOADED_MODELS = 256  # kept in memory by one process, some 100 kB each
SHIPPED_BASE = Path(__file__).parent / "pretrained"
BASE_LOCK = 0x42415345

logger = logging.getLogger(__name__)


class FenceLostError(Exception):
    """The training was given to another trainer, cancelled or ended: this result must not be published."""


def models_root() -> Path:
    """The folder of all versions' folders."""
    return Path(settings.MEDIA_ROOT) / "models"


def publish(trained: TrainedModel | BaseModel, *, training_id: int, fence: int, parent: ModelVersion | None = None) -> ModelVersion:
    """Files first (scratch folder, flushed, hashed, renamed), then one transaction: version, its activation, the training's end.

    `parent`: the version that the fit started from. Raises FenceLostError where the training is no longer this trainer's, OSError
    where the files cannot be written. In both cases, as in any other failure, the database is as before and the files are removed;
    only where the database went away in between they stay, because the transaction may have been committed.
    """
    version_id, files, folder = _write_files(trained)
    try:
        return _register(trained, files, version_id=version_id, folder=folder, training_id=training_id, fence=fence, parent=parent)
    except (OperationalError, InterfaceError):
        raise
    except BaseException:
        shutil.rmtree(models_root() / folder, ignore_errors=True)
        raise


def forecast_config() -> ForecastConfig:
    """What trainings of this installation do."""
    return ForecastConfig(seed=settings.SEED)


def base_version() -> ModelVersion | None:
    """The base that serves symbols without a version and starts their trainings: the active one if it fits this release's config,
    else the shipped one, which is installed at its first use. None, with a line in the log, where that cannot be."""
    active = ModelVersion.objects.active().filter(symbol=None).first()
    if active is not None and _fits(active):
        return active
    try:
        return _install_shipped_base()
    except (ArtifactError, OSError) as error:
        logger.error("the base model that ships with the service cannot be installed: %s", error)
        return None


def load_base(version: ModelVersion) -> BaseModel:
    """The base, whole, to start a training from. Raises ArtifactError."""
    return artifacts.read_base(models_root() / version.folder, version.artifact_files)


def register_base(base: BaseModel, *, decision: str) -> ModelVersion:
    """The base as the one that serves from now on, outside of any training. Raises OSError."""
    version_id, files, folder = _write_files(base)
    with transaction.atomic():
        _locked_versions(None).active().update(state=VersionState.RETIRED)
        return _create(base, files, version_id=version_id, symbol=None, folder=folder, decision=decision)


@transaction.atomic
def _install_shipped_base() -> ModelVersion | None:
    """Copies the shipped base to the other models, once, whoever asks first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [BASE_LOCK])
    if (active := ModelVersion.objects.active().filter(symbol=None).first()) is not None and _fits(active):
        return active
    base = artifacts.read_base(SHIPPED_BASE, artifacts.recorded(SHIPPED_BASE))
    if not base.fits(forecast_config()):
        return None
    logger.info("the base model that ships with the service serves symbols without a model of their own")
    return register_base(base, decision=f"Ships with the service: trained on {len(base.symbols)} symbols.")


def _fits(version: ModelVersion) -> bool:
    """Whether this release can use a base: its config may be of another one."""
    try:
        return forecast_config().has_network_of(ForecastConfig.from_dict(version.config))
    except (KeyError, TypeError, ValueError):
        return False


def _write_files(model: TrainedModel | BaseModel) -> tuple[int, dict[str, ArtifactFile], str]:
    """The version's key, its files, and their folder's name below `models_root`; on an error nothing of them stays."""
    version_id = _next_version_id()
    root = models_root()
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=root))
    try:
        files = artifacts.write(folder, model)
        folder.chmod(0o755)  # mkdtemp makes it private; another user's web server must be able to read it
        folder = folder.rename(root / f"{version_id}-{files['model.onnx'].sha256[:12]}")
        artifacts.flush_folder(root)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return version_id, files, folder.name


@transaction.atomic
def activate(version: ModelVersion, *, by: str) -> None:
    """Lets this version serve in place of the active one. Raises ArtifactError where its files are missing or damaged."""
    artifacts.read(models_root() / version.folder, version.artifact_files)
    active = _locked_versions(version.symbol).active()
    if active.filter(pk=version.pk).exists():
        return
    active.update(state=VersionState.RETIRED)
    version.state = VersionState.ACTIVE
    version.decision = "Activated by staff."
    version.save(update_fields=["state", "decision"])
    logger.info("version %d activated by %s", version.number, by, extra={"symbol": str(version.symbol or "base")})


def sweep() -> int:
    """Removes folders that no version points to, as a killed trainer leaves them; those of the last day may still be published."""
    if not models_root().exists():
        return 0
    old = [folder for folder in models_root().iterdir() if time.time() - folder.stat().st_mtime > UNPUBLISHED_SECONDS]
    known = set(ModelVersion.objects.filter(folder__in=[folder.name for folder in old]).values_list("folder", flat=True))
    orphans = [folder for folder in old if folder.name not in known]
    for folder in orphans:
        shutil.rmtree(folder)
        logger.info("removed %s: no version points to it", folder.name)
    return len(orphans)


def load_forecaster(version: ModelVersion) -> Forecaster:
    """The version's model, from memory where this process has used it before.

    Raises ArtifactError where a file is missing or is not the one that was published.
    """
    return _load(version.folder, tuple(sorted(version.artifact_files.items())))


@functools.lru_cache(maxsize=LOADED_MODELS)
def _load(folder: str, files: tuple[tuple[str, ArtifactFile], ...]) -> Forecaster:
    return Forecaster.load(models_root() / folder, dict(files))


@transaction.atomic
def _register(
    trained: TrainedModel | BaseModel,
    files: dict[str, ArtifactFile],
    *,
    version_id: int,
    folder: str,
    training_id: int,
    fence: int,
    parent: ModelVersion | None,
) -> ModelVersion:
    training = Training.objects.held(training_id=training_id, fence=fence).select_for_update(of=("self",)).first()
    if training is None:
        raise FenceLostError(f"Training {training_id} is no longer this trainer's; its result is discarded.")
    siblings = _locked_versions(training.symbol)
    previous = siblings.active().first()
    siblings.active().update(state=VersionState.RETIRED)
    version = _create(
        trained,
        files,
        version_id=version_id,
        symbol=training.symbol,
        folder=folder,
        decision=f"Replaces version {previous.number}." if previous else "First version.",
        training=training,
        parent=parent,
    )
    Training.objects.filter(pk=training.pk).update(
        state=TrainingState.SUCCEEDED,
        stage="published",
        progress=1.0,
        error="",
        finished_at=Now(),
        lease_expires_at=None,
    )
    return version


def _create(
    model: TrainedModel | BaseModel,
    files: dict[str, ArtifactFile],
    *,
    version_id: int,
    symbol: Symbol | None,
    folder: str,
    decision: str,
    **origin: Any,
) -> ModelVersion:
    """The row of a version that serves from now on; its siblings are locked."""
    last = ModelVersion.objects.filter(symbol=symbol).aggregate(last=Max("number"))["last"]
    return ModelVersion.objects.create(
        pk=version_id,
        symbol=symbol,
        number=(last or 0) + 1,
        state=VersionState.ACTIVE,
        decision=decision,
        config=model.config.to_dict(),
        metrics=model.metrics,
        data_start=model.data_start,
        data_end=model.data_end,
        bar_count=model.bar_count,
        folder=folder,
        files={name: asdict(file) for name, file in files.items()},
        **origin,
    )


def _locked_versions(symbol: Symbol | None) -> ModelVersionQuerySet:
    """The versions of a symbol, all rows locked: of two transactions that choose which one serves, the second waits."""
    versions = ModelVersion.objects.filter(symbol=symbol)
    list(versions.select_for_update().order_by("pk").values_list("pk"))
    return versions


def _next_version_id() -> int:
    """Drawn ahead of the insert, because the folder's name contains it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [ModelVersion._meta.db_table])
        (number,) = cursor.fetchone()
    return int(number)
