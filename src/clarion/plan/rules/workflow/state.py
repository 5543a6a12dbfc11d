"""The words of a running workflow: where an instance stands, what can move it, and what moving it asks for."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from clarion.domain import workflow as steps

Ending: TypeAlias = Literal["completed", "merged", "cancelled", "expired", "failed"]
"""How an instance ends, exactly once."""
WaitKind: TypeAlias = Literal["delay", "digest", "seen", "event", "fetch", "pause"]


class NoValue(ValueError):
    """An expression has no value for these facts, or one that is of no use; the text says why in one sentence."""


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """What an instance stands still for, at most until `until_ms` (Unix ms). `key` is that of the signal it waits for; of
    a fetch `tries` have failed and `lost` got no answer at all, and a `pause` lies between two of its calls."""

    kind: WaitKind
    until_ms: int
    key: bytes = b""
    tries: int = 0
    lost: int = 0


class State(msgspec.Struct, array_like=True):
    """Where an instance stands. `seq` grows each time it begins to wait: what was set off for an earlier wait comes too
    late. `variables` are `vars` of expressions, `results` their `steps`."""

    workflow: str
    version: int
    started_ms: int
    expires_ms: int | None = None
    step: str = ""
    seq: int = 0
    taken: int = 0
    variables: dict[str, Any] = {}
    results: dict[str, dict[str, Any]] = {}
    digest: dict[str, Any] = {}
    waiting: Waiting | None = None


class Past(Protocol):
    """What has been before a move: look-ups of what was gathered, without any effect."""

    def seen_ms(self) -> int | None:
        """Return when the person last saw the notification (Unix ms)."""
        ...

    def passed(self, step: str, key: str) -> tuple[int, ...]:
        """Return the times (Unix ms) a throttle step let someone pass with a key."""
        ...


class Facts(NamedTuple):
    """What an instance may look at. `evaluate` gives the value of an expression over named values or raises `NoValue`; the
    same text and values always give the same."""

    now_ms: int
    zone: ZoneInfo
    data: Mapping[str, Any]
    user: Mapping[str, Any]
    evaluate: Callable[[str, Mapping[str, Any]], Any]
    past: Past


class Begin(NamedTuple):
    """The workflow was triggered."""


class Due(NamedTuple):
    """A timer set for `at_ms` (Unix ms) has fired."""

    at_ms: int


class Happened(NamedTuple):
    """What the instance waits for has happened; `data` came with it."""

    data: dict[str, Any]


class Answered(NamedTuple):
    """A fetch came back: `status` and `body`, or why it failed."""

    status: int = 0
    body: Any = None
    error: str = ""


class Closed(NamedTuple):
    """The digest closed, and this instance goes on with it."""

    items: list[dict[str, Any]]


Cause: TypeAlias = Begin | Due | Happened | Answered | Closed


class Deliver(NamedTuple):
    """Send what a step says, with this data."""

    step: steps.Send
    data: dict[str, Any]


class Passed(NamedTuple):
    """Keep when a throttle let someone pass, `per_ms` long."""

    step: str
    key: str
    times_ms: tuple[int, ...]
    per_ms: int


class Join(NamedTuple):
    """Put the instance into the digest of a step and key."""

    step: steps.Digest
    key: str


class Call(NamedTuple):
    """Make an HTTP call; its answer comes back as `Answered`."""

    step: steps.Fetch
    url: str
    headers: dict[str, str]
    body: Any


class Told(NamedTuple):
    """One line of the instance's story."""

    event: str
    step: str
    detail: str = ""


Effect: TypeAlias = Deliver | Passed | Join | Call | Told


class Move(NamedTuple):
    """What a cause comes to: the next state (the very same one when nothing changed), what to do, and how it ended."""

    state: State
    effects: list[Effect]
    ended: Ending | None = None
