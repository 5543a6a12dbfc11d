"""Events from outside, on `outcomes`: what users saw, what providers tell afterwards, and how their accounts stand."""

import msgspec


class _Columns(msgspec.Struct, array_like=True):
    pass


class SeenFrame(_Columns, tag=14):
    """Users saw what a notification sent them, on `outcomes`."""

    tenants: list[str]
    notification_ids: list[bytes]
    user_ids: list[str]
    at_ms: list[int]


class ReceiptFrame(_Columns, tag=17):
    """What a provider told of deliveries after it had taken them, on `outcomes`. `kinds` are those of
    `ports.receipts.Receipt`; `places` are chunk and index of broadcast deliveries, or None; `details` are the provider's
    own words."""

    channel: str
    provider: str
    vendor: str
    delivery_ids: list[bytes]
    tenants: list[str]
    places: list[tuple[bytes, int] | None]
    kinds: list[str]
    at_ms: list[int]
    details: list[str]
    user_ids: list[str]
    addresses: list[str]


class StandingFrame(_Columns, tag=18):
    """Accounts at providers whose standing changed, on `outcomes`: `states` are those of `domain.standing.Standing`,
    `before` what they were, `details` why."""

    tenants: list[str]
    channels: list[str]
    providers: list[str]
    vendors: list[str]
    before: list[str]
    states: list[str]
    details: list[str]
    at_ms: list[int]
