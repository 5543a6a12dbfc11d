"""Errors of the driver and the server, translated into the one error tree (`domain/errors.py`).

A refusal by a constraint or by a function of the schema is left alone: the store that caused it knows its meaning.
"""

import asyncio
from typing import Final

import asyncpg

from clarion.domain.errors import ClarionError, OutcomeUnknown, Overloaded, StoreAway, StoreUnavailable

RETRIED: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""The server rolled the transaction back because of a concurrent one; run again as a whole, it may succeed."""

LOST: Final = (
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
)
"""The connection failed or was ended: whether a statement took effect is not known from the error."""

_REFUSED: Final = (
    *RETRIED,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""The server did not run the transaction, or rolled it back."""


INVALID: Final = (ValueError, TypeError, OverflowError, asyncpg.DataError)
"""A value that the driver cannot encode or the server cannot store: the caller's mistake."""


def unreadable(error: Exception) -> ClarionError | None:
    """Return the error of a read that could not be done, None for an error with a meaning of its own."""
    if not isinstance(error, INVALID) and isinstance(error, (*_REFUSED, *LOST)):
        return StoreUnavailable(f"PostgreSQL cannot be read now: {words(error)}")
    return None


def is_lost(error: Exception) -> bool:
    """Return whether it is not known from the error if the statement took effect."""
    return isinstance(error, LOST) and not isinstance(error, (*INVALID, *_REFUSED))


def unwritten(error: Exception, *, sent: bool) -> ClarionError | None:
    """Return the error of a write, None for an error with a meaning of its own. `sent` is whether the server may have
    been asked to commit: then a lost connection leaves the outcome unknown."""
    if isinstance(error, INVALID):
        return None
    if isinstance(error, _REFUSED):
        return Overloaded(f"PostgreSQL cannot write now: {words(error)}")
    if isinstance(error, LOST):
        if sent:
            return OutcomeUnknown(f"the outcome of a commit is not known: {words(error)}")
        return StoreAway(f"PostgreSQL cannot be reached now: {words(error)}")
    return None


def words(error: Exception) -> str:
    """Return the message of the driver or server without the statement or its values, which an error's detail can
    hold."""
    code = getattr(error, "sqlstate", None)
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return f"{text} ({code})" if code else str(text)
