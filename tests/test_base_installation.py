"""The shipped base model: installed once, replaced if it does not fit this release."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from forecasting import registry
from forecasting.models import ModelVersion
from forecasting.models.versions import VersionState
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import META
from tests.factories import make_version
from tests.pipeline.live_data import live_model
from tests.racing import at_once

pytestmark = pytest.mark.django_db


def test_the_shipped_base_can_be_used_by_this_release() -> None:
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))
    assert base.fits(registry.forecast_config())
    assert base.seen.fitted_through < base.seen.calibrated_through < base.data_end
    assert base.command.startswith("python manage.py train_base")
    assert len(base.onnx) + len(base.trees) < 350_000
    assert sum(len(content) for content in base.contents.values()) < 750_000


def test_the_base_is_installed_once_and_listed_with_the_versions() -> None:
    assert registry.base_version() == registry.base_version() == ModelVersion.objects.get()
    version = ModelVersion.objects.get()
    assert (str(version), version.state, version.kind) == ("base v1", VersionState.ACTIVE, "base")
    assert {"MAE", "naive", "mase", "pinball_ratio", "coverage_80", "test_size"} <= set(version.metrics)
    assert registry.load_base(version).symbols


def test_a_base_of_another_network_is_replaced_by_the_shipped_one() -> None:
    first = registry.base_version()
    assert first
    ModelVersion.objects.update(config=first.config | {"units": 8})
    second = registry.base_version()
    first.refresh_from_db()
    assert second
    assert (second.number, second.state, first.state) == (2, VersionState.ACTIVE, VersionState.RETIRED)


@pytest.mark.parametrize("config", [{"quantile_levels": None}, {"of_another_release": 1}, {"quantile_levels": [0.9, 0.1]}])
def test_a_base_of_a_release_with_another_config_is_replaced_by_the_shipped_one(config: dict[str, Any]) -> None:
    known = registry.forecast_config().to_dict() | config
    make_version(None, config={name: value for name, value in known.items() if value is not None})
    serving_now = registry.base_version()
    assert serving_now
    assert (serving_now.number, ModelVersion.objects.active().get()) == (2, serving_now)


def test_a_base_of_a_release_without_trees_is_replaced_by_the_shipped_one() -> None:
    old = make_version(None, files={"model.onnx": {"sha256": "ab" * 32, "size": 24_576}})
    serving_now = registry.base_version()
    old.refresh_from_db()
    assert serving_now
    assert (serving_now.number, serving_now.state, old.state) == (2, VersionState.ACTIVE, VersionState.RETIRED)


@pytest.mark.django_db(transaction=True)
def test_processes_that_need_the_base_at_once_install_it_once() -> None:
    bases = at_once([registry.base_version] * 4)
    assert bases == [ModelVersion.objects.get()] * 4


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Ships a base whose meta.json has other values."""

    def ship(**values: object) -> None:
        folder = shutil.copytree(registry.SHIPPED_BASE, tmp_path / "shipped")
        meta = json.loads((folder / META).read_text())
        (folder / META).write_text(json.dumps(meta | values))
        monkeypatch.setattr("forecasting.registry.base_model.SHIPPED_BASE", folder)

    return ship


def test_a_shipped_base_of_another_network_does_not_serve(shipped: Callable[..., None]) -> None:
    shipped(config=registry.forecast_config().to_dict() | {"units": 8})
    assert registry.base_version() is None
    assert not ModelVersion.objects.exists()


def test_a_shipped_base_that_does_not_say_when_it_was_trained_counts_as_trained_now(shipped: Callable[..., None]) -> None:
    shipped(trained_at=None)
    version = registry.base_version()
    assert version
    version.refresh_from_db()
    assert timezone.now() - version.trained_at < timedelta(minutes=1)


def test_a_shipped_base_that_cannot_be_used_is_logged(shipped: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    shipped(config={})
    assert registry.base_version() is None
    (message,) = caplog.messages
    assert message.startswith("the shipped base model cannot be installed: meta.json is of another release")


def test_the_shipped_base_says_on_how_many_symbols_it_was_trained() -> None:
    version = registry.base_version()
    assert version
    symbols = registry.load_base(version).symbols
    assert version.decision == f"Ships with the service: trained on {len(symbols)} symbols."


def test_without_a_usable_folder_for_models_there_is_no_base(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "a file"
    settings.MEDIA_ROOT.write_text("in the way")
    assert registry.base_version() is None
    assert not ModelVersion.objects.exists()


def test_the_folder_of_a_base_is_not_swept() -> None:
    version = registry.base_version()
    assert version
    folder = registry.models_root() / version.folder
    shutil.copytree(folder, folder.with_name("999-orphan"))
    registry.sweep()
    assert folder.exists()


def test_the_shipped_base_was_trained_when_it_was_made_not_when_it_was_installed() -> None:
    shipped = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))
    version = registry.base_version()
    assert version
    assert version.trained_at == shipped.trained_at == datetime(2026, 11, 26, 21, 47, 53, 938689, tzinfo=UTC)


def test_the_shipped_base_claims_nothing_that_its_point_forecast_makes_a_constant() -> None:
    version = registry.base_version()
    assert version
    assert version.metrics["median"]["weight"] == 0
    assert version.metrics["beats_naive_p"] is version.metrics["directional_accuracy"] is None
    assert version.skill == {"mase": 1.0, "beats_naive": False}


def test_the_live_model_is_that_of_the_base_that_serves() -> None:
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))
    registry.register_base(replace(base, live=live_model()), decision="Made by a test.")

    assert registry.live_model() == live_model() != base.live


def test_a_base_without_a_live_model_does_with_the_shipped_one() -> None:
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))
    registry.register_base(replace(base, live=None), decision="Made by a test.")

    assert base.live
    assert registry.live_model() == base.live


def test_the_shipped_live_model_has_seen_nothing_that_the_base_has_not() -> None:
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))

    assert base.live
    assert base.live.through
    assert base.live.through <= base.data_end
    assert {"XNYS", "BVMF", "XTKS"} <= {exchange for exchange in base.live.openings if base.live.of(exchange)}
