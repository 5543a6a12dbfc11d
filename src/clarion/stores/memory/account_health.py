"""Account health in memory: for one process, and the reference for other backends."""

from clarion.domain.account_health import AccountHealth
from clarion.ports.account_health import AccountName
from clarion.stores.memory.versions import MemoryVersions


class MemoryAccountHealth(MemoryVersions[AccountName, AccountHealth]):
    """Implements `ports/account_health.py` for one thread."""

    def __init__(self) -> None:
        super().__init__(AccountHealth)

    def close(self) -> None:
        """Do nothing: nothing is open."""
