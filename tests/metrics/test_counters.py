"""Slots: processes that run at the same time never share files, and one that starts later continues those of a dead one."""

import subprocess
import sys
from pathlib import Path

from forecasting.metrics.counters import Slots

TAKE = "import sys, pathlib; from forecasting.metrics.counters import Slots; print(Slots(pathlib.Path(sys.argv[1])).number())"


def slot_of_a_process_that_ends(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", TAKE, str(folder)], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_each_process_has_its_own_slot(tmp_path: Path) -> None:
    assert Slots(tmp_path).number() == 0
    assert slot_of_a_process_that_ends(tmp_path) == "1"


def test_the_slot_of_a_dead_process_is_free(tmp_path: Path) -> None:
    assert [slot_of_a_process_that_ends(tmp_path) for _ in range(2)] == ["0", "0"]
    assert Slots(tmp_path).number() == 0


def test_a_process_keeps_its_slot(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    assert slots.number() == slots.number() == 0


def test_counts_of_dead_processes_are_forgotten_at_a_start_and_those_of_others_kept(tmp_path: Path) -> None:
    running = Slots(tmp_path)
    assert running.number() == 0
    slot_of_a_process_that_ends(tmp_path)
    kept, forgotten = tmp_path / "counter_0.db", tmp_path / "counter_1.db"
    for file in (kept, forgotten):
        file.touch()
    running.forget_dead()
    assert (kept.exists(), forgotten.exists()) == (True, False)
