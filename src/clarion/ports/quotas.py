"""How much of each quota is used, as one count for all processes of an installation."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from clarion.domain.quota import Usage

T = TypeVar("T")


class BucketName(NamedTuple):
    """Whose bucket it is and which; `key_id` is empty for the tenant's own."""

    tenant: str
    key_id: str
    kind: str


class Quotas(Protocol):
    """Usage of buckets. Losing it all only forgets what was used, so nothing here needs to survive a power cut."""

    def change(self, names: Sequence[BucketName], decide: Callable[[list[Usage]], tuple[Sequence[Usage], T]]) -> T:
        """Read buckets (`Usage()` for one nobody has used), store what `decide` makes of them, and return what it returns
        beside that. Nobody else changes these buckets meanwhile, whatever process they are in; when `decide` raises,
        nothing is stored. It must be quick: others wait for it. Raises `Overloaded` when the store cannot be written
        just now and `DurabilityError` when it is broken."""
        ...

    def forget(self, tenant: str, key_id: str, kinds: tuple[str, str], keep_ms: tuple[int, int]) -> None:
        """Remove the buckets of one owner whose kind lies from the first of `kinds` up to, not including, the last, unless
        their `at_ms` is after the first and not after the last of `keep_ms`. Raises as `change` does."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
