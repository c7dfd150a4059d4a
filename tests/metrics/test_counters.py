"""Slots: processes that run at the same time never share files, and one that starts later continues those of a dead one."""

import subprocess
import sys
from pathlib import Path

from forecasting.metrics.counters import FILE_BYTES, Slots

WITHOUT_ROOM = """
import resource, sys
from django.conf import settings
from forecasting.metrics.counters import count_requests
settings.configure(STATE_DIR=sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
print(count_requests())
"""
TAKE = "import sys, pathlib; from forecasting.metrics.counters import Slots; print(Slots(pathlib.Path(sys.argv[1])).number())"


def told(folder: Path, code: str = TAKE) -> str:
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_each_process_has_its_own_slot(tmp_path: Path) -> None:
    assert Slots(tmp_path).number() == 0
    assert told(tmp_path) == "1"


def test_the_slot_of_a_dead_process_is_free(tmp_path: Path) -> None:
    assert [told(tmp_path) for _ in range(2)] == ["0", "0"]
    assert Slots(tmp_path).number() == 0


def test_a_process_keeps_its_slot(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    assert slots.number() == slots.number() == 0


def test_counts_of_dead_processes_are_forgotten_at_a_start_and_those_of_others_kept(tmp_path: Path) -> None:
    running = Slots(tmp_path)
    assert running.number() == 0
    told(tmp_path)
    kept, forgotten = tmp_path / "counter_0.db", tmp_path / "counter_1.db"
    for file in (kept, forgotten):
        file.touch()
    running.forget_dead()
    assert (kept.exists(), forgotten.exists()) == (True, False)


def test_the_space_of_a_process_is_taken_up_at_once(tmp_path: Path) -> None:
    Slots(tmp_path).reserve("counter")
    found = (tmp_path / "counter_0.db").stat()
    assert (found.st_size, found.st_blocks * 512 >= FILE_BYTES) == (FILE_BYTES, True)


def test_a_process_without_room_for_its_counters_does_without(tmp_path: Path) -> None:
    assert told(tmp_path, WITHOUT_ROOM) == "None"
