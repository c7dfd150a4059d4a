"""The files of versions: written below one folder, loaded once per process.

With a bucket, all machines publish to it, and the folder holds this machine's copies.
"""

import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import pandas as pd
from django.conf import settings
from django.core.files.storage import storages
from django.db import connection

from forecasting.metrics import counters
from forecasting.models import ModelVersion
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.trained import BaseModel, TrainedModel
from forecasting.pipeline.serving.verified import ArtifactError, ArtifactFile, OutOfReachError, file_of, flush_folder

if TYPE_CHECKING:
    from forecasting.registry.bucket import Bucket

FILE_MODE, FOLDER_MODE = 0o640, 0o750
SCRATCH = ".incoming-"  # how the names of folders begin that are being written
LOADED_MODELS = 4  # in the memory of a process: each is needed about once a session, and loads in 3 ms

Content = TypeVar("Content")


def models_root() -> Path:
    """The parent folder of all versions' folders."""
    return Path(settings.MEDIA_ROOT) / "models"


def models_bucket() -> "Bucket | None":
    """The bucket of all machines; None if model files are in this machine's folder only."""
    return cast("Bucket", storages["models"]) if "models" in settings.STORAGES else None


def write_files(model: TrainedModel | BaseModel) -> tuple[int, dict[str, ArtifactFile], str]:
    """Writes the files; returns the version's key, the files, and their folder's name. After an error no files remain.

    Raises OSError if the folder or the bucket cannot be written.
    """
    version_id = _next_version_id()
    root = models_root()
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=scratch_prefix(os.getpid()), dir=root))
    try:
        files = artifacts.write(folder, model)
        _share_with_group(folder)
        folder = folder.rename(root / f"{version_id}-{files['model.onnx'].sha256[:12]}")
        flush_folder(root)
        if bucket := models_bucket():
            for file in folder.iterdir():
                bucket.put(f"{folder.name}/{file.name}", file.read_bytes())
    except BaseException:
        remove_files(folder.name)
        raise
    return version_id, files, folder.name


def remove_files(folder: str) -> None:
    """Removes the files of a version that was not published. What cannot be removed is left to the next sweep."""
    shutil.rmtree(models_root() / folder, ignore_errors=True)
    if bucket := models_bucket():
        with suppress(OSError):
            bucket.remove(folder)


def remove_scratch(*, pid: int) -> None:
    """Removes the folders that a process of this machine was writing when it was killed."""
    for folder in models_root().glob(f"{scratch_prefix(pid)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def scratch_prefix(pid: int) -> str:
    """Names the writer: machines may share the folder."""
    return f"{SCRATCH}{socket.gethostname()}-{pid}-"


def read_files(read: Callable[[Path, dict[str, ArtifactFile]], Content], folder: str, files: Mapping[str, ArtifactFile]) -> Content:
    """What `read` makes of a version's folder and files, which come from the bucket if this machine's copies cannot be used.

    Raises ArtifactError, and OutOfReachError if they cannot be read now, or the bucket would be needed but does not answer.
    """
    try:
        return read(models_root() / folder, dict(files))
    except ArtifactError as error:
        try:
            if not _fetch(folder, files):
                raise
        except OSError as failure:
            raise OutOfReachError(f"{error} {failure.strerror}.") from failure
    return read(models_root() / folder, dict(files))


def _fetch(folder: str, files: Mapping[str, ArtifactFile]) -> bool:
    """Whether the bucket had files of which this machine had no intact copy; they are here now. Raises OSError."""
    fetched = False
    for name, file in files.items() if models_bucket() else ():
        place = f"{file.folder or folder}/{name}"
        if _copy(place, file) is None and (content := published_content(place, file)) is not None:
            _keep_copy(models_root() / place, content)
            fetched = True
    return fetched


def published_content(place: str, file: ArtifactFile) -> bytes | None:
    """The bytes of a file `FOLDER/NAME` as it was published, from this machine or the bucket; None if neither has it.

    Raises OSError if the bucket does not answer.
    """
    content = _copy(place, file)
    if content is None and (bucket := models_bucket()):
        content = bucket.content(place)
    return content if content is not None and _is(file, content) else None


def _copy(place: str, file: ArtifactFile) -> bytes | None:
    """This machine's copy, if it is as it was published."""
    try:
        content = (models_root() / place).read_bytes()
    except OSError:
        return None
    return content if _is(file, content) else None


def _is(file: ArtifactFile, content: bytes) -> bool:
    return replace(file, folder="") == file_of(content)


def _keep_copy(path: Path, content: bytes) -> None:
    """Puts a file in its place as a whole, so that no other process reads half of it. After an error nothing remains."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix(os.getpid()), dir=models_root()) as scratch:
        file = Path(scratch) / path.name
        file.write_bytes(content)
        file.chmod(FILE_MODE)
        file.rename(path)


def load_forecaster(version: ModelVersion) -> Forecaster:
    """The version's model, cached in memory. Raises ArtifactError if a file is missing or differs from the published one."""
    if counted := counters.requests():
        counted.looked_up()
    return _load(version.folder, tuple(sorted(version.artifact_files.items())))


def load_backtest(version: ModelVersion) -> pd.DataFrame:
    """The version's out-of-sample forecasts, session by session. Raises ArtifactError."""
    return read_files(artifacts.read_backtest, version.folder, version.artifact_files)


@functools.lru_cache(maxsize=LOADED_MODELS)
def _load(folder: str, files: tuple[tuple[str, ArtifactFile], ...]) -> Forecaster:
    if counted := counters.requests():
        counted.loaded()
    return read_files(Forecaster.load, folder, dict(files))


def _share_with_group(folder: Path) -> None:
    """Lets the group read, under any umask: the web server may run as another user, and nobody else needs the models."""
    for file in folder.iterdir():
        file.chmod(FILE_MODE)
    folder.chmod(FOLDER_MODE)


def _next_version_id() -> int:
    """Reserves the key before the insert, because the folder's name contains it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [ModelVersion._meta.db_table])
        (number,) = cursor.fetchone()
    return int(number)
