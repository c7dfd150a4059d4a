"""Files of a version's folder: complete on disk, and read only if size and hash match the record."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from forecasting.pipeline.model.calibration import Calibration, MedianTest
from forecasting.pipeline.model.conformal import BETTER
from forecasting.pipeline.model.features import compute_features
from forecasting.pipeline.model.horizons import fit_horizons
from forecasting.pipeline.model.windows import Scaler, Seen
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.artifacts import ArtifactError, ArtifactFile, BaseModel, Fit, ServingModel, TrainedModel
from tests.pipeline.market_data import TINY, serving_model, simulated_bars

Files = dict[str, ArtifactFile]


def trained_model(**changes: object) -> TrainedModel:
    backtest = {
        "as_of": pd.to_datetime(["2024-01-02", "2024-01-03"]),
        "target_date": pd.to_datetime(["2024-01-03", "2024-01-04"]),
        "last_close": [10.0, 1 / 3],
        "actual_close": [0.1 + 0.2, 11.0],
        "q50": [10.0, 2 / 3],
    }
    values: dict[str, object] = {
        **{field.name: getattr(serving_model(), field.name) for field in fields(ServingModel)},
        "symbol": "KO",
        "weights": b"weights",
        "metrics": {"MAE": 0.1, "R²": 0.9},
        "backtest": pd.DataFrame(backtest),
        "from_base": True,
        "data_start": date(2015, 1, 2),
        "data_end": date(2024, 1, 4),
        "bar_count": 2_000,
        "epochs": 4,
        "duration_s": 3.21,
        "versions": {"keras": "3"},
    }
    return TrainedModel(**(values | changes))  # type: ignore[arg-type]  # one dictionary for fields of many types


def base_model() -> BaseModel:
    columns = len(TINY.features)
    return BaseModel(
        **{field.name: getattr(serving_model(trees=b"trees"), field.name) for field in fields(ServingModel)},
        weights=b"weights",
        earlier_horizons=fit_horizons([(compute_features(simulated_bars(seed=5), TINY), 150)], TINY),
        earlier=Fit(b"earlier weights", Scaler(mean=(0.1,) * columns, spread=(1 / 3,) * columns), b"earlier trees"),
        seen=Seen(date(2022, 6, 30), date(2023, 6, 30)),
        symbols=("KO", "PEP"),
        metrics={"mase": 0.1 + 0.2, "symbols": 2},
        data_start=date(2015, 1, 2),
        data_end=date(2024, 1, 4),
        bar_count=4_000,
        duration_s=3.21,
        versions={"keras": "3"},
    )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return artifacts.write(tmp_path, trained_model())


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


@pytest.fixture
def base_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    artifacts.write(folder, base_model())
    return folder


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


BASE_FILES = ["model.onnx", "trees.onnx", "model.weights.h5", "meta.json", "earlier.weights.h5", "earlier.trees.onnx"]


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


@pytest.fixture
def sharing(tmp_path: Path, base_folder: Path) -> tuple[Path, Files]:
    """A symbol's version with the trees of the base beside it: its folder and its record."""
    folder = tmp_path / "own"
    folder.mkdir()
    files = artifacts.write(folder, trained_model(trees=b"trees"))
    return folder, files | {"trees.onnx": replace(artifacts.recorded(base_folder)["trees.onnx"], folder=base_folder.name)}


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
    pytest.param(replace_by_folder, "cannot be read", id="no file"),
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


def test_a_file_without_a_recorded_hash_does_not_serve(tmp_path: Path, files: Files) -> None:
    del files["model.onnx"]

    with pytest.raises(ArtifactError, match=r"No hash of model\.onnx is recorded"):
        artifacts.read(tmp_path, files)


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
