"""A version's life cycle after its training: promotion or rejection, replacement if damaged, and removal of old files."""

import os
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.utils import timezone
from pytest_django import Settings

from forecasting import registry
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingReason
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.evaluation.drift import paired_losses
from forecasting.pipeline.serving.artifacts import BACKTEST, EARLIER, META, ONNX, ArtifactError
from tests.factories import make_symbol, make_version
from tests.racing import at_once, slow
from tests.small_model import publish_model

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


# Damage


@pytest.mark.parametrize("name", [ONNX, META])
@pytest.mark.parametrize("how", ["deleted", "truncated", "bit flipped"])
def test_the_newest_good_version_serves_instead_of_a_damaged_one_and_a_retraining_is_requested(name: str, how: str) -> None:
    symbol = make_symbol()
    first, second, third = (published(symbol) for _ in range(3))
    damaged(second, name, how)
    assert registry.replace_damaged(third, problem="model.onnx is missing.") == first
    third.refresh_from_db()
    first.refresh_from_db()
    second.refresh_from_db()
    assert states() == {1: VersionState.ACTIVE, 2: VersionState.RETIRED, 3: VersionState.RETIRED}
    assert [each.files_state for each in (first, second, third)] == [FilesState.KEPT, FilesState.DAMAGED, FilesState.DAMAGED]
    assert third.decision == "Retired, because its files cannot be used: model.onnx is missing."
    assert first.decision == "Serves again: the files of version 3 cannot be used."
    assert Training.objects.active().get().reason == TrainingReason.FILES_DAMAGED


def test_of_several_good_versions_the_newest_serves_instead_of_a_damaged_one() -> None:
    symbol = make_symbol()
    _, second, third = (published(symbol) for _ in range(3))
    ModelVersion.objects.filter(pk=second.pk).update(trained_at=timezone.now() - timedelta(days=9))  # numbers decide, not times
    assert registry.replace_damaged(third, problem="gone") == second


def test_a_version_whose_files_were_removed_neither_serves_nor_counts_as_damaged() -> None:
    symbol = make_symbol()
    first, second = published(symbol), published(symbol)
    ModelVersion.objects.filter(pk=first.pk).update(files_state=FilesState.REMOVED)
    serving = registry.replace_damaged(second, problem="gone")
    first.refresh_from_db()
    assert serving
    assert (serving.kind, first.files_state) == ("base", FilesState.REMOVED)


def test_damage_of_one_symbol_leaves_the_versions_of_another_alone() -> None:
    symbol, other = make_symbol("SAMPLE1"), published(make_symbol("SAMPLE2"))
    first, second = published(symbol), published(symbol)
    damaged(first, ONNX, "deleted")
    assert registry.replace_damaged(second, problem="gone") == registry.base_version()
    other.refresh_from_db()
    assert (other.state, other.files_state) == (VersionState.ACTIVE, FilesState.KEPT)


def test_damage_of_a_version_that_no_longer_serves_changes_nothing() -> None:
    symbol = make_symbol()
    first, second = published(symbol), published(symbol)
    assert registry.replace_damaged(first, problem="gone") == second
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE}
    assert not Training.objects.active().exists()


def test_a_damaged_base_that_was_trained_here_gives_way_to_the_shipped_one_and_is_trained_again() -> None:
    base = published(None)
    serving = registry.replace_damaged(base, problem="gone")
    assert serving
    assert (serving.number, serving.symbol, serving.training) == (2, None, None)
    training = Training.objects.active().get()
    assert (training.symbol, training.reason) == (None, TrainingReason.FILES_DAMAGED)


def test_a_good_base_before_a_damaged_one_serves_again() -> None:
    shipped = registry.base_version()
    base = published(None)
    assert registry.replace_damaged(base, problem="gone") == shipped


def test_a_damaged_base_does_not_serve_again() -> None:
    shipped = registry.base_version()
    assert shipped
    damaged(shipped, EARLIER, "deleted")
    serving = registry.replace_damaged(published(None), problem="gone")
    shipped.refresh_from_db()
    assert serving
    assert (serving.number, shipped.files_state) == (3, FilesState.DAMAGED)


@pytest.mark.parametrize("ticker", ["SAMPLE1", None])
def test_the_log_says_which_version_is_damaged_and_why(ticker: str | None, caplog: pytest.LogCaptureFixture) -> None:
    version = published(make_symbol(ticker) if ticker else None)
    caplog.clear()
    for _ in range(2):
        registry.replace_damaged(version, problem="model.onnx is missing.")
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert record.getMessage() == "version 1 is damaged and was retired: model.onnx is missing."
    assert vars(record)["symbol"] == (ticker or "base")


def test_damage_that_several_processes_find_is_dealt_with_once() -> None:
    symbol = make_symbol()
    first, second = published(symbol), published(symbol)
    assert [registry.replace_damaged(second, problem="gone") for _ in range(2)] == [first, first]
    assert Training.objects.active().count() == 1


@pytest.mark.django_db(transaction=True)
def test_processes_that_find_the_damage_at_once_agree_on_one_replacement(caplog: pytest.LogCaptureFixture) -> None:
    symbol = make_symbol()
    _, second, third = (published(symbol) for _ in range(3))
    with slow("UPDATE", ModelVersion):
        assert at_once([partial(registry.replace_damaged, third, problem="gone")] * 4) == [second] * 4
    assert states() == {1: VersionState.RETIRED, 2: VersionState.ACTIVE, 3: VersionState.RETIRED}
    assert (Training.objects.active().count(), caplog.messages.count("version 3 is damaged and was retired: gone")) == (1, 1)


def test_a_rejected_version_does_not_serve_by_itself() -> None:
    symbol = make_symbol()
    active = published(symbol)
    published(symbol, backtest=backtest(spread=2.0))
    serving = registry.replace_damaged(active, problem="gone")
    assert serving
    assert serving.kind == "base"


def test_a_damaged_base_that_ships_is_copied_again() -> None:
    base = registry.base_version()
    assert base
    serving = registry.replace_damaged(base, problem="gone")
    assert serving
    assert (serving.number, serving.symbol, Training.objects.count()) == (2, None, 0)


def test_a_repaired_version_can_be_activated_again() -> None:
    symbol = make_symbol()
    _, second = published(symbol), published(symbol)
    registry.replace_damaged(second, problem="gone")
    registry.activate(second, by="admin")
    second.refresh_from_db()
    assert (second.state, second.files_state) == (VersionState.ACTIVE, FilesState.KEPT)


def test_activating_the_active_version_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    version = published(make_symbol())
    caplog.clear()
    registry.activate(version, by="admin")
    version.refresh_from_db()
    assert (version.state, version.decision, caplog.messages) == (VersionState.ACTIVE, "First version.", [])


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
