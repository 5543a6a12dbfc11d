"""The words the rules of planning use: the facts all recipients of a request share, and one planned delivery."""

from collections.abc import Mapping

import msgspec

from clarion.domain.cap import OverCap
from clarion.domain.channel import Channel
from clarion.domain.content import Category, Template
from clarion.domain.decision import Decision
from clarion.domain.quiet import QuietHours
from clarion.domain.route import Route
from clarion.plan.rules.preferences import Matrix


class CapRule(msgspec.Struct, frozen=True):
    """A cap ready for use: GCRA with one unit every `gap_s` seconds and `limit` at once. `rule` is its 8-byte id, `name`
    what people read (`3 per 1d of marketing`), `channel` None counts all channels together."""

    rule: bytes
    name: str
    channel: Channel | None
    limit: int
    gap_s: int


class Setting(msgspec.Struct, frozen=True):
    """The facts all recipients of one request share: what is sent, where it may go, which channels can send, and what
    holds for those who have not said. `digest` is the workflow, with its version, that takes what is over a cap. `facts` is what of them is kept to explain decisions (JSON)."""

    template: Template
    category: Category
    channels: tuple[Channel, ...]
    sendable: frozenset[Channel]
    defaults: Matrix
    workflow_defaults: Mapping[str, bool] = {}
    route: Route | None = None
    caps: tuple[CapRule, ...] = ()
    digest: tuple[str, int] | None = None
    quiet_hours: QuietHours = QuietHours()
    zone: str = "UTC"
    hold_max_ms: int = 0
    facts: bytes = b"{}"

    def caps_on(self, channel: Channel) -> tuple[CapRule, ...]:
        """Return the caps that count deliveries of a channel. In-app is not counted by those over all channels: it disturbs
        nobody."""
        for cap in self.caps:
            if not _counts(cap, channel):
                return tuple(each for each in self.caps if _counts(each, channel))
        return self.caps

    @property
    def over_cap(self) -> OverCap:
        """What becomes of what is over a cap."""
        return self.category.rules.over_cap


def _counts(cap: CapRule, channel: Channel) -> bool:
    return cap.channel is channel or (cap.channel is None and channel is not Channel.INAPP)


class Planned(msgspec.Struct, frozen=True):
    """One delivery of the plan: a decision about a channel and, where there is one, an address."""

    channel: Channel
    address: str
    decision: Decision
