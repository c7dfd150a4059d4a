"""Publishing: files first, then one transaction for the version, the promotion decision and the end of the training."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Max
from django.db.models.functions import Now

from forecasting.models import ModelVersion, Restatement, Symbol, Training
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import ModelVersionQuerySet, VersionState
from forecasting.pipeline.serving.trained import TREES, BaseModel, TrainedModel
from forecasting.pipeline.serving.verified import ArtifactFile
from forecasting.registry import promotion
from forecasting.registry.files import remove_files, write_files


class FenceLostError(Exception):
    """Another trainer has the training, or it was cancelled or has ended, so this result must not be published."""


def publish(
    trained: TrainedModel | BaseModel,
    *,
    training_id: int,
    fence: int,
    parent: ModelVersion | None = None,
    restatement: Restatement | None = None,
    then: Callable[[ModelVersion], None] = lambda version: None,
) -> ModelVersion:
    """Publishes a training's result: files first (scratch folder, fsync, hash, rename), then one transaction for all rows.

    `parent`: the base from which the fit started; it must have the model's trees. `restatement`: the last restatement before the
    bars were read. `then` adds rows of the version in the same transaction, and its errors are those of the publication.

    Raises FenceLostError if the training no longer belongs to this trainer, and OSError if the files cannot be written.

    After any failure the database is unchanged and the files are removed. Exception: if the database connection fails, the files
    stay, because the transaction may have been committed.
    """
    version_id, files, folder = write_files(trained)
    try:
        return _register(
            trained,
            files | _shared(trained, parent),
            version_id=version_id,
            folder=folder,
            training_id=training_id,
            fence=fence,
            then=then,
            parent=parent,
            restatement=restatement,
        )
    except (OperationalError, InterfaceError):
        raise
    except BaseException:
        remove_files(folder)
        raise


def _shared(trained: TrainedModel | BaseModel, base: ModelVersion | None) -> dict[str, ArtifactFile]:
    """The record of the trees of a symbol's version, which stay in the folder of its base."""
    if base is None or not isinstance(trained, TrainedModel) or trained.trees is None:
        return {}
    return {TREES: replace(base.artifact_files[TREES], folder=base.folder)}


@transaction.atomic
def _register(
    trained: TrainedModel | BaseModel,
    files: dict[str, ArtifactFile],
    *,
    version_id: int,
    folder: str,
    training_id: int,
    fence: int,
    then: Callable[[ModelVersion], None],
    **origin: Any,
) -> ModelVersion:
    training = Training.objects.held(training_id=training_id, fence=fence).select_for_update(of=("self",)).first()
    if training is None:
        raise FenceLostError(f"Training {training_id} no longer belongs to this trainer; its result is discarded.")
    siblings = locked_versions(training.symbol)
    decision = promotion.judge(trained, beside=siblings.active().select_related("symbol").first())
    if decision.promoted:
        siblings.active().update(state=VersionState.RETIRED)
        Symbol.objects.lift_pin(of=training.symbol)
    version = create(
        trained,
        files,
        version_id=version_id,
        symbol=training.symbol,
        folder=folder,
        decision=decision.reason,
        state=decision.state,
        training=training,
        **origin,
    )
    Training.objects.filter(pk=training.pk).update(
        state=TrainingState.SUCCEEDED,
        stage="published",
        progress=1.0,
        error="",
        finished_at=Now(),
        lease_expires_at=None,
    )
    then(version)
    return version


def create(
    model: TrainedModel | BaseModel,
    files: dict[str, ArtifactFile],
    *,
    version_id: int,
    symbol: Symbol | None,
    folder: str,
    decision: str,
    state: VersionState = VersionState.ACTIVE,
    **origin: Any,
) -> ModelVersion:
    """Creates the row of a new version. The caller has locked the other versions of the symbol."""
    last = ModelVersion.objects.filter(symbol=symbol).aggregate(last=Max("number"))["last"]
    return ModelVersion.objects.create(
        pk=version_id,
        symbol=symbol,
        number=(last or 0) + 1,
        state=state,
        decision=decision,
        config=model.config.to_dict(),
        metrics=model.metrics,
        data_start=model.data_start,
        data_end=model.data_end,
        bar_count=model.bar_count,
        folder=folder,
        files={name: file.to_dict() for name, file in files.items()},
        **origin,
    )


def locked_versions(symbol: Symbol | None) -> ModelVersionQuerySet:
    """The versions of a symbol, with all rows locked: concurrent changes of the active version wait for each other. New forecasts
    by these versions do not wait."""
    versions = ModelVersion.objects.filter(symbol=symbol)
    list(versions.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    return versions
