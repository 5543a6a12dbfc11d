"""The health of accounts at providers, shared by all workers of an installation."""

from typing import NamedTuple, Protocol

from clarion.domain.account_health import AccountHealth
from clarion.ports.versioned import Swapping


class AccountName(NamedTuple):
    """The tenant and name of an account."""

    tenant: str
    name: str


class AccountHealthStore(Swapping[AccountName, AccountHealth], Protocol):
    """The health of accounts, `AccountHealth()` for an unknown one. A loss of all values only forgets which accounts
    were down, so nothing here needs to survive a power failure."""

    def close(self) -> None:
        """Close all connections and files."""
        ...
