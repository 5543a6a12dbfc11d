"""The reads of users and definitions by planning and delivery: batched, cached by revision, never one row at a time."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from clarion.domain.api_key import ApiKey
from clarion.domain.content import Account, Category, Template
from clarion.domain.quota import Quota
from clarion.domain.segment import Filter
from clarion.domain.token_key import TokenKey
from clarion.domain.user import Profile, User

OPERATOR_LEVEL: Final = ""
"""The tenant whose revision covers the installation's own definitions: tenants and API keys."""


class Kind(Protocol):
    """A type of definitions, with the name under which they are stored."""

    KIND: ClassVar[str]


D = TypeVar("D", bound=Kind)
"""The type of a definition: `Workflow`, `Segment`, `Schedule`, `EventRule` or `Policy`."""


class UserRow(msgspec.Struct, frozen=True, array_like=True):
    """The common head of a page row; the requested extra columns follow it as plain values."""

    ordinal: int
    user_id: str
    profile_id: int
    locale: str


class UserPage(NamedTuple):
    """Users as tuples (ordinal, user_id, profile_id, locale, *columns), ascending by ordinal; the ordinal after which
    to continue, whether this is the last page, and about how many users were scanned. A page that is not the last may
    be short, even empty."""

    rows: list[tuple[Any, ...]]
    position: int
    done: bool
    scanned: int


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

    A batch is read at once, for all of its tenants: one call is one round trip at most, however many keys it has, and
    missing entries are left out of the result. Each method raises `StoreUnavailable`.
    """

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        """Return the known users among those given, by tenant and user id, for each tenant given. A remote backend
        reads their profiles along with them, so that `profiles` finds them in its cache."""
        ...

    async def profiles(self, profile_ids: Iterable[int]) -> dict[int, Profile]:
        """Return profiles by id; profiles never change, so they are cached without expiry."""
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
        ordinals above `after_ordinal`. A filtered page ends after `SEGMENT_SCAN_USERS_MAX` users or `SEGMENT_LOOK_MS`
        of scanning. Columns are names out of `email`, `phone`, `whatsapp`, `chat`, `webhook`, `devices` (MessagePack of
        a list of Device, or None), `attributes` (JSON text) and `more_contacts` (JSON text, or None)."""
        ...

    async def ordinals(self, tenant: str, user_ids: Collection[str]) -> dict[str, int]:
        """Return the ordinals of the known users among the ids."""
        ...

    async def templates(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Template]:
        """Return the current versions of templates by (tenant, key), or for `key@3` that version, draft or not, with
        this name as its key. Unchanged templates are the same objects as before."""
        ...

    async def categories(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Category]:
        """Return categories by (tenant, key)."""
        ...

    async def topics(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of the topics, by (tenant, key), that exist."""
        ...

    async def accounts(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Account]]:
        """Return the enabled accounts of each (tenant, channel) with credentials decrypted, preferred first; an empty
        list where there are none."""
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
        """Return, for each (tenant, channel) given, the suppressed ones among its addresses with the reason of the
        suppression."""
        ...

    async def suppressing(self, tenants: Collection[str]) -> dict[str, set[str]]:
        """Return the channels on which each tenant has suppressions, so that other channels need no lookup."""
        ...

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        """Return the newest versions of definitions, or the given versions even if they were removed since. The body is
        of the type in the key, whose `KIND` is its stored name."""
        ...

    async def definitions_of(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind."""
        ...

    async def api_key(self, secret: str, now_ms: int) -> ApiKey | None:
        """Return the API key that a secret belongs to, or None when it is unknown, revoked or expired."""
        ...

    async def token_key(self, tenant: str) -> TokenKey:
        """Return the key that a tenant's user tokens are signed with. It is cached for every tenant named, so a caller
        has to know that there is such a tenant."""
        ...

    async def quotas(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's keys by key id, and its own quota under an empty id; no entry is no limit."""
        ...

    def revision(self, tenant: str) -> int:
        """Return a number that changes whenever a definition of the tenant changed. It reads no store, only the state
        of this process. A change by this process counts at once, one by another process after the next `refresh`.
        `OPERATOR_LEVEL` is the tenant of the operator's definitions. Definitions read after this call are at least as
        new as it: a consumer of batches calls it once a batch."""
        ...

    def is_current(self) -> bool:
        """Return whether `revision` is no older than `REVISION_CHECK_MS`; this reads no store. A cache by revision has
        to call `refresh` when it is older: the background refresh may have failed, and a revoked key must not stay
        valid longer."""
        ...

    async def refresh(self) -> None:
        """Read changes made by other processes. A process calls it every `REVISION_LEARN_MS`, concurrently with its
        work, so that nothing it reads is older than `REVISION_CHECK_MS`."""
        ...

    def was_asked(self) -> bool:
        """Return whether `revision` or `is_current` was called since the last call of this method."""
        ...

    def when_behind(self, call: Callable[[], None]) -> None:
        """Register a callback that runs whenever `is_current` returns False."""
        ...

    def close(self) -> None:
        """Close all connections and files."""
        ...
