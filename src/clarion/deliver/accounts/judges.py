"""Who has a say about calling an account: whether it works, whether its limits allow it, whether a retry is affordable."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from clarion.domain.channel import Lane
from clarion.domain.content import Account
from clarion.domain.outcome import Outcome
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


class Breaking(Protocol):
    """Whether accounts may be called, as far as they work."""

    def refresh(self) -> None:
        """Take up what other workers learnt; called once a batch."""
        ...

    def admit(self, account: Account, wanted: int) -> Grant:
        """Ask for calls; what is granted is made."""
        ...

    def state(self, account: Account) -> StandingState:
        """Return how an account stands, as far as this process knows."""
        ...

    def open_detail(self, account: Account) -> str:
        """Return why an account is open."""
        ...

    def give_back(self, account: Account) -> None:
        """Note that what was granted last is not called after all."""
        ...

    def pace_m(self, account: Account) -> int:
        """Return how fast an account takes what waits for it, in thousandths of a message per second."""
        ...

    def report(self, account: Account, outcome: Outcome, began_ms: int | None = None) -> None:
        """Take what a call came to that began at a time (Unix ms)."""
        ...

    def changes(self) -> list[Change]:
        """Return what this process brought about since it was asked last."""
        ...


class Pacing(Protocol):
    """Whether accounts may be called, as far as their limits go."""

    def free(self, account: Account) -> bool:
        """Return whether the account has no limit at all."""
        ...

    def take(
        self, account: Account, lane: Lane, addresses: Sequence[str], waited: Sequence[bool] = ()
    ) -> list[int | None]:
        """Return per delivery None when it may go, or when it may come again (Unix ms); `waited` says which were put off
        before."""
        ...

    def give_back(self, account: Account, count: int) -> None:
        """Give back what was taken and is not used."""
        ...

    def done(self, account: Account) -> None:
        """Note that a call ended."""
        ...


class Budgeting(Protocol):
    """How many retries accounts may be made beside fresh attempts."""

    def fresh(self, account: Account) -> None:
        """Note a first attempt."""
        ...

    def retry(self, account: Account) -> bool:
        """Take a retry; return whether there was one left."""
        ...

    def give_back(self, account: Account, retries: int) -> None:
        """Give back retries that are not made after all."""
        ...
