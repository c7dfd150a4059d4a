"""One service per folder, and who uses its database."""

import os
from pathlib import Path

import pytest

from forecasting.runtime.service_lock import AnotherServiceError, service_lock, who_runs
from forecasting.runtime.worker_lock import worker_lock


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecasting.runtime.service_lock.PATIENCE_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_second_service_is_refused_and_told_which_one_runs(tmp_path: Path) -> None:
    told = rf"`manage.py run` \(process {os.getpid()}\) already runs with STATE_DIR"
    with service_lock(tmp_path), pytest.raises(AnotherServiceError, match=told), service_lock(tmp_path):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_service_is_refused_beside_a_worker_of_the_same_folder(tmp_path: Path) -> None:
    with worker_lock(tmp_path, patience_s=1, grace_s=1):
        assert who_runs(tmp_path) == f"`manage.py worker` (process {os.getpid()})"
        with pytest.raises(AnotherServiceError, match=r"manage\.py worker"), service_lock(tmp_path):
            pass


def test_nobody_runs_before_the_first_service_and_after_the_last_one(tmp_path: Path) -> None:
    assert who_runs(tmp_path) is None
    for _ in range(2):
        with service_lock(tmp_path):
            assert who_runs(tmp_path) == f"`manage.py run` (process {os.getpid()})"
        assert who_runs(tmp_path) is None
