"""Which requests are admitted: how many are under way at a time, and the memory of their bodies.

Requests of tenants, those of the operator, those that anyone can make, and those for health are counted apart, so that
none of them takes the slots of another kind. Within a kind, a tenant, a user or a peer has a share of its own.
"""

from collections.abc import Hashable, Sequence
from types import TracebackType
from typing import Final, Self

from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import (
    BODIES_BYTES_MAX,
    HEALTH_REQUESTS_MAX,
    HEALTH_REQUESTS_PER_PEER_MAX,
    OPERATOR_BODIES_BYTES_MAX,
    OPERATOR_REQUESTS_MAX,
    PUBLIC_BODIES_BYTES_MAX,
    PUBLIC_BODIES_PER_PEER_BYTES_MAX,
    PUBLIC_REQUESTS_MAX,
    PUBLIC_REQUESTS_PER_PEER_MAX,
    TENANT_BODIES_BYTES_MAX,
    USER_BODIES_BYTES_MAX,
    USER_REQUESTS_MAX,
)
from clarion.domain.permissions import OF_OPERATOR, PUBLIC
from clarion.edge.byte_budget import ByteBudget
from clarion.ports.web import Route

SHARE_USED: Final = "concurrency_limit_reached"
"""The code of a refusal because of a share; others are still admitted."""


class Share:
    """What one owner may have of a limit, and what each has now; `owner` is the kind of owners, as shown in refusals."""

    def __init__(self, owner: str, requests_max: int, bytes_max: int) -> None:
        self.owner = owner
        self.requests_max = requests_max
        self.bytes_max = bytes_max
        self.slots: dict[Hashable, Slots] = {}


class Slots:
    """The requests under way of one owner, and the bytes of their bodies."""

    __slots__ = ("allocated", "owner", "requests", "share")

    def __init__(self, share: Share, owner: Hashable) -> None:
        self.share = share
        self.owner = owner
        self.requests = self.allocated = 0


class ConcurrencyLimit:
    """A number of requests, and the bytes of their bodies. A request or body that does not fit is refused with
    `Overloaded`, so that the client retries, and other requests are not affected."""

    def __init__(self, requests_max: int, bytes_max: int, *shares: Share) -> None:
        """`shares` bound the owners of a request, in their order."""
        self._requests_max = requests_max
        self.shares = shares
        self.bodies = ByteBudget(bytes_max)
        self.requests = 0

    def admit(self, owners: Sequence[Hashable]) -> "Admission":
        """Return the admission of one request; it is freed when its context ends. `owners` are those of the first
        shares. Raises `Overloaded` when too many requests are under way."""
        held = []
        for share, owner in zip(self.shares, owners, strict=False):
            slots = share.slots.get(owner)
            if slots is None:
                slots = Slots(share, owner)
            elif slots.requests >= share.requests_max:
                detail = f"too many requests of this {share.owner} are under way"
                raise Overloaded(detail, retry_after_s=1, code=SHARE_USED)
            held.append(slots)
        if self.requests >= self._requests_max:
            raise Overloaded("too many requests are under way", retry_after_s=1)
        self.requests += 1
        for slots in held:
            if not slots.requests:
                slots.share.slots[slots.owner] = slots
            slots.requests += 1
        return Admission(self, held)


class Admission:
    """The slots of one request, and the bytes of its body."""

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, limit: ConcurrencyLimit, held: list[Slots]) -> None:
        self._limit = limit
        self._held = held
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        limit, size = self._limit, self._size
        limit.requests -= 1
        limit.bodies.allocated -= size
        for slots in self._held:
            slots.allocated -= size
            slots.requests -= 1
            if not slots.requests:
                del slots.share.slots[slots.owner]

    def allocate(self, size: int) -> None:
        """Allocate more bytes. Raises `Overloaded` when fewer are free."""
        for slots in self._held:
            if slots.allocated + size > slots.share.bytes_max:
                detail = f"too many large requests of this {slots.share.owner} are under way"
                raise Overloaded(detail, retry_after_s=1, code=SHARE_USED)
        if not self._limit.bodies.allocate(size):
            raise Overloaded("too many large requests are under way", retry_after_s=1)
        for slots in self._held:
            slots.allocated += size
        self._size += size


class ConcurrencyLimits:
    """The limits of an API process."""

    def __init__(self, requests_max: int, tenant_requests_max: int) -> None:
        """`requests_max` bounds the requests of all tenants, `tenant_requests_max` those of each."""
        self.authenticated = ConcurrencyLimit(
            requests_max,
            BODIES_BYTES_MAX,
            Share("tenant", tenant_requests_max, TENANT_BODIES_BYTES_MAX),
            Share("user", USER_REQUESTS_MAX, USER_BODIES_BYTES_MAX),
        )
        self.operator = ConcurrencyLimit(OPERATOR_REQUESTS_MAX, OPERATOR_BODIES_BYTES_MAX)
        self.public = ConcurrencyLimit(
            PUBLIC_REQUESTS_MAX,
            PUBLIC_BODIES_BYTES_MAX,
            Share("address", PUBLIC_REQUESTS_PER_PEER_MAX, PUBLIC_BODIES_PER_PEER_BYTES_MAX),
        )
        self.health = ConcurrencyLimit(HEALTH_REQUESTS_MAX, 0, Share("address", HEALTH_REQUESTS_PER_PEER_MAX, 0))

    def of(self, route: Route) -> ConcurrencyLimit:
        """Return the limit of a route's requests."""
        if route.health:
            return self.health
        if route.permission in OF_OPERATOR:
            return self.operator
        return self.public if route.permission == PUBLIC else self.authenticated
