"""Log lines: structured, one per event, with secrets and personal data masked before anything is written.

Fields are masked by their names, and then every text, rendered tracebacks included, by what looks like a secret. Tracebacks
never show local values. Repeats of a warning or error are counted.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final, TextIO

import structlog

from clarion.ops.log_masking import MASK, masked_text
from clarion.ops.log_repeats import LEFT_OUT, Repeats

SECRET_WORDS: Final = (
    "authorization", "cookie", "credential", "operator_key", "api_key", "passphrase", "password", "private_key",
    "secret", "signature", "token",
)  # fmt: skip
"""A field whose name contains one of these is never written."""
PERSONAL_KEYS: Final = frozenset({"address", "email", "phone", "recipient", "to", "whatsapp"})
"""Fields that are written as their first two characters only."""
_DEPTH_MAX: Final = 6
_TRACEBACKS: Final = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
_QUIET: Final = ("alembic", "asyncio", "azure", "botocore", "google", "msal", "uvicorn")
"""Libraries whose lines are written only at `warning` or above: below it, botocore writes whole responses."""


def mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask secret and personal fields of an event, at any depth (a structlog processor)."""
    for key, value in event.items():
        event[key] = _masked(key, value, _DEPTH_MAX)
    return event


def _masked(key: str, value: Any, depth: int) -> Any:
    name = key.lower()
    if any(word in name for word in SECRET_WORDS):
        return MASK
    if depth == 0:
        return MASK
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), item, depth - 1) for inner, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_masked(key, item, depth - 1) for item in value]
    if name in PERSONAL_KEYS and isinstance(value, str):
        return value[:2] + MASK
    return value


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; repeats that were left out are reported at the latest when it is closed."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._repeats = Repeats(_report)
        self.addFilter(self._repeats)

    def close(self) -> None:
        """Report the repeats that were left out."""
        self._repeats.report_all()
        super().close()


def _report(event: str, lines: int) -> None:
    structlog.get_logger().warning(LEFT_OUT, of=event, lines=lines)


def _mask_texts(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask every text of a rendered event, at any depth (a structlog processor)."""
    return {key: _masked_texts(value) for key, value in event.items()}


def _masked_texts(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {masked_text(str(key)): _masked_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked_texts(item) for item in value]
    return masked_text(value if isinstance(value, str) else repr(value))


def configure(level: str, output: str, *, role: str = "", stream: TextIO | None = None) -> None:
    """Write all log lines of this process at or above `level` (`debug` ... `error`) to `stream` (stderr), as `json`
    or for the `console`. Lines that libraries write through the standard library's logging go there, too. `role` is
    written with every line."""
    target = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_role(role),
        mask,
    ]
    if output == "json":
        tracebacks = structlog.processors.ExceptionRenderer(_TRACEBACKS)
        last: list[Any] = [tracebacks, _mask_texts, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback  # the default one shows local values
        console = structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain)
        last = [structlog.processors.format_exc_info, _mask_texts, console]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )
    handler = _Handler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _with_role(role: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if role:
            event.setdefault("role", role)
        return event

    return add
