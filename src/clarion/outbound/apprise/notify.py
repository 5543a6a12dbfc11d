"""Sends one message through the Apprise library, on a thread that may block. Importing this module imports the library
with all of its services."""

import logging
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import apprise
from apprise.attachment.base import AttachBase
from apprise.plugins import N_MGR

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import APPRISE_WORDS_MAX, ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.message import AppriseReply, AppriseRequest
from clarion.outbound.apprise.adapter import route_through
from clarion.outbound.apprise.calls import Calls
from clarion.outbound.apprise.fence import fenced, tried

# All services are imported here: later, behind the fence, some of them could not be.
with warnings.catch_warnings():
    # One service tries to import a module that was removed in Python 3.13; it works without.
    warnings.simplefilter("ignore", DeprecationWarning)
    list(N_MGR.plugins())  # type: ignore[no-untyped-call]


_farewells: Final[dict[type, Callable[[Any], None]]] = {}


def _disable_destructors() -> None:
    """Remove the destructors of services (some sign out): these may run on any thread, where their calls would bypass
    the guarded client or count as those of another message. `_leave` runs them at the right moment."""
    services = N_MGR.plugins()  # type: ignore[no-untyped-call]
    kinds: set[Any] = {base for service in services for base in service.__mro__} | {AttachBase}
    for kind in kinds:
        if "__del__" in vars(kind):
            _farewells[kind] = vars(kind)["__del__"]
            kind.__del__ = _do_nothing


def _do_nothing(_: Any) -> None:
    """Replaces a destructor, so that it makes no calls."""


def _leave(service: Any) -> None:
    """Run a service's destructor (it may sign out) while its calls still count as those of its message."""
    farewell = next((_farewells[kind] for kind in type(service).__mro__ if kind in _farewells), _do_nothing)
    with suppress(Exception):  # the message already has its outcome, which a sign-out cannot change
        farewell(service)


_disable_destructors()


class _LogCapture(threading.local):
    words: list[str] | None = None


_captured: Final = _LogCapture()


class _LogHandler(logging.Handler):
    """Collects the library's log lines for this thread's message as the attempt's detail; none is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        words = _captured.words
        if words is not None and len(words) < APPRISE_WORDS_MAX:
            words.append(record.getMessage()[:ATTEMPT_DETAIL_CHARS_MAX])


def _listen() -> None:
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = [_LogHandler()]


_listen()


def _asset() -> apprise.AppriseAsset:
    """Return settings under which the library stores no files, creates no keys, reads no templates and tracks
    nobody."""
    return apprise.AppriseAsset(
        app_id="Clarion",
        async_mode=False,
        secure_logging=True,
        http_redirects=False,
        allow_templates=False,
        pgp_autogen=False,
        pem_autogen=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )


def send_message(request: AppriseRequest, calls: Calls) -> AppriseReply:
    """Send a message and return its result. Raises `EgressError` when its last call got no response."""
    words: list[str] = []
    _captured.words = words
    try:
        with fenced(), route_through(calls):
            reason, done, over_chars = _notify(request)
        stopped = tried()
    finally:
        _captured.words = None
    if calls.failure is not None and not done:
        raise _failure(calls, calls.failure)
    if not calls.made and not reason:
        reason = "fenced" if stopped else "no_call"
    decisive = calls.decisive(done)
    return AppriseReply(
        done and decisive is not None,
        reason,
        decisive.response if decisive else None,
        calls.partly(decisive),
        stopped if reason == "fenced" else " ".join(words),
        over_chars,
    )


def _failure(calls: Calls, failure: EgressError) -> EgressError:
    if not calls.partly(None):
        return failure
    return EgressError(f"a part may have been sent before: {failure.detail}", sent=Sent.MAYBE)


def _notify(request: AppriseRequest) -> tuple[str, bool, int]:
    """Return why nothing was sent (or an empty text), whether the library reports success, and the service's maximum
    text length in characters when the text exceeds it."""
    service: Any
    try:
        service = apprise.Apprise.instantiate(request.url, asset=_asset(), suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - services raise arbitrary errors for an invalid URL
        service = None
    if service is None:
        return "unknown_url", False, 0
    cause = _too_long(service, request.text)
    if request.overflow == "refuse" and cause:
        return cause, False, 0
    over_chars = int(service.body_maxlen) if cause else 0
    service.throttle = _no_pause
    service.service_retry = 0
    service.optional = False
    overflow = "upstream" if request.overflow == "refuse" else request.overflow
    try:
        return "", bool(service.notify(body=request.text, body_format=request.format, overflow=overflow)), over_chars
    except Exception as error:  # noqa: BLE001 - a service's bug fails only one message; its calls are recorded
        if _captured.words is not None:
            _captured.words.append(type(error).__name__)
        return "", False, over_chars
    finally:
        _leave(service)


def _too_long(service: Any, text: str) -> str:
    lines_max = service.body_max_line_count
    if len(text) > service.body_maxlen or (lines_max > 0 and text.count("\n") >= lines_max):
        return f"too_long:{service.body_maxlen}"
    return ""


def _no_pause(*_: Any, **__: Any) -> None:
    """Replaces the library's own pauses: the account decides on pace and retries."""
