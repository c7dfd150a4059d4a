"""Nobody can write lines of his own into the log."""

import logging
import sys

from forecasting.runtime.log_line import LineFormatter


def formatted(text: str, **values: object) -> str:
    return LineFormatter("{levelname} {message}", style="{").format(
        logging.makeLogRecord({"msg": text, "levelname": "INFO"} | values)
    )


def test_control_characters_are_shown() -> None:
    assert formatted("/s/\n\r\x1b[31m\x9b\u2028é 10 %") == r"INFO /s/\n\r\x1b[31m\x9b\u2028é 10 %"


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("wrong")
    except ValueError:
        lines = formatted("failed", exc_info=sys.exc_info()).splitlines()
    assert (lines[0], lines[-1]) == ("INFO failed", "ValueError: wrong")
