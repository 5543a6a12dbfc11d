"""Types of a running workflow: an instance's state, the causes that move it, and the effects of a move."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from clarion.domain import workflow as steps

Ending: TypeAlias = Literal["completed", "merged", "cancelled", "expired", "failed"]
"""How an instance ends, exactly once."""
WaitKind: TypeAlias = Literal["delay", "digest", "seen", "event", "fetch", "pause"]


class NoValue(ValueError):
    """An expression has no value for these facts, or an unusable one; the text gives the reason in one sentence."""


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """The wait of an instance, at most until `until_ms` (Unix ms). `key` is the key of the awaited signal. For a fetch,
    `tries` counts failed calls and `lost` those without any response; `pause` is the wait between two of its calls."""

    kind: WaitKind
    until_ms: int
    key: bytes = b""
    tries: int = 0
    lost: int = 0


class State(msgspec.Struct, array_like=True):
    """The state of an instance. `seq` grows each time it begins to wait, so that timers and answers of an earlier wait
    are ignored. Expressions read `variables` as `vars` and `results` as `steps`."""

    workflow: str
    version: int
    started_ms: int
    expires_ms: int | None = None
    step: str = ""
    seq: int = 0
    steps_taken: int = 0
    variables: dict[str, Any] = {}
    results: dict[str, dict[str, Any]] = {}
    digest: dict[str, Any] = {}
    waiting: Waiting | None = None


class InstanceHistory(Protocol):
    """Look-ups of an instance's history in gathered facts, without side effects."""

    def seen_ms(self) -> int | None:
        """Return when the user last saw the notification (Unix ms), None if never."""
        ...

    def passed(self, step: str, key: str) -> tuple[int, ...]:
        """Return the times (Unix ms) at which a throttle step let the user pass with a key."""
        ...


class InstanceFacts(NamedTuple):
    """The facts that a move may use. `evaluate` returns the value of an expression over named values or raises
    `NoValue`; it is deterministic."""

    now_ms: int
    zone: ZoneInfo
    data: Mapping[str, Any]
    user: Mapping[str, Any]
    evaluate: Callable[[str, Mapping[str, Any]], Any]
    history: InstanceHistory


class Triggered(NamedTuple):
    """The workflow was triggered."""


class TimerFired(NamedTuple):
    """A timer set for `at_ms` (Unix ms) has fired."""

    at_ms: int


class SignalReceived(NamedTuple):
    """The awaited event has happened; `data` is its data."""

    data: dict[str, Any]


class FetchAnswered(NamedTuple):
    """A fetch has ended: `status` and `body` of the response, or the `error`."""

    status: int = 0
    body: Any = None
    error: str = ""


class DigestClosed(NamedTuple):
    """The digest has closed, and this instance continues with its items."""

    items: list[dict[str, Any]]


Cause: TypeAlias = Triggered | TimerFired | SignalReceived | FetchAnswered | DigestClosed


class Deliver(NamedTuple):
    """Send the notification of a step, with this data."""

    step: steps.Send
    data: dict[str, Any]


class ThrottlePass(NamedTuple):
    """Store the times at which a throttle let the user pass, for `per_ms`."""

    step: str
    key: str
    times_ms: tuple[int, ...]
    per_ms: int


class Join(NamedTuple):
    """Put the instance into the digest of a step and key."""

    step: steps.Digest
    key: str


class HttpCall(NamedTuple):
    """Make an HTTP call; its response arrives as `FetchAnswered`."""

    step: steps.Fetch
    url: str
    headers: dict[str, str]
    body: Any


class ProgressLine(NamedTuple):
    """One line of the instance's progress."""

    event: str
    step: str
    detail: str = ""


Effect: TypeAlias = Deliver | ThrottlePass | Join | HttpCall | ProgressLine


class Move(NamedTuple):
    """The result of a cause: the next state (the same object when nothing changed), the effects, and the ending, if
    any."""

    state: State
    effects: list[Effect]
    ended: Ending | None = None
