"""The S3-compatible bucket of all models, if MODEL_STORAGE names one. Each machine keeps copies of what it needs in its folder.

Loaded only if there is a bucket: see `STORAGES` in the settings.
"""

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile
from storages.backends.s3 import S3Storage

# A request may wait for it, so an answer must not take long.
IMPATIENT = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})

REST_SECONDS = 10.0  # after a silence, so that not every request waits for it
UNREACHABLE = "the bucket of models cannot be reached"

logger = logging.getLogger(__name__)


class BucketError(OSError):
    """The bucket does not answer, or refuses; `strerror` says which."""


class Bucket(S3Storage):
    """Folders of files, below the prefix of the bucket. Every method raises BucketError."""

    def __init__(self, **options: Any) -> None:
        super().__init__(client_config=IMPATIENT, file_overwrite=True, **options)
        self._rests_until = 0.0  # monotonic

    def put(self, path: str, content: bytes) -> None:
        """Writes a file."""
        with self._asked():
            self.save(path, ContentFile(content))

    def content(self, path: str) -> bytes | None:
        """The bytes of a file; None if there is none."""
        with self._asked():
            try:
                # One request, unlike the library's three. They also take a bucket that does not exist for a missing file.
                answer = self.bucket.Object(self._normalize_name(path)).get()
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise
            return bytes(answer["Body"].read())

    def folders(self) -> list[str]:
        """The names of all folders."""
        with self._asked():
            return list(self.listdir("")[0])

    def changed_at(self, folder: str) -> datetime:
        """When the last file of a folder was written."""
        with self._asked():
            times: list[datetime] = [self.get_modified_time(path) for path in self._paths(folder)]
            return max(times)

    def remove(self, folder: str) -> None:
        """Deletes a folder with its files."""
        with self._asked():
            for path in self._paths(folder):
                self.delete(path)

    def _paths(self, folder: str) -> list[str]:
        return [f"{folder}/{name}" for name in self.listdir(folder)[1]]

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turns the library's errors into BucketError, without addresses or keys.

        After a silence it asks nothing for a while, then in one thread at a time: the others must not wait as well.
        """
        if self._rests_until:
            if time.monotonic() < self._rests_until:
                raise BucketError(errno.EIO, UNREACHABLE)
            self._rests_until = time.monotonic() + REST_SECONDS
        try:
            yield
            self._rests_until = 0.0
        except ClientError as error:
            self._rests_until = 0.0
            raise BucketError(errno.EIO, f"the bucket refuses: {error.response['Error'].get('Message', error)}") from error
        except (BotoCoreError, Boto3Error) as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            logger.warning("%s: %s", UNREACHABLE, type(error).__name__)
            raise BucketError(errno.EIO, UNREACHABLE) from error
