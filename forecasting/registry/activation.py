"""Changes which version serves: staff activate one, or a damaged version is replaced by the previous good one."""

import functools
import logging
import time

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from forecasting.models import ModelVersion, Symbol
from forecasting.models.trainings import TrainingReason
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.verified import ArtifactError, OutOfReachError
from forecasting.registry.base_model import base_version, load_base
from forecasting.registry.files import models_bucket, read_files
from forecasting.registry.publishing import locked_versions
from forecasting.training import requests as training_requests

TOLD_SECONDS = 600

logger = logging.getLogger(__name__)


@transaction.atomic
def activate(version: ModelVersion, *, by: str) -> None:
    """Activates this version in place of the current one, and notes by whom. `decision` still says why it was promoted or rejected.

    If another version is pinned, that pin is lifted.

    Raises ArtifactError if its files are removed, missing or damaged.
    """
    siblings = locked_versions(version.symbol)
    if siblings.filter(pk=version.pk, files_state=FilesState.REMOVED).exists():
        raise ArtifactError(f"They were removed: only the last {settings.KEEP_VERSIONS} versions of a symbol keep their files.")
    read_files(artifacts.read, version.folder, version.artifact_files)
    if siblings.active().filter(pk=version.pk).exists():
        return
    siblings.active().update(state=VersionState.RETIRED)
    Symbol.objects.lift_pin(of=version.symbol)
    _let_serve(version, activated_by=by, activated_at=timezone.now())
    logger.info("version %d activated by %s", version.number, by, extra=_about(version))


@transaction.atomic
def pin(version: ModelVersion, *, by: str) -> None:
    """Activates this version of a symbol, and keeps it active: new versions are trained and judged, but do not replace it.

    Raises ArtifactError like `activate`. The pin is lifted if another version is activated, or if the files are damaged later.
    """
    activate(version, by=by)
    Symbol.objects.filter(versions=version).update(pinned_version=version)
    logger.info("version %d pinned by %s", version.number, by, extra=_about(version))


@transaction.atomic
def unpin(symbol: Symbol, *, by: str) -> None:
    """Lets the next training replace the pinned version."""
    locked_versions(symbol)  # a version that is being published is judged before or after, never in between
    if Symbol.objects.lift_pin(of=symbol):
        logger.info("version unpinned by %s", by, extra={"symbol": symbol.ticker})


def replace_damaged(version: ModelVersion, *, problem: str) -> ModelVersion | None:
    """Returns the replacement for a version with unusable files: the newest usable retired version, else the base, else None.

    A pin is lifted, because the next version must replace the damaged one. One retraining is requested, even if several processes
    find the damage.
    """
    with transaction.atomic():
        if ModelVersion.objects.active().filter(pk=version.pk).exists():
            _request_retraining(version)  # before the versions are locked: publishing locks in the same order
            _retire_damaged(version, problem=problem)
    return ModelVersion.objects.active().filter(symbol=version.symbol).select_related("symbol").first() or base_version()


def replacement(version: ModelVersion, *, problem: ArtifactError) -> ModelVersion | None:
    """What serves instead of a version whose files cannot be used.

    A version whose files are only out of reach keeps its place: the base serves until they can be read. The shipped base in this
    machine's folder does not: it is copied again.
    """
    is_copied = version.symbol is None and version.training_id is None and not models_bucket()
    if isinstance(problem, OutOfReachError) and not is_copied:
        _tell_out_of_reach(version, str(problem), int(time.monotonic() / TOLD_SECONDS))
        return base_version() if version.symbol else None
    return replace_damaged(version, problem=str(problem))


@functools.lru_cache(maxsize=100)  # a line per version and span, not one per request
def _tell_out_of_reach(version: ModelVersion, problem: str, span: int) -> None:
    logger.error("version %d cannot be read on this machine now: %s", version.number, problem, extra=_about(version))


def _retire_damaged(version: ModelVersion, *, problem: str) -> None:
    siblings = locked_versions(version.symbol)
    told = f"Retired, because its files cannot be used: {problem}"
    if (
        not siblings.active()
        .filter(pk=version.pk)
        .update(state=VersionState.RETIRED, files_state=FilesState.DAMAGED, decision=told)
    ):
        return  # another process replaced or retired it while we waited for the lock
    if Symbol.objects.lift_pin(of=version.symbol):
        logger.error("version %d is no longer pinned: its files cannot be used", version.number, extra=_about(version))
    logger.error("version %d is damaged and was retired: %s", version.number, problem, extra=_about(version))
    retired = siblings.filter(state=VersionState.RETIRED, files_state=FilesState.KEPT).order_by("-number")
    for previous in retired.select_related("symbol"):
        if _is_usable(previous):
            _let_serve(previous, decision=f"Serves again: the files of version {version.number} cannot be used.")
            return


def _is_usable(version: ModelVersion) -> bool:
    try:
        if version.symbol is None:
            load_base(version)
        else:
            read_files(artifacts.read, version.folder, version.artifact_files)
    except OutOfReachError:
        return False
    except ArtifactError:
        ModelVersion.objects.filter(pk=version.pk).update(files_state=FilesState.DAMAGED)
        return False
    return True


def _request_retraining(version: ModelVersion) -> None:
    """Requests a retraining of the symbol, or of a base trained here. The shipped base needs none: it is copied again."""
    if version.symbol is not None:
        training_requests.request([version.symbol], reason=TrainingReason.FILES_DAMAGED)
    elif version.training_id is not None:
        training_requests.request_base(reason=TrainingReason.FILES_DAMAGED)


def _let_serve(version: ModelVersion, **why: object) -> None:
    values = {"state": VersionState.ACTIVE, "files_state": FilesState.KEPT} | why
    for name, value in values.items():
        setattr(version, name, value)
    version.save(update_fields=list(values))


def _about(version: ModelVersion) -> dict[str, object]:
    """Extra fields of log lines about this version."""
    return {"symbol": str(version.symbol or "base")}
