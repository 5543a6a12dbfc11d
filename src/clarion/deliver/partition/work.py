"""A delivery under way."""

from clarion.deliver.accounts.known import Known
from clarion.deliver.rules.window import Pending
from clarion.domain.channel import Lane
from clarion.domain.content import Account
from clarion.domain.planned import PlannedDelivery


class Work:
    """A delivery under way, the lane it came on, the frame it has to finish and the account it was given. `known` are
    the accounts there are; `degrades` says whether its route goes on to another channel when this one is down."""

    __slots__ = ("account", "degrades", "known", "lane", "pending", "row")

    known: Known

    def __init__(self, row: PlannedDelivery, lane: Lane, pending: Pending) -> None:
        self.row = row
        self.account: Account | None = None
        self.degrades = False
        self.lane = lane
        self.pending = pending
