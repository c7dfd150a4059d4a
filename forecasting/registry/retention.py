"""Retention: deletes the files of old versions, and orphaned folders, on this machine and in the bucket."""

import logging
import re
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from forecasting.models import ModelVersion
from forecasting.models.locks import Lock, lock_if_free
from forecasting.models.versions import FilesState
from forecasting.registry.files import SCRATCH, models_bucket, models_root

if TYPE_CHECKING:
    from forecasting.registry.bucket import Bucket

UNPUBLISHED_SECONDS = 24 * 60 * 60
OURS = re.compile(r"\d+-[0-9a-f]{12}", re.ASCII)  # there may be other folders as well

logger = logging.getLogger(__name__)


def expire_files() -> int:
    """Marks files as removed, except those of active versions and of each symbol's last KEEP_VERSIONS versions.

    The next sweep deletes them. Files are marked first, so no version claims files that are gone. A base keeps its files as long as
    a version with files shares its trees.
    """
    return ModelVersion.objects.all().beyond_newest(settings.KEEP_VERSIONS).update(files_state=FilesState.REMOVED)


def sweep() -> int:
    """Deletes orphaned folders, such as those of a killed trainer. Folders of the last 24 hours may still be published.

    Deletes nothing while a backup copies files, because it may need files that have expired since it began. The next sweep does.

    Returns how many. Raises OSError if the bucket does not answer.
    """
    with lock_if_free(Lock.RETENTION) as mine:
        return len({*_emptied_folder(), *_emptied_bucket()}) if mine else 0


def sweep_folder() -> None:
    """The same for this machine's folder alone; an error is logged."""
    with lock_if_free(Lock.RETENTION) as mine:
        try:
            if mine:
                _emptied_folder()
        except OSError as error:
            logger.error("the folder of models cannot be swept: %s", error)


def _emptied_folder() -> list[str]:
    """Those that it removed. One that cannot be removed keeps neither the others nor the daily job."""
    removed = []
    for folder in orphans():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            logger.error("orphaned folder %s cannot be removed: %s; remove it by hand", folder, error.strerror)
        else:
            logger.info("removed orphaned folder %s", folder.name)
            removed.append(folder.name)
    return removed


def _emptied_bucket() -> list[str]:
    if (bucket := models_bucket()) is None:
        return []
    names = _bucket_orphans(bucket)
    for name in names:
        bucket.remove(name)
        logger.info("removed orphaned folder %s of the bucket", name)
    return names


def orphans() -> list[Path]:
    """The folders of this machine that a sweep deletes."""
    if not models_root().exists():
        return []
    ours = (each for each in models_root().iterdir() if OURS.fullmatch(each.name) or each.name.startswith(SCRATCH))
    old = [folder for folder in ours if _age(folder) > UNPUBLISHED_SECONDS]
    needed = _needed([folder.name for folder in old])
    return [folder for folder in old if folder.name not in needed]


def _age(folder: Path) -> float:
    """Seconds since it was last changed; 0 if it has just been renamed or removed."""
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bucket_orphans(bucket: "Bucket") -> list[str]:
    names = [name for name in bucket.folders() if OURS.fullmatch(name)]
    since = timezone.now() - timedelta(seconds=UNPUBLISHED_SECONDS)
    return [name for name in sorted({*names} - _needed(names)) if bucket.changed_at(name) < since]


def _needed(folders: list[str]) -> set[str]:
    """Those of these folders that hold files of a version."""
    versions = ModelVersion.objects.filter(folder__in=folders).exclude(files_state=FilesState.REMOVED)
    return set(versions.values_list("folder", flat=True))
