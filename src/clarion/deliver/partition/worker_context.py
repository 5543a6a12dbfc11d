"""The objects that all partitions of a channel's pool share."""

from collections.abc import Iterable
from dataclasses import dataclass

from clarion.deliver.accounts.worker import Accounts
from clarion.deliver.partition.gather_cancelled import CancellationCache
from clarion.deliver.partition.worker_handover import Handovers
from clarion.deliver.rules.retry import RetryPolicy
from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel
from clarion.domain.planned import PlannedDelivery
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import Suppressions
from clarion.ports.stage_store import StageStore
from clarion.ports.state import DeliveryStates
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry
from clarion.runtime.onlookers import Onlookers


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """Ports and settings of one channel. `window` bounds the deliveries of a partition and lane that are read but
    unrecorded."""

    channel: Channel
    streams: Streams
    store: StageStore
    sender: Sender
    states: DeliveryStates
    suppressions: Suppressions
    cancelled: CancellationCache
    clock: Clock
    telemetry: Telemetry
    policy: RetryPolicy
    accounts: Accounts
    worker: str
    window: int
    linger_ms: int
    handovers: Handovers
    onlookers: Onlookers | None = None

    async def is_awaited(self, rows: Iterable[PlannedDelivery]) -> bool:
        """Return whether a user whose in-app message is among these deliveries is connected."""
        if self.onlookers is None or self.channel is not Channel.INAPP:
            return False
        return await self.onlookers.include({(row.tenant, row.user_id) for row in rows})

    def hurry(self, is_awaited: bool) -> None:
        """Have results recorded at once if they are awaited."""
        if self.onlookers is not None and is_awaited:
            self.onlookers.hurry()
