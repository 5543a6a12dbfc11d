"""The policy of a tenant: defaults for all its users, unless something more specific overrides them."""

from typing import ClassVar, Final

import msgspec

from clarion.domain.cap import Cap
from clarion.domain.quiet import QuietHours

POLICY_KEY: Final = "tenant"
"""Key of the one policy a tenant has."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tenant's defaults: quiet hours of users who have none of their own (in `zone` when a user's is unknown), and caps
    over all categories that are not critical. `locale` is the fallback of templates before their own."""

    KIND: ClassVar[str] = "policy"

    quiet_hours: QuietHours = QuietHours()
    zone: str = "UTC"
    caps: tuple[Cap, ...] = ()
    locale: str = ""
