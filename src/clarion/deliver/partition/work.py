"""A delivery under way."""

from clarion.deliver.accounts.snapshot import AccountSnapshot
from clarion.deliver.rules.window import Pending
from clarion.domain.channel import Lane
from clarion.domain.content import Account
from clarion.domain.planned import PlannedDelivery


class Work:
    """A delivery under way, its lane, the frame it belongs to and the account it was assigned. `accounts` are the
    available accounts; `degrades` says whether its route continues with another channel when this one is down."""

    __slots__ = ("account", "accounts", "degrades", "lane", "pending", "row")

    accounts: AccountSnapshot

    def __init__(self, row: PlannedDelivery, lane: Lane, pending: Pending) -> None:
        self.row = row
        self.account: Account | None = None
        self.degrades = False
        self.lane = lane
        self.pending = pending
