"""What is said of an account by whoever looks at its calls: how many it may be made, and that it stands otherwise now."""

from typing import NamedTuple

from clarion.domain.content import Account
from clarion.domain.standing import StandingState


class Grant(NamedTuple):
    """How many calls an account may be made now; the others may come again at `until_ms` (Unix ms)."""

    granted: int
    until_ms: int = 0
    state: StandingState = "closed"
    detail: str = ""


class Change(NamedTuple):
    """An account that stands otherwise than before, since `at_ms` (Unix ms), and why."""

    account: Account
    before: StandingState
    state: StandingState
    detail: str
    at_ms: int
