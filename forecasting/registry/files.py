"""The files of versions: written below one folder, loaded once per process."""

import functools
import os
import shutil
import socket
import tempfile
from pathlib import Path

import pandas as pd
from django.conf import settings
from django.db import connection

from forecasting.metrics import counters
from forecasting.models import ModelVersion
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.artifacts import ArtifactFile, BaseModel, TrainedModel
from forecasting.pipeline.serving.forecaster import Forecaster

FILE_MODE, FOLDER_MODE = 0o640, 0o750
LOADED_MODELS = 256  # kept in memory per process, about 100 kB each


def models_root() -> Path:
    """The parent folder of all versions' folders."""
    return Path(settings.MEDIA_ROOT) / "models"


def write_files(model: TrainedModel | BaseModel) -> tuple[int, dict[str, ArtifactFile], str]:
    """Writes the files; returns the version's key, the files, and their folder's name. After an error no files remain."""
    version_id = _next_version_id()
    root = models_root()
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=scratch_prefix(os.getpid()), dir=root))
    try:
        files = artifacts.write(folder, model)
        _share_with_group(folder)
        folder = folder.rename(root / f"{version_id}-{files['model.onnx'].sha256[:12]}")
        artifacts.flush_folder(root)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return version_id, files, folder.name


def remove_scratch(*, pid: int) -> None:
    """Removes the folders that a process of this machine was writing when it was killed."""
    for folder in models_root().glob(f"{scratch_prefix(pid)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def scratch_prefix(pid: int) -> str:
    """Names the writer: machines may share the folder."""
    return f".incoming-{socket.gethostname()}-{pid}-"


def load_forecaster(version: ModelVersion) -> Forecaster:
    """The version's model, cached in memory. Raises ArtifactError if a file is missing or differs from the published one."""
    if counted := counters.requests():
        counted.looked_up()
    return _load(version.folder, tuple(sorted(version.artifact_files.items())))


def load_backtest(version: ModelVersion) -> pd.DataFrame:
    """The version's out-of-sample forecasts, session by session. Raises ArtifactError."""
    return artifacts.read_backtest(models_root() / version.folder, version.artifact_files)


@functools.lru_cache(maxsize=LOADED_MODELS)
def _load(folder: str, files: tuple[tuple[str, ArtifactFile], ...]) -> Forecaster:
    if counted := counters.requests():
        counted.loaded()
    return Forecaster.load(models_root() / folder, dict(files))


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
