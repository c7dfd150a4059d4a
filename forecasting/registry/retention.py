"""Retention: deletes the files of old versions, and orphaned folders."""

import logging
import shutil
import time
from pathlib import Path

from django.conf import settings

from forecasting.models import ModelVersion
from forecasting.models.locks import Lock, lock_if_free
from forecasting.models.versions import FilesState
from forecasting.registry.files import models_root

UNPUBLISHED_SECONDS = 24 * 60 * 60

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
    """
    with lock_if_free(Lock.RETENTION) as mine:
        folders = orphans() if mine else []
        for folder in folders:
            shutil.rmtree(folder)
            logger.info("removed orphaned folder %s", folder.name)
    return len(folders)


def orphans() -> list[Path]:
    """The folders that a sweep deletes."""
    if not models_root().exists():
        return []
    old = [folder for folder in models_root().iterdir() if time.time() - folder.stat().st_mtime > UNPUBLISHED_SECONDS]
    versions = ModelVersion.objects.filter(folder__in=[folder.name for folder in old]).exclude(files_state=FilesState.REMOVED)
    needed = set(versions.values_list("folder", flat=True))
    return [folder for folder in old if folder.name not in needed]
