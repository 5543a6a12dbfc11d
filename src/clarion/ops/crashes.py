"""Exceptions that nothing caught: standard error gets a traceback without local values, masked as log lines are."""

import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

from clarion.ops.log_masking import masked_text


def write_crash(error: BaseException | None) -> None:
    """Write the traceback of an exception to standard error."""
    if error is not None and sys.stderr is not None:
        sys.stderr.write(masked_text("".join(traceback.format_exception(error))))
        sys.stderr.flush()


def mask_crashes() -> None:
    """Write every exception that ends this process or a thread of it, or that Python cannot raise, by `write_crash`, and
    warnings as log lines."""
    sys.excepthook = _end_of_process
    threading.excepthook = _end_of_thread
    sys.unraisablehook = _unraisable
    logging.captureWarnings(True)


def _end_of_process(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    write_crash(error)


def _end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is not SystemExit:
        write_crash(ended.exc_value)


def _unraisable(found: Any) -> None:
    write_crash(found.exc_value)
