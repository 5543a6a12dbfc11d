"""The objects that all partitions of a channel's pool share."""

from dataclasses import dataclass

from clarion.deliver.accounts.worker import Accounts
from clarion.deliver.partition.gather_cancelled import CancellationCache
from clarion.deliver.partition.worker_handover import Handovers
from clarion.deliver.rules.retry import Policy
from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import Suppressions
from clarion.ports.stage_store import StageStore
from clarion.ports.state import DeliveryStates
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry


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
    policy: Policy
    accounts: Accounts
    worker: str
    window: int
    linger_ms: int
    handovers: Handovers
