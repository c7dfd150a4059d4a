"""Lines of a batched log file come in order, soon, and completely when a process ends."""

import logging
from pathlib import Path

from forecasting.runtime.batched_log import BatchedFile
from forecasting.runtime.processes import wait_for


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "test", "msg": text})


def test_lines_are_written_in_order_shortly_after(tmp_path: Path) -> None:
    file = BatchedFile(str(tmp_path / "a.log"), delay=True)
    for text in ("one", "two"):
        file.handle(record(text))
    assert wait_for(lambda: (tmp_path / "a.log").exists() and (tmp_path / "a.log").read_text() == "one\ntwo\n", seconds=30)
    file.close()


def test_the_last_lines_are_written_when_it_is_closed(tmp_path: Path) -> None:
    file = BatchedFile(str(tmp_path / "a.log"), delay=True)
    file.handle(record("last"))
    file.close()
    assert (tmp_path / "a.log").read_text() == "last\n"
