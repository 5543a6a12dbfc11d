"""How each account at a provider stands, as one fact for all workers of an installation."""

from typing import NamedTuple, Protocol

from clarion.domain.standing import Standing
from clarion.ports.versioned import Swapping


class AccountName(NamedTuple):
    """Whose account it is and which."""

    tenant: str
    name: str


class Standings(Swapping[AccountName, Standing], Protocol):
    """Standings of accounts, `Standing()` of one nothing is known of. Losing them all only forgets what was down, so nothing
    here needs to survive a power cut."""

    def close(self) -> None:
        """Close what is open."""
        ...
