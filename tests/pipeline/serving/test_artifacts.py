"""Files of a version's folder: complete on disk, and read only if size and hash match the record."""

import hashlib
import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pandas as pd
import pytest

from forecasting.pipeline.model.calibration import Calibration, MedianTest
from forecasting.pipeline.model.conformal import BETTER
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import BaseModel
from forecasting.pipeline.serving.verified import ArtifactError, ArtifactFile
from tests.pipeline.market_data import TINY, serving_model
from tests.pipeline.serving.models import BASE_FILES, Files, base_model, trained_model


def test_it_writes_exactly_the_files_that_it_records(tmp_path: Path, files: Files) -> None:
    assert {path.name for path in tmp_path.iterdir()} == {*files}
    assert {*files} == {"model.onnx", "model.weights.h5", "meta.json", "backtest.csv", "horizons.json"}
    assert all((tmp_path / name).stat().st_size == file.size for name, file in files.items())


def test_equal_models_give_equal_files(tmp_path: Path, files: Files) -> None:
    other = tmp_path / "other"
    other.mkdir()

    assert artifacts.write(other, trained_model()) == files


def test_it_does_not_overwrite_a_file(tmp_path: Path, files: Files) -> None:
    with pytest.raises(FileExistsError):
        artifacts.write(tmp_path, trained_model())


def test_it_does_not_write_numbers_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write(tmp_path, trained_model(metrics={"MAE": float("nan")}))


def test_what_is_read_is_what_was_written(tmp_path: Path, files: Files) -> None:
    assert artifacts.read(tmp_path, files) == serving_model()


def test_a_config_with_the_keys_of_an_earlier_release_is_read(tmp_path: Path, files: Files) -> None:
    meta = tmp_path / "meta.json"
    old = meta.read_text(encoding="utf-8").replace('"look_backs"', '"horizons"').encode()
    assert old != meta.read_bytes()
    meta.write_bytes(old)
    files["meta.json"] = ArtifactFile(hashlib.sha256(old).hexdigest(), len(old))

    assert artifacts.read(tmp_path, files) == serving_model()


def test_the_backtest_comes_back_to_the_last_bit(tmp_path: Path, files: Files) -> None:
    pd.testing.assert_frame_equal(
        artifacts.read_backtest(tmp_path, files), trained_model().backtest, check_exact=True, check_dtype=False
    )


def test_the_provenance_is_readable_by_people(tmp_path: Path, files: Files) -> None:
    meta = json.loads((tmp_path / "meta.json").read_text(encoding="utf-8"))

    assert meta["symbol"] == "KO"
    assert meta["metrics"] == {"MAE": 0.1, "R²": 0.9}
    assert (meta["data_start"], meta["data_end"], meta["bar_count"]) == ("2015-01-02", "2024-01-04", 2_000)


def test_serving_needs_neither_weights_nor_backtest(tmp_path: Path, files: Files) -> None:
    (tmp_path / "model.weights.h5").unlink()
    (tmp_path / "backtest.csv").unlink()

    assert artifacts.read(tmp_path, files) == serving_model()


def test_the_base_that_is_read_is_the_one_that_was_written(base_folder: Path) -> None:
    read, written = artifacts.read_base(base_folder, artifacts.recorded(base_folder)), base_model()

    assert {field.name: getattr(read, field.name) for field in fields(BaseModel)} == {
        field.name: getattr(written, field.name) for field in fields(BaseModel)
    }


def test_a_base_serves_like_a_symbols_version(base_folder: Path) -> None:
    assert artifacts.read(base_folder, artifacts.recorded(base_folder)) == serving_model(trees=b"trees")


def test_the_files_of_a_folder_without_a_record_are_hashed_as_written(tmp_path: Path) -> None:
    written = artifacts.write(tmp_path, base_model())

    assert artifacts.recorded(tmp_path) == written
    assert {*written} == {*BASE_FILES, "horizons.json"}


@pytest.mark.parametrize("name", BASE_FILES)
def test_a_base_folder_that_lacks_a_file_names_it(base_folder: Path, name: str) -> None:
    (base_folder / name).unlink()

    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        artifacts.recorded(base_folder)


def test_a_base_of_a_release_without_horizons_is_read(tmp_path: Path) -> None:
    artifacts.write(tmp_path, replace(base_model(), horizons=None, earlier_horizons=None))
    assert not (tmp_path / "horizons.json").exists()

    base = artifacts.read_base(tmp_path, artifacts.recorded(tmp_path))

    assert (base.horizons, base.earlier_horizons) == (None, None)


def test_a_version_of_a_release_without_horizons_serves(tmp_path: Path) -> None:
    files = artifacts.write(tmp_path, trained_model(horizons=None))

    assert artifacts.read(tmp_path, files).horizons is None


def test_a_symbols_version_is_no_base(tmp_path: Path, files: Files) -> None:
    with pytest.raises(ArtifactError, match=r"trees\.onnx is missing"):
        artifacts.recorded(tmp_path)


def test_a_symbols_version_reads_the_trees_from_the_folder_of_its_base(sharing: tuple[Path, Files]) -> None:
    folder, files = sharing

    assert not (folder / "trees.onnx").exists()
    assert artifacts.read(folder, files) == serving_model(trees=b"trees")


def test_the_record_of_a_file_names_only_the_folder_of_another_version(sharing: tuple[Path, Files]) -> None:
    _, files = sharing

    records = {name: file.to_dict() for name, file in files.items()}

    assert records["trees.onnx"]["folder"] == "base"
    assert {*records["model.onnx"]} == {"sha256", "size"}
    assert {name: ArtifactFile(**record) for name, record in records.items()} == files


def test_a_version_of_a_release_without_trees_is_read(tmp_path: Path, files: Files) -> None:
    meta = json.loads((tmp_path / "meta.json").read_text(encoding="utf-8"))
    del meta["tree_columns"]
    for name in ("tree_share", "trees", "tree_leaves", "tree_rows", "tree_rate"):
        del meta["config"][name]
    content = json.dumps(meta).encode()
    (tmp_path / "meta.json").write_bytes(content)

    model = artifacts.read(tmp_path, files | {"meta.json": ArtifactFile(hashlib.sha256(content).hexdigest(), len(content))})

    assert model.trees is None


@pytest.mark.parametrize(("change", "fits"), [({"seed": 7}, True), ({"units": 5}, False), ({"window": 11}, False)])
def test_a_training_starts_from_a_base_of_the_same_config_with_any_seed(change: dict[str, int], *, fits: bool) -> None:
    assert base_model().fits(replace(TINY, **change)) is fits  # type: ignore[arg-type]  # whole numbers, all of them


def rewritten(folder: Path, files: Files, **changes: object) -> Files:
    """The record of a folder with a meta.json of another release, which differs by `changes`."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8")) | changes
    content = json.dumps(meta).encode()
    (folder / "meta.json").write_bytes(content)
    return files | {"meta.json": ArtifactFile(hashlib.sha256(content).hexdigest(), len(content))}


def test_a_model_of_a_release_that_recorded_no_test_of_the_median_is_read(tmp_path: Path, files: Files) -> None:
    old = {"median_weight": 0.25, "spread": 1.1, "factor": 1.2}

    model = artifacts.read(tmp_path, rewritten(tmp_path, files, calibration=old))

    assert model.calibration == Calibration(median_weight=0.25, spread=1.1, factor=1.2)
    assert "not recorded" in model.calibration.median_facts["reason"]


def test_the_test_of_the_median_survives_a_round_trip(tmp_path: Path, files: Files) -> None:
    test = MedianTest(reason=BETTER, tried=0.5, p=0.01, p_by_exchange={"XNYS": 0.02})
    calibration = Calibration(median_weight=0.5, spread=1.1, median_test=test)

    model = artifacts.read(tmp_path, rewritten(tmp_path, files, calibration=asdict(calibration)))

    assert model.calibration == calibration


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": ["log_return"]}, "its features are log_return"),
        ({"tree_columns": ["range_1"]}, "the columns of its trees are range_1"),
        ({"config": asdict(serving_model().config) | {"layers": 3}}, "layers"),
        ({"calibration": {}}, "median_weight"),
        ({"scaler": {}}, "mean"),
    ],
)
def test_a_model_of_another_release_is_refused_with_the_reason(
    tmp_path: Path, files: Files, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(ArtifactError, match=f"another release: .*{reason}"):
        artifacts.read(tmp_path, rewritten(tmp_path, files, **changes))
