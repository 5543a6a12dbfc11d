"""How each account at a provider stands, as one fact for all workers of an installation."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from clarion.domain.standing import Standing

T = TypeVar("T")


class AccountName(NamedTuple):
    """Whose account it is and which."""

    tenant: str
    name: str


class Standings(Protocol):
    """Standings of accounts. Losing them all only forgets what was down, so nothing here needs to survive a power cut."""

    def change(
        self, names: Sequence[AccountName], decide: Callable[[list[Standing]], tuple[Sequence[Standing], T]]
    ) -> T:
        """Read standings (`Standing()` for an account nothing is known of), store what `decide` makes of them and return
        what it returns beside that. Nobody else changes them meanwhile, whatever process they are in; when `decide`
        raises, nothing is stored. It must be quick. Raises `Overloaded` when the store cannot be written just now and
        `DurabilityError` when it is broken."""
        ...

    def read(self, names: Sequence[AccountName]) -> list[Standing]:
        """Return standings without changing them."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
