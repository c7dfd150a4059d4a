"""Backup and restore of the whole service: database and model files in one archive."""

from forecasting.backup.archive import BackupError, Manifest, verified
from forecasting.backup.restoring import restore
from forecasting.backup.saving import back_up

__all__ = ["BackupError", "Manifest", "back_up", "restore", "verified"]
