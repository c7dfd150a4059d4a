"""Retention: old versions give up their files, and folders that are nobody's are removed."""

import logging
import shutil
import time
from pathlib import Path

from django.conf import settings

from forecasting.models import ModelVersion
from forecasting.models.versions import FilesState
from forecasting.registry.files import models_root

UNPUBLISHED_SECONDS = 24 * 60 * 60

logger = logging.getLogger(__name__)


def expire_files() -> int:
    """Marks the files of all but the last KEEP_VERSIONS versions of each symbol as removed, which the next sweep does.

    The mark comes first: no version is ever said to have files that are gone. What serves keeps its files; a base's are needed
    only while it serves, because trainings start from the base that does.
    """
    return ModelVersion.objects.all().beyond_newest(settings.KEEP_VERSIONS).update(files_state=FilesState.REMOVED)


def sweep() -> int:
    """Removes folders that no version needs, as a killed trainer leaves them; those of the last day may still be published."""
    folders = orphans()
    for folder in folders:
        shutil.rmtree(folder)
        logger.info("removed %s: no version needs it", folder.name)
    return len(folders)


def orphans() -> list[Path]:
    """The folders that a sweep removes."""
    if not models_root().exists():
        return []
    old = [folder for folder in models_root().iterdir() if time.time() - folder.stat().st_mtime > UNPUBLISHED_SECONDS]
    versions = ModelVersion.objects.filter(folder__in=[folder.name for folder in old]).exclude(files_state=FilesState.REMOVED)
    needed = set(versions.values_list("folder", flat=True))
    return [folder for folder in old if folder.name not in needed]
