"""What every partition of a channel's pool shares."""

from dataclasses import dataclass

from clarion.deliver.accounts.accounts import Accounts
from clarion.deliver.rules.retry import Policy
from clarion.deliver.rules.window import Pending
from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Account
from clarion.journal.rows import DeliverRow
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import Suppressions
from clarion.ports.journal import Journal
from clarion.ports.state import DeliveryStates
from clarion.ports.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Supplies:
    """Ports and settings of one channel. `window` bounds the deliveries of a partition and lane that are read but
    unrecorded."""

    channel: Channel
    journal: Journal
    sender: Sender
    states: DeliveryStates
    suppressions: Suppressions
    clock: Clock
    telemetry: Telemetry
    policy: Policy
    accounts: Accounts
    worker: str
    window: int
    linger_ms: int


class Work:
    """A delivery under way, the lane it came on, the frame it has to finish and the account it was given."""

    __slots__ = ("account", "lane", "pending", "row")

    def __init__(self, row: DeliverRow, lane: Lane, pending: Pending) -> None:
        self.row = row
        self.account: Account | None = None
        self.lane = lane
        self.pending = pending
