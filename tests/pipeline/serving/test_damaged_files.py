"""A file that is damaged or has no record is not used, and the error names it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.verified import ArtifactError, OutOfReachError
from tests.pipeline.serving.models import BASE_FILES, Files


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE = [
    pytest.param(remove, "is missing", id="missing"),
    pytest.param(truncate, "but has only", id="truncated"),
    pytest.param(lengthen, "but has more", id="longer"),
    pytest.param(flip_one_bit, "has been changed", id="changed"),
    pytest.param(replace_by_folder, "is no file", id="no file"),
]


@pytest.mark.parametrize("name", ["model.onnx", "meta.json", "horizons.json"])
@pytest.mark.parametrize(("damage", "reason"), DAMAGE)
def test_a_damaged_file_does_not_serve(
    tmp_path: Path, files: Files, name: str, damage: Callable[[Path], None], reason: str
) -> None:
    damage(tmp_path / name)

    with pytest.raises(ArtifactError, match=f"{name} .*{reason}") as caught:
        artifacts.read(tmp_path, files)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(("damage", "reason"), DAMAGE)
def test_a_version_whose_trees_are_damaged_in_the_folder_of_its_base_does_not_serve(
    base_folder: Path, sharing: tuple[Path, Files], damage: Callable[[Path], None], reason: str
) -> None:
    folder, files = sharing
    damage(base_folder / "trees.onnx")

    with pytest.raises(ArtifactError, match=rf"trees\.onnx .*{reason}"):
        artifacts.read(folder, files)


@pytest.mark.parametrize("name", [*BASE_FILES, "horizons.json"])
@pytest.mark.parametrize(("damage", "reason"), DAMAGE)
def test_a_damaged_file_of_a_base_is_named(base_folder: Path, name: str, damage: Callable[[Path], None], reason: str) -> None:
    written = artifacts.recorded(base_folder)
    damage(base_folder / name)

    with pytest.raises(ArtifactError, match=f"{name} .*{reason}"):
        artifacts.read_base(base_folder, written)


@pytest.mark.parametrize(("damage", "reason"), DAMAGE)
def test_a_damaged_backtest_is_not_read(tmp_path: Path, files: Files, damage: Callable[[Path], None], reason: str) -> None:
    damage(tmp_path / "backtest.csv")

    with pytest.raises(ArtifactError, match=reason):
        artifacts.read_backtest(tmp_path, files)


def test_a_file_that_cannot_be_read_now_is_out_of_reach_and_not_damaged(tmp_path: Path, files: Files) -> None:
    path = tmp_path / "model.onnx"
    path.unlink()
    path.symlink_to(path.name)  # leads to itself: for root, too, it cannot be opened

    with pytest.raises(OutOfReachError, match=r"^model\.onnx cannot be read: Too many levels of symbolic links\.$"):
        artifacts.read(tmp_path, files)


def test_a_file_without_a_recorded_hash_does_not_serve(tmp_path: Path, files: Files) -> None:
    del files["model.onnx"]

    with pytest.raises(ArtifactError, match=r"No hash of model\.onnx is recorded"):
        artifacts.read(tmp_path, files)
