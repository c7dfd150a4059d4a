"""Folders of versions."""

from dataclasses import replace
from pathlib import Path

import pytest

from forecasting.pipeline.serving import artifacts
from tests.pipeline.serving.models import Files, base_model, trained_model


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return artifacts.write(tmp_path, trained_model())


@pytest.fixture
def base_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    artifacts.write(folder, base_model())
    return folder


@pytest.fixture
def sharing(tmp_path: Path, base_folder: Path) -> tuple[Path, Files]:
    """A symbol's version with the trees of the base beside it: its folder and its record."""
    folder = tmp_path / "own"
    folder.mkdir()
    files = artifacts.write(folder, trained_model(trees=b"trees"))
    return folder, files | {"trees.onnx": replace(artifacts.recorded(base_folder)["trees.onnx"], folder=base_folder.name)}
