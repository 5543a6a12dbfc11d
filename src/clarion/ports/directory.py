"""What planning and delivery read of users and definitions: batched, cached by revision, never one row at a time."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from clarion.domain.content import Account, Category, Template
from clarion.domain.quota import Quota
from clarion.domain.segment import Filter
from clarion.domain.user import Profile, User
from clarion.ports.web import Caller

OPERATOR_LEVEL: Final = ""
"""The tenant under which the revision counts what belongs to none: tenants and API keys."""


class Kind(Protocol):
    """What a type of definitions has: the name under which they are stored."""

    KIND: ClassVar[str]


D = TypeVar("D", bound=Kind)
"""The type of a definition: `Workflow`, `Segment`, `Schedule`, `EventRule` or `Policy`."""


class UserRow(msgspec.Struct, frozen=True, array_like=True):
    """The shared head of a page row; the requested extra columns follow it as plain values."""

    ordinal: int
    user_id: str
    profile_id: int
    locale: str


class UserPage(NamedTuple):
    """Users as tuples (ordinal, user_id, profile_id, locale, *columns), ascending by ordinal; the ordinal to go on after,
    whether nobody is left, and about how many users were looked at. A page that is not the last may be short, even
    empty."""

    rows: list[tuple[Any, ...]]
    position: int
    done: bool
    looked_at: int


class Defined(msgspec.Struct, Generic[D], frozen=True):
    """A version of a definition."""

    key: str
    version: int
    body: D


DefinitionKey: TypeAlias = tuple[str, type[Any], str, int | None]
"""A tenant, a type of definitions, the key of one of them, and its version; None is the newest."""


class Directory(Protocol):
    """Read side of the control store. Definitions may be up to `REVISION_CHECK_MS` old where another process changed them;
    user rows are always current.

    What batches read is asked for once, for all of their tenants: one call is one round trip at most, however much is asked,
    and what is not there is not in the answer. Each method raises `StoreUnavailable`.
    """

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        """Return the known ones among users, by tenant and user id, for each tenant that is asked for. An engine that is
        far away reads along which profiles these have, so that `profiles` finds them."""
        ...

    async def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id; profiles never change once made, so they are cached for good."""
        ...

    async def page(
        self,
        tenant: str,
        topic: str | None,
        after_ordinal: int,
        limit: int,
        columns: Sequence[str] = (),
        filter_: Filter | None = None,
    ) -> UserPage:
        """Return up to `limit` users of the tenant (of the topic, if given; matched by the filter, if given) with
        ordinals above `after_ordinal`. A filtered page ends after `SEGMENT_SCAN_USERS_MAX` users or
        `SEGMENT_LOOK_MS` of looking. Columns are names out of `email`, `phone`, `whatsapp`, `chat`, `webhook`, `devices` (MessagePack of a list of Device, or None),
        `attributes` (JSON text) and `more_contacts` (JSON text, or None)."""
        ...

    async def ordinals(self, tenant: str, user_ids: Collection[str]) -> dict[str, int]:
        """Return the ordinals of the known users among the ids."""
        ...

    async def templates(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Template]:
        """Return the current versions of templates by (tenant, key), or of `key@3` that version, draft or not, which has this
        name as its key. The same objects as before unless something of them changed."""
        ...

    async def categories(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Category]:
        """Return categories by (tenant, key)."""
        ...

    async def topics(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return which topics, by (tenant, key), there are."""
        ...

    async def accounts(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Account]]:
        """Return the enabled accounts of each (tenant, channel) with credentials decrypted, preferred first; where there are
        none an empty list."""
        ...

    async def account(self, tenant: str, name: str) -> Account | None:
        """Return an account by its name, enabled or not, with credentials decrypted."""
        ...

    async def defaults(self, tenants: Collection[str]) -> dict[str, dict[str, dict[str, bool]]]:
        """Return the default preferences of each tenant: category (or `*`) to channel (or `*`) to allowed."""
        ...

    async def suppressed(
        self, wanted: Mapping[tuple[str, str], Collection[str]]
    ) -> dict[tuple[str, str], dict[str, str]]:
        """Return, by (tenant, channel), the suppressed ones among addresses with the reason they were suppressed for, for
        each place that is asked for."""
        ...

    async def suppressing(self, tenants: Collection[str]) -> dict[str, set[str]]:
        """Return the channels on which each tenant suppresses anything, so that elsewhere nothing is looked up."""
        ...

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        """Return the newest versions of definitions, or those asked for even if they were removed since. The body is of the
        type in the key, which names itself in `KIND`."""
        ...

    async def definitions_of(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind."""
        ...

    async def caller(self, secret: str, now_ms: int) -> Caller | None:
        """Return whose API key a secret is, or None when it is unknown, revoked or expired."""
        ...

    async def quotas(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's keys by key id, and its own under an empty one; no entry is no limit."""
        ...

    def revision(self, tenant: str) -> int:
        """Return a number that changes whenever a definition of the tenant changed. This reads nothing: it is what the process
        knows by now. A change by this process counts at once, one by another after the next `learn`. `OPERATOR_LEVEL` is the
        tenant of what the operator defines. Definitions read afterwards are at least as new as this call: whoever works in
        batches calls it once for each."""
        ...

    def is_current(self) -> bool:
        """Whether what `revision` tells is no older than `REVISION_CHECK_MS`; this reads nothing. Who keeps what was read by
        revision asks again when it is not: learning may have failed, and a revoked key must not outlast that."""
        ...

    async def learn(self) -> None:
        """Learn what was defined elsewhere. A process does so every `REVISION_LEARN_MS`, beside its work, so that nothing
        it reads is older than `REVISION_CHECK_MS`."""
        ...

    def was_asked(self) -> bool:
        """Return whether anybody asked for a `revision`, or whether it `is_current`, since this was asked last."""
        ...

    def when_behind(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever `is_current` returns False."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


async def catch_up(directory: Directory) -> None:
    """Learn now where learning beside the work has fallen behind. Called once a batch, before anything kept by revision is
    used."""
    if not directory.is_current():
        await directory.learn()
