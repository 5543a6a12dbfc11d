"""The answers of breakers about an account: how many calls are granted, and changes of its health."""

from typing import NamedTuple

from clarion.domain.account_health import HealthState
from clarion.domain.content import Account


class Grant(NamedTuple):
    """How many calls are granted to an account now; the rest may be requested again at `until_ms` (Unix ms)."""

    granted: int
    until_ms: int = 0
    state: HealthState = "closed"
    detail: str = ""


class HealthTransition(NamedTuple):
    """A change of an account's health at `at_ms` (Unix ms), and why."""

    account: Account
    before: HealthState
    state: HealthState
    detail: str
    at_ms: int
