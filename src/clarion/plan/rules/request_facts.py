"""Types that the rules of planning share: the facts of a request, which all its recipients share, and one planned
delivery."""

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
    """A cap as a GCRA rule: one unit every `gap_s` seconds and `limit` at once. `rule` is its 8-byte id, `name` its
    text for people (`3 per 1d of marketing`); with `channel` None all channels count together."""

    rule: bytes
    name: str
    channel: Channel | None
    limit: int
    gap_s: int


class RequestFacts(msgspec.Struct, frozen=True):
    """The facts that all recipients of one request share: its content, its channels, the channels that have a provider,
    and the defaults for recipients without settings of their own. `digest` is the digest workflow, with its version,
    for deliveries over a cap. `facts` is the stored form that explains decisions (JSON)."""

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
        """Return the caps that count deliveries of a channel. Caps over all channels do not count in-app, which does
        not interrupt the user."""
        for cap in self.caps:
            if not _counts(cap, channel):
                return tuple(each for each in self.caps if _counts(each, channel))
        return self.caps

    @property
    def over_cap(self) -> OverCap:
        """The policy for deliveries over a cap."""
        return self.category.rules.over_cap


def _counts(cap: CapRule, channel: Channel) -> bool:
    return cap.channel is channel or (cap.channel is None and channel is not Channel.INAPP)


class Planned(msgspec.Struct, frozen=True):
    """One delivery of the plan: a decision about a channel and, if it has one, an address."""

    channel: Channel
    address: str
    decision: Decision
