"""What anybody can send to the port does not fill the log."""

import logging

from clarion.app.http.protocol import OncePerMinute


def record(text, at_s, level=logging.WARNING):
    made = logging.LogRecord("uvicorn.error", level, "", 0, text, (), None)
    made.created = at_s
    return made


def test_a_warning_is_written_once_a_minute_and_an_error_always():
    once = OncePerMinute()
    assert [once.filter(record("Invalid HTTP request received.", at_s)) for at_s in (0, 1, 59.9, 60, 61)] == [
        True, False, False, True, False,
    ]  # fmt: skip
    assert once.filter(record("Unsupported upgrade request.", 61))
    assert once.filter(record("Invalid HTTP request received.", 61, logging.ERROR))
