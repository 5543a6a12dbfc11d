"""The roles of members of a tenant: named sets of permissions.

The built-in ones are below; further ones are documents of the tenant. What each route asks of a role is reviewed in
`docs/roles.md`, which a test compares with what the API answers.
"""

from collections.abc import Mapping
from typing import Final

from clarion.domain.permissions import CONTACTS, OF_MEMBER

ROLE_KIND: Final = "role"
MEMBER_KIND: Final = "member"
OWNER: Final = "owner"

_READS: Final = frozenset(one for one in OF_MEMBER if one.endswith(":read"))
_OF_CONTENT: Final = frozenset({
    "templates:read", "translations:read", "layouts:read", "partials:read", "brand:read", "categories:read", "policy:read",
    "workflows:read", "event-rules:read",
})  # fmt: skip
_OF_PEOPLE_NOTIFIED: Final = frozenset({
    "users:read", "preferences:read", "default-preferences:read", "topics:read", "segments:read", "suppressions:read",
})  # fmt: skip
_OF_DELIVERY: Final = frozenset({
    "notifications:read", "broadcasts:read", "schedules:read", "events:read", "dead-letters:read", "counters:read",
})  # fmt: skip

BUILT_IN: Final[Mapping[str, frozenset[str]]] = {
    OWNER: OF_MEMBER,
    "developer": OF_MEMBER - {"audit:read", "members:write", "roles:write", "users:erase"},
    "content-editor": _OF_CONTENT | {
        "templates:write", "templates:publish", "templates:send", "translations:write", "layouts:write", "partials:write",
        "brand:write",
    },
    "campaign-manager": _OF_CONTENT | _OF_PEOPLE_NOTIFIED | _OF_DELIVERY | {
        "broadcasts:send", "broadcasts:write", "schedules:write", "segments:write", "topics:write", "templates:send",
    },
    "support": _OF_CONTENT | _OF_PEOPLE_NOTIFIED | _OF_DELIVERY | {
        "notifications:write", "dead-letters:replay", "preferences:write", "sandbox:read", "providers:read",
    },
    "auditor": _READS - {CONTACTS},
}  # fmt: skip
"""The roles that every tenant has, and what each may do. Without `contacts:read` contacts are masked."""

ABOUT: Final[Mapping[str, str]] = {
    OWNER: "everything that people may do in a tenant",
    "developer": "everything but people: members, roles, the erasure of users and the audit",
    "content-editor": "templates and what belongs to them, with publishing and tests",
    "campaign-manager": "broadcasts and schedules, and whom they go to; contacts masked",
    "support": "what became of notifications, and repairing it for a user; contacts masked",
    "auditor": "reading everything; contacts masked",
}
"""What each built-in role is for, in a few words."""
