"""What planning and delivery read of users and definitions: batched, cached by revision, never one row at a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar

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


class Directory(Protocol):
    """Read side of the control store. Definitions may be up to `REVISION_CHECK_MS` old where another process changed them;
    user rows are always current."""

    def users(self, tenant: str, user_ids: Sequence[str]) -> dict[str, User]:
        """Return the known users among up to 1,000 ids, in one query."""
        ...

    def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id; profiles never change once made, so they are cached for good."""
        ...

    def page(
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

    def ordinals(self, tenant: str, user_ids: Sequence[str]) -> dict[str, int]:
        """Return the ordinals of the known users among the ids."""
        ...

    def template(self, tenant: str, key: str) -> Template | None:
        """Return the current version of a template by key, or of `key@3` that version, draft or not, which has this name
        as its key. The same object as before unless something of it changed."""
        ...

    def category(self, tenant: str, key: str) -> Category | None:
        """Return a category by key."""
        ...

    def topic_exists(self, tenant: str, key: str) -> bool:
        """Return whether the tenant has that topic."""
        ...

    def accounts(self, tenant: str, channel: str) -> list[Account]:
        """Return the tenant's enabled accounts of a channel with credentials decrypted, preferred first."""
        ...

    def account(self, tenant: str, name: str) -> Account | None:
        """Return an account by its name, enabled or not, with credentials decrypted."""
        ...

    def defaults(self, tenant: str) -> dict[str, dict[str, bool]]:
        """Return the tenant's default preferences: category (or `*`) to channel (or `*`) to allowed."""
        ...

    def suppressed(self, tenant: str, channel: str, addresses: Sequence[str]) -> dict[str, str]:
        """Return the suppressed ones among the addresses with the reason they were suppressed for."""
        ...

    def has_suppressions(self, tenant: str, channel: str) -> bool:
        """Return whether the tenant has any suppression on the channel, so a page can skip the look-up."""
        ...

    def definition(self, tenant: str, kind: type[D], key: str, version: int | None = None) -> Defined[D] | None:
        """Return the newest version of a definition, or the one asked for even if it was removed since. `kind` is its
        type, which names itself in `KIND`."""
        ...

    def definitions(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind."""
        ...

    def caller(self, secret: str, now_ms: int) -> Caller | None:
        """Return whose API key a secret is, or None when it is unknown, revoked or expired."""
        ...

    def quotas(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's keys by key id, and its own under an empty one; no entry is no limit."""
        ...

    def revision(self, tenant: str | None = None) -> int:
        """Return a number that changes whenever a definition of the tenant changed. It costs no look at the store: a change
        by this process counts at once, one by another after the next `learn`. `OPERATOR_LEVEL` is the tenant of what the
        operator defines. Without a tenant, return a number that changes whenever anything of anyone changed, known or
        not. Definitions read afterwards are at least as new as this call: whoever works in batches calls it once for
        each."""
        ...

    async def learn(self) -> None:
        """Learn what was defined elsewhere. A process does so every `REVISION_LEARN_MS`, beside its work, so that nothing
        it reads is older than `REVISION_CHECK_MS`."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
