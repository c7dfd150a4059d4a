"""The system checks: each reports its own mistake and nothing else."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings


def found() -> list[str]:
    """The ids of the messages of our own checks."""
    return [str(message.id) for message in run_checks() if str(message.id).startswith("forecasting.")]


def message(check_id: str) -> str:
    (text,) = [str(message) for message in run_checks() if message.id == check_id]
    return text


@pytest.fixture(autouse=True)
def correct(settings: Settings, tmp_path: Path) -> None:
    """A correct deployment."""
    settings.DEBUG, settings.ALLOWED_HOSTS = False, ["stocks.example"]
    settings.PRICE_SOURCE, settings.PRICE_DIR = "csv", tmp_path


def test_a_correct_deployment_gives_no_message() -> None:
    assert found() == []


def clusters(settings: Settings, **short: Any) -> dict[str, Any]:
    return dict(settings.Q_CLUSTER) | short


def test_a_queue_that_delivers_a_running_task_again_is_an_error(settings: Settings) -> None:
    settings.Q_CLUSTER = clusters(settings, timeout=600, retry=3 * 600 + 59)
    assert found() == ["forecasting.E001"]
    assert "Queue 'short' delivers a task again after 1859 s" in message("forecasting.E001")


def test_the_training_queue_is_looked_at_as_well(settings: Settings) -> None:
    settings.Q_CLUSTER = clusters(settings, ALT_CLUSTERS={"training": {"timeout": 9000}})
    assert found() == ["forecasting.E001"]
    assert "Queue 'training'" in message("forecasting.E001")


@pytest.mark.parametrize("retry", [3 * 600 + 60, 10_000])
def test_a_queue_that_waits_long_enough_is_fine(settings: Settings, retry: int) -> None:
    settings.Q_CLUSTER = clusters(settings, timeout=600, retry=retry)
    assert found() == []


@pytest.mark.parametrize("below", ["", "media", "media/deeper"])
def test_media_that_cannot_be_written_is_an_error(settings: Settings, tmp_path: Path, below: str) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    settings.MEDIA_ROOT = blocked / below
    assert found() == ["forecasting.E002"]
    assert f"MEDIA_ROOT {settings.MEDIA_ROOT} cannot be written." in message("forecasting.E002")


def test_a_read_only_disk_does_not_prevent_the_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MEDIA_ROOT.mkdir()
    read_only = os.statvfs_result((*os.statvfs(settings.MEDIA_ROOT)[:8], os.ST_RDONLY, 255))
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    assert found() == ["forecasting.W002"]


def test_media_that_can_be_made_is_fine(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "not" / "there" / "yet"
    assert found() == []
    assert not settings.MEDIA_ROOT.exists()


def test_an_unknown_price_source_is_an_error(settings: Settings) -> None:
    settings.PRICE_SOURCE = "google"
    assert found() == ["forecasting.E003"]


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_price_folder_that_is_not_a_folder_is_an_error(settings: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    settings.PRICE_DIR = tmp_path / name
    assert found() == ["forecasting.E004"]


def test_a_price_folder_that_is_not_used_need_not_be_there(settings: Settings, tmp_path: Path) -> None:
    settings.PRICE_SOURCE, settings.PRICE_DIR = "yahoo", tmp_path / "missing"
    assert found() == []


def test_pages_for_everyone_beside_an_api_with_keys_are_an_error(settings: Settings) -> None:
    settings.PUBLIC_PAGES = settings.API_KEY_REQUIRED = True
    assert found() == ["forecasting.E006"]


@pytest.mark.parametrize("host", ["stocks.example", "*", ".example"])
def test_debug_pages_for_others_are_an_error(settings: Settings, host: str) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS = True, ["localhost", host]
    assert found() == ["forecasting.E005"]
    assert host in message("forecasting.E005")


def test_debug_pages_on_an_address_that_others_reach_are_an_error(settings: Settings) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS, settings.HOST = True, [], "0.0.0.0"  # noqa: S104 - compared with, not bound to
    assert found() == ["forecasting.E005"]


@pytest.mark.parametrize("hosts", [[], ["localhost", "127.0.0.1", "[::1]"]])
def test_debug_pages_on_this_machine_alone_are_fine(settings: Settings, hosts: list[str]) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS = True, hosts
    assert found() == []


def test_simulated_prices_in_a_service_for_others_are_a_warning(settings: Settings) -> None:
    settings.PRICE_SOURCE = "sample"
    assert found() == ["forecasting.W001"]


def test_simulated_prices_on_this_machine_alone_are_fine(settings: Settings) -> None:
    settings.PRICE_SOURCE, settings.DEBUG, settings.ALLOWED_HOSTS = "sample", True, []
    assert found() == []
