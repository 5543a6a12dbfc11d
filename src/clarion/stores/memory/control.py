"""The control store in memory: for one process, and the reference for other backends."""

from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault
from clarion.stores.memory.control_accounts import MemoryProviders, MemorySuppressions
from clarion.stores.memory.control_audiences import MemoryAudiences
from clarion.stores.memory.control_keys import MemoryKeys
from clarion.stores.memory.control_state import ControlState
from clarion.stores.memory.control_tenants import MemoryQuotaSettings, MemoryTenants
from clarion.stores.memory.control_topics import MemoryTopics
from clarion.stores.memory.control_users import MemoryConsents, MemoryUsers
from clarion.stores.memory.documents import MemoryDocuments
from clarion.stores.memory.people import MemoryPeople


class MemoryControl:
    """All repositories over one state, for one event loop."""

    def __init__(self, state: ControlState, vault: Vault, clock: Clock) -> None:
        self.tenants = MemoryTenants(state, clock)
        self.keys = MemoryKeys(state, clock)
        self.quotas = MemoryQuotaSettings(state)
        self.users = MemoryUsers(state, clock)
        self.consents = MemoryConsents(state)
        self.topics = MemoryTopics(state, clock)
        self.documents = MemoryDocuments(state)
        self.providers = MemoryProviders(state, clock, vault)
        self.audiences = MemoryAudiences(state, clock)
        self.suppressions = MemorySuppressions(state)
        self.people = MemoryPeople(state)

    async def close(self) -> None:
        """Do nothing: nothing is open."""
