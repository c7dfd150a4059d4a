"""A version's life cycle after its training: promotion or rejection, and removal of old files."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pytest_django import Settings

from forecasting import registry
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.evaluation.drift import paired_losses
from forecasting.pipeline.serving.trained import BACKTEST, ONNX, TREES
from forecasting.pipeline.serving.verified import ArtifactError
from tests.factories import make_claimed, make_symbol, make_version
from tests.small_model import BARS_NEEDED, publish_model, trained_model

pytestmark = pytest.mark.django_db

LEVELS = {"q05": -1.645, "q10": -1.282, "q25": -0.674, "q50": 0.0, "q75": 0.674, "q90": 1.282, "q95": 1.645}


def backtest(*, spread: float = 1.0, sessions: int = 200, price: float = 100.0) -> pd.DataFrame:
    """Forecasts of a random walk of 1 % per session: its true quantiles times `spread`."""
    closes = price * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.01, sessions + 1)))
    days = pd.bdate_range("2024-01-02", periods=sessions + 1)
    frame = pd.DataFrame({"as_of": days[:-1], "target_date": days[1:], "last_close": closes[:-1], "actual_close": closes[1:]})
    return frame.assign(**{name: closes[:-1] * np.exp(0.01 * spread * z) for name, z in LEVELS.items()})


def published(symbol: Symbol | None, **values: Any) -> ModelVersion:
    return publish_model(symbol, **({"backtest": backtest()} | values))


def states() -> dict[int, str]:
    return dict(ModelVersion.objects.exclude(symbol=None).order_by("number").values_list("number", "state"))


def damaged(version: ModelVersion, name: str, how: str) -> None:
    file = registry.models_root() / version.folder / name
    content = bytearray(file.read_bytes())
    if how == "deleted":
        file.unlink()
        return
    if how == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    file.write_bytes(content)


# Promotion


def test_a_significantly_worse_version_is_rejected_and_says_by_how_much() -> None:
    symbol = make_symbol()
    published(symbol)
    worse = published(symbol, backtest=backtest(spread=2.0))
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.REJECTED}
    assert worse.decision.startswith(
        "Significantly worse than version 1, which stays: on 200 sessions that both forecast out of sample, its quantile loss is"
    )
    assert "% larger (p = 0.000" in worse.decision


@pytest.mark.parametrize(("spread", "p", "state"), [(1.12, "0.052", VersionState.ACTIVE), (1.13, "0.044", VersionState.REJECTED)])
def test_a_version_is_rejected_if_chance_explains_its_loss_in_fewer_than_one_of_twenty_cases(
    spread: float, p: str, state: VersionState
) -> None:
    symbol = make_symbol()
    published(symbol)
    version = published(symbol, backtest=backtest(spread=spread))
    assert f"p = {p}" in version.decision
    assert version.state == state


def test_the_change_of_the_loss_is_in_percent_of_the_active_versions() -> None:
    symbol = make_symbol()
    published(symbol)
    version = published(symbol, backtest=backtest(spread=2.0))
    losses = paired_losses(backtest(spread=2.0), backtest()).mean()
    assert f"{losses['first'] / losses['second'] - 1:.2%} larger" in version.decision


def test_a_better_version_replaces_the_active_one() -> None:
    symbol = make_symbol()
    published(symbol, backtest=backtest(spread=2.0))
    better = published(symbol)
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}
    assert better.decision.startswith("Replaces version 1: not significantly worse; on 200 sessions")
    assert "% smaller" in better.decision


def test_versions_are_compared_across_a_split() -> None:
    symbol = make_symbol()
    published(symbol)
    assert "0.00% smaller" in published(symbol, backtest=backtest(price=50.0)).decision


def test_only_sessions_of_both_count_and_too_few_decide_nothing() -> None:
    symbol = make_symbol()
    published(symbol, backtest=backtest()[:100])
    published(symbol, backtest=backtest(spread=3.0)[71:])
    assert ModelVersion.objects.active().get().decision == (
        "Replaces version 1: 29 common out-of-sample sessions are too few to compare."
    )


def test_thirty_sessions_of_both_are_enough_to_reject_a_worse_version() -> None:
    symbol = make_symbol()
    published(symbol, backtest=backtest()[:100])
    published(symbol, backtest=backtest(spread=3.0)[70:])
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.REJECTED}


@pytest.mark.parametrize("name", [ONNX, BACKTEST])
def test_a_worse_version_replaces_one_whose_files_cannot_be_used(name: str) -> None:
    symbol = make_symbol()
    damaged(published(symbol), name, "deleted")
    version = published(symbol, backtest=backtest(spread=3.0))
    assert version.state == VersionState.ACTIVE
    assert version.decision == f"Replaces version 1, whose files cannot be used: {name} is missing."


def test_after_a_rejection_the_next_version_is_compared_with_the_active_one() -> None:
    symbol = make_symbol()
    published(symbol)
    published(symbol, backtest=backtest(spread=2.0))
    third = published(symbol)
    assert third.decision.startswith("Replaces version 1: not significantly worse")
    assert states() == {1: VersionState.RETIRED, 2: VersionState.REJECTED, 3: VersionState.ACTIVE}


def test_a_rejected_version_can_be_activated() -> None:
    symbol = make_symbol()
    published(symbol)
    rejected = published(symbol, backtest=backtest(spread=2.0))
    registry.activate(rejected, by="admin")
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}


# Retention


def aged(versions: list[ModelVersion]) -> list[Path]:
    """Makes the folders old enough for a sweep."""
    folders = [registry.models_root() / version.folder for version in versions]
    for folder in folders:
        os.utime(folder, (time.time() - registry.UNPUBLISHED_SECONDS - 60,) * 2)
    return folders


def test_the_last_versions_of_a_symbol_and_the_active_one_keep_their_files(settings: Settings) -> None:
    settings.KEEP_VERSIONS = 2
    symbol = make_symbol()
    versions = [published(symbol) for _ in range(4)]
    registry.activate(versions[0], by="admin")
    folders = aged([*versions, published(make_symbol("SAMPLE2"))])
    assert registry.expire_files() == 1
    assert registry.sweep() == 1
    assert [folder.exists() for folder in folders] == [True, False, True, True, True]
    assert (registry.expire_files(), registry.sweep()) == (0, 0)


@pytest.mark.parametrize(("age", "swept"), [(timedelta(hours=23, minutes=59), False), (timedelta(hours=24, minutes=1), True)])
def test_an_orphaned_folder_is_swept_after_a_day(age: timedelta, swept: bool) -> None:
    folder = registry.models_root() / ".incoming-of-a-killed-trainer"
    folder.mkdir(parents=True)
    (folder / ONNX).write_bytes(b"half")
    os.utime(folder, (time.time() - age.total_seconds(),) * 2)
    assert registry.sweep() == swept
    assert folder.exists() != swept


def test_what_is_not_ours_stays_and_what_cannot_be_removed_keeps_no_other(caplog: pytest.LogCaptureFixture) -> None:
    root = registry.models_root()
    for folder in ("lost+found", "1-0123456789ab", "3-0123456789ab"):
        (root / folder).mkdir(parents=True)
    for file in (".DS_Store", "2-0123456789ab"):  # the latter has the name of a folder of ours, but is none
        (root / file).touch()
    for each in root.iterdir():
        os.utime(each, (0, 0))
    assert registry.sweep() == 2
    assert {each.name for each in root.iterdir()} == {"lost+found", ".DS_Store", "2-0123456789ab"}
    (told,) = (each.getMessage() for each in caplog.records if each.levelname == "ERROR")
    assert told.endswith("2-0123456789ab cannot be removed: Not a directory; remove it by hand")


def test_nothing_is_swept_before_a_version_has_files() -> None:
    assert registry.sweep() == 0


def test_only_a_version_with_files_is_activated(settings: Settings) -> None:
    settings.KEEP_VERSIONS = 1
    symbol = make_symbol()
    first, second, _ = (published(symbol) for _ in range(3))
    registry.expire_files()
    ModelVersion.objects.filter(pk=second.pk).update(files_state=FilesState.KEPT)
    registry.activate(second, by="admin")
    with pytest.raises(ArtifactError, match=r"^They were removed: only the last 1 versions of a symbol keep their files"):
        registry.activate(first, by="admin")
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE, 3: VersionState.RETIRED}


def test_the_files_of_old_bases_are_removed_too(settings: Settings) -> None:
    settings.KEEP_VERSIONS = 1
    old = make_version(None, state=VersionState.RETIRED)
    make_version(None, number=2)
    registry.expire_files()
    old.refresh_from_db()
    assert old.files_state == FilesState.REMOVED


def test_a_base_keeps_its_files_as_long_as_a_version_shares_its_trees(settings: Settings) -> None:
    settings.KEEP_VERSIONS = 1
    base = make_version(None, state=VersionState.RETIRED)
    make_version(None, number=2)
    version = make_version(make_symbol(), parent=base)
    registry.expire_files()
    base.refresh_from_db()
    assert base.files_state == FilesState.KEPT
    ModelVersion.objects.filter(pk=version.pk).update(state=VersionState.RETIRED, files_state=FilesState.REMOVED)
    registry.expire_files()
    base.refresh_from_db()
    assert base.files_state == FilesState.REMOVED


# Trees, which the versions of symbols share with their base


@pytest.fixture
def base() -> ModelVersion:
    version = registry.base_version()
    assert version
    return version


def sharing(symbol: Symbol, base: ModelVersion) -> ModelVersion:
    """A version of the symbol with the trees of the base."""
    trees = registry.load_base(base).trees
    training = make_claimed(symbol)
    return registry.publish(trained_model(trees=trees), training_id=training.pk, fence=training.fence, parent=base)


def test_a_version_shares_the_trees_of_its_base_instead_of_a_copy(base: ModelVersion) -> None:
    version = sharing(make_symbol(), base)
    assert version.files[TREES] == base.files[TREES] | {"folder": base.folder}
    assert not (registry.models_root() / version.folder / TREES).exists()
    forecaster = registry.load_forecaster(version)
    assert forecaster.bars_used > forecaster.bars_needed


@pytest.mark.parametrize("how", ["deleted", "truncated", "changed"])
def test_if_the_trees_are_damaged_the_version_is_retired_with_the_reason_and_trained_again(base: ModelVersion, how: str) -> None:
    symbol = make_symbol()
    version = sharing(symbol, base)
    damaged(base, TREES, how)
    with pytest.raises(ArtifactError, match=r"^trees\.onnx ") as caught:
        registry.load_forecaster(version)
    registry.replace_damaged(version, problem=str(caught.value))
    version.refresh_from_db()
    assert (version.state, version.files_state) == (VersionState.RETIRED, FilesState.DAMAGED)
    assert version.decision.startswith("Retired, because its files cannot be used: trees.onnx ")
    assert Training.objects.active().get().symbol == symbol


def test_an_earlier_version_without_trees_serves_instead_of_one_whose_trees_are_damaged(base: ModelVersion) -> None:
    symbol = make_symbol()
    earlier, version = published(symbol), sharing(symbol, base)
    damaged(base, TREES, "deleted")
    replacement = registry.replace_damaged(version, problem="trees.onnx is missing.")
    assert replacement == earlier
    assert registry.load_forecaster(earlier).bars_used == BARS_NEEDED


def test_a_version_without_the_trees_of_its_base_cannot_be_activated(base: ModelVersion) -> None:
    symbol = make_symbol()
    version = sharing(symbol, base)
    published(symbol)
    damaged(base, TREES, "deleted")
    with pytest.raises(ArtifactError, match=r"^trees\.onnx is missing"):
        registry.activate(version, by="admin")
