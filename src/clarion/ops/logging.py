"""Log lines: structured, one per event, with secrets and personal data masked before anything is written."""

import logging
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final, TextIO

import structlog

SECRET_WORDS: Final = (
    "authorization", "cookie", "credential", "operator_key", "api_key", "passphrase", "password", "private_key",
    "secret", "signature", "token",
)  # fmt: skip
"""A field whose name contains one of these is never written."""
PERSONAL_KEYS: Final = frozenset({"address", "email", "phone", "recipient", "to", "whatsapp"})
"""Fields that are written as their first two characters only."""
MASK: Final = "***"
_DEPTH_MAX: Final = 6
_QUIET: Final = ("alembic", "asyncio", "uvicorn")
"""Libraries whose lines matter only from `warning` upwards."""


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


def configure(level: str, output: str, *, role: str = "", stream: TextIO | None = None) -> None:
    """Send all log lines of this process to `stream` (stderr) from `level` (`debug` ... `error`) upwards, as `json`
    or for the `console`. Lines of libraries that use the standard library's logging take the same way. `role` is
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
        last: list[Any] = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=target.isatty())]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
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
