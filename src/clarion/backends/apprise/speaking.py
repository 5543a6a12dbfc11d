"""One message through the Apprise library, on a thread that may block. Importing this imports the library with all of its services."""

import logging
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import apprise
from apprise.attachment.base import AttachBase
from apprise.plugins import N_MGR

from clarion.backends.apprise.calls import Calls
from clarion.backends.apprise.carrier import carried_by
from clarion.backends.apprise.fence import fenced, tried
from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits import ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.limits_apprise import APPRISE_WORDS_MAX
from clarion.domain.message import AppriseReply, AppriseRequest

# Services are imported here and now: later, behind the fence, some of them could not be.
with warnings.catch_warnings():
    # One of them tries a module that Python 3.13 has no more; it does without.
    warnings.simplefilter("ignore", DeprecationWarning)
    list(N_MGR.plugins())  # type: ignore[no-untyped-call]


_farewells: Final[dict[type, Callable[[Any], None]]] = {}


def _tame() -> None:
    """Take from services what they do on being forgotten (some sign out): that may be on any thread, where its calls would
    go around the guarded client, or count as those of another message. `_leave` does it at the right moment."""
    services = N_MGR.plugins()  # type: ignore[no-untyped-call]
    kinds: set[Any] = {base for service in services for base in service.__mro__} | {AttachBase}
    for kind in kinds:
        if "__del__" in vars(kind):
            _farewells[kind] = vars(kind)["__del__"]
            kind.__del__ = _silently


def _silently(_: Any) -> None:
    """What is forgotten makes no calls."""


def _leave(service: Any) -> None:
    """Let a service sign out, while its calls are still those of its message."""
    farewell = next((_farewells[kind] for kind in type(service).__mro__ if kind in _farewells), _silently)
    with suppress(Exception):  # the message has its outcome already, which a sign-out cannot change
        farewell(service)


_tame()


class _Heard(threading.local):
    words: list[str] | None = None


_heard: Final = _Heard()


class _Ear(logging.Handler):
    """Keeps what the library says of this thread's message, for the attempt; none of it goes to a log."""

    def emit(self, record: logging.LogRecord) -> None:
        words = _heard.words
        if words is not None and len(words) < APPRISE_WORDS_MAX:
            words.append(record.getMessage()[:ATTEMPT_DETAIL_CHARS_MAX])


def _listen() -> None:
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = [_Ear()]


_listen()


def _asset() -> apprise.AppriseAsset:
    """Return settings under which the library keeps no files, makes no keys, reads no templates and follows nobody."""
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


def speak(request: AppriseRequest, calls: Calls) -> AppriseReply:
    """Send a message and return what became of it. Raises `EgressError` when its last call got no answer."""
    words: list[str] = []
    _heard.words = words
    try:
        with fenced(), carried_by(calls):
            reason, done, over_chars = _notify(request)
        stopped = tried()
    finally:
        _heard.words = None
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
    """Return why nothing was sent, or an empty text, whether the library calls it done, and the most characters the service
    takes when the text is over it."""
    service: Any
    try:
        service = apprise.Apprise.instantiate(request.url, asset=_asset(), suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - whatever a service makes of a URL that is not one of its own
        service = None
    if service is None:
        return "unknown_url", False, 0
    why = _too_long(service, request.text)
    if request.overflow == "refuse" and why:
        return why, False, 0
    over_chars = int(service.body_maxlen) if why else 0
    service.throttle = _at_once
    service.service_retry = 0
    service.optional = False
    overflow = "upstream" if request.overflow == "refuse" else request.overflow
    try:
        return "", bool(service.notify(body=request.text, body_format=request.format, overflow=overflow)), over_chars
    except Exception as error:  # noqa: BLE001 - a service's bug costs one message; what it sent is known
        if _heard.words is not None:
            _heard.words.append(type(error).__name__)
        return "", False, over_chars
    finally:
        _leave(service)


def _too_long(service: Any, text: str) -> str:
    lines_max = service.body_max_line_count
    if len(text) > service.body_maxlen or (lines_max > 0 and text.count("\n") >= lines_max):
        return f"too_long:{service.body_maxlen}"
    return ""


def _at_once(*_: Any, **__: Any) -> None:
    """Instead of the library's own pauses: pace and retries belong to the account."""
