"""A line of the log stays one line, whatever a client has sent."""

import logging

CONTROLS = (*range(32), *range(127, 160), 0x2028, 0x2029)  # line ends and sequences that a terminal obeys
SHOWN = {code: ascii(chr(code))[1:-1] for code in CONTROLS}


class LineFormatter(logging.Formatter):
    """Shows control characters of the message as Python would write them. Tracebacks have their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """The line without the traceback."""
        record.message = record.message.translate(SHOWN)
        return super().formatMessage(record)
