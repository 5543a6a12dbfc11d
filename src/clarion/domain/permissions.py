"""Permissions: what a caller may do, and the sets of them that credentials hold.

A permission is `<resource>:<verb>`. A route names the one that it needs, and a caller has a set of them: nothing else decides
what a caller may do. The scopes of API keys are sets with a name; so is what a user's own token may do, and what the operator
may. A permission of the operator is one for all tenants, and no tenant's key or person can have it.
"""

from collections.abc import Collection, Mapping
from typing import Final

PUBLIC: Final = ""
"""In the place of a permission: the route needs no credential."""

CONTACTS: Final = "contacts:read"
READ_AUDIT: Final = "audit:read"
READ_MEMBERS: Final = "members:read"
WRITE_MEMBERS: Final = "members:write"
READ_ROLES: Final = "roles:read"
WRITE_ROLES: Final = "roles:write"
PUBLISH_TEMPLATES: Final = "templates:publish"
READ_USERS: Final = "users:read"
WRITE_PROVIDERS: Final = "providers:write"

PERMISSIONS: Final[Mapping[str, str]] = {
    READ_AUDIT: "read the audit of the tenant",
    "brand:read": "read the brand",
    "brand:write": "replace the brand",
    "broadcasts:read": "read broadcasts and their deliveries",
    "broadcasts:send": "start broadcasts",
    "broadcasts:write": "pause, resume, cancel and withdraw broadcasts",
    "categories:read": "read categories",
    "categories:write": "create, replace and remove categories",
    CONTACTS: "read addresses and numbers of users in clear, wherever they are shown",
    "counters:read": "read counters",
    "dead-letters:read": "read dead letters",
    "dead-letters:replay": "replay dead letters",
    "default-preferences:read": "read the tenant's default preferences",
    "default-preferences:write": "replace the tenant's default preferences",
    "devices:write": "register and remove devices of users",
    "event-rules:read": "read rules for events",
    "event-rules:write": "create, replace and remove rules for events",
    "events:read": "see what an event would do",
    "events:send": "send events",
    "inbox:read": "read one's own inbox, also live",
    "inbox:write": "mark and delete items of one's own inbox",
    "keys:rotate": "replace the key itself by a new one",
    "layouts:read": "read layouts",
    "layouts:write": "create, replace and remove layouts",
    READ_MEMBERS: "read the members of the tenant and who is invited",
    WRITE_MEMBERS: "invite people to the tenant, change roles of members and remove them",
    "notifications:read": "read and explain notifications",
    "notifications:send": "send notifications",
    "notifications:write": "cancel and withdraw notifications",
    "operator-audit:read": "read the audit of the installation",
    "operators:read": "read who is an operator",
    "operators:write": "invite operators, end what they may, and make links to new passwords",
    "origins:read": "read the allowed origins",
    "origins:write": "replace the allowed origins",
    "own-preferences:read": "read one's own preferences and quiet hours",
    "own-preferences:write": "replace one's own preferences and quiet hours",
    "partials:read": "read partials",
    "partials:write": "create, replace and remove partials",
    "policy:read": "read the policy",
    "policy:write": "replace the policy",
    "preferences:read": "read preferences, quiet hours and consents of users",
    "preferences:write": "replace preferences and quiet hours of users",
    "providers:read": "read provider accounts without their secrets, and their health",
    WRITE_PROVIDERS: "create, replace and remove provider accounts, close their breakers, and name secrets by reference",
    READ_ROLES: "read roles",
    WRITE_ROLES: "create, replace and remove roles",
    "sandbox:read": "read the messages that the sandbox captured",
    "schedules:read": "read and preview schedules",
    "schedules:write": "create, replace, pause, resume and remove schedules",
    "seen:write": "report that users saw notifications, with a user's own token that this user did",
    "segments:read": "read and preview segments",
    "segments:write": "create, replace and remove segments",
    "sessions:read": "read one's own sessions",
    "sessions:write": "change the tenant of one's own session, and end one's own sessions",
    "suppressions:read": "read suppressed addresses",
    "suppressions:write": "add and remove suppressed addresses",
    PUBLISH_TEMPLATES: "publish templates and roll them back",
    "templates:read": "read, compare and preview templates",
    "templates:send": "send a template to an address as a test",
    "templates:write": "save drafts of templates, and remove templates",
    "tenant-keys:read": "read the API keys of any tenant",
    "tenant-keys:write": "create, rotate, restrict and revoke API keys of any tenant",
    "tenant-members:write": "invite people to any tenant",
    "tenant-quotas:read": "read the quotas of any tenant",
    "tenant-quotas:write": "replace the quotas of any tenant",
    "tenants:read": "read tenants",
    "tenants:write": "create and rename tenants",
    "topics:read": "read topics and their members",
    "topics:write": "create, replace and remove topics, and change their members",
    "translations:read": "read and export translations",
    "translations:write": "import translations as drafts",
    "user-tokens:revoke": "revoke all user tokens of the tenant by a new key",
    "user-tokens:write": "sign tokens for users",
    "users:erase": "erase users",
    READ_USERS: "read users",
    "users:write": "create, replace and import users",
    "workflows:read": "read workflows",
    "workflows:write": "create, replace and remove workflows",
}
"""Each permission, and what it lets a caller do."""

SHOW_CONTACTS: Final = frozenset({
    "users:read", "users:write", "notifications:read", "broadcasts:read", "dead-letters:read", "sandbox:read", "events:read",
    "schedules:read", "schedules:write", "suppressions:read", "suppressions:write",
})  # fmt: skip
"""What the responses of routes with these permissions show of contacts is masked for a caller without `contacts:read`."""

SCOPES: Final[Mapping[str, frozenset[str]]] = {
    "notifications:write": frozenset({
        CONTACTS, "notifications:send", "notifications:write", "broadcasts:send", "broadcasts:write", "events:send",
        "schedules:write", "seen:write", "dead-letters:replay",
    }),
    "notifications:read": frozenset({
        "notifications:read", "broadcasts:read", "events:read", "schedules:read", "dead-letters:read", "counters:read",
        "sandbox:read", CONTACTS,
    }),
    "users:write": frozenset({
        CONTACTS, "users:write", "users:erase", "devices:write", "preferences:write", "default-preferences:write", "topics:write",
        "segments:write", "origins:write", "user-tokens:write", "user-tokens:revoke",
    }),
    "users:read": frozenset({
        READ_USERS, "preferences:read", "default-preferences:read", "topics:read", "segments:read", "origins:read", CONTACTS,
    }),
    "content:write": frozenset({
        "templates:write", PUBLISH_TEMPLATES, "templates:send", "translations:write", "layouts:write", "partials:write",
        "brand:write", "policy:write", "categories:write", "workflows:write", "event-rules:write",
    }),
    "content:read": frozenset({
        "templates:read", "translations:read", "layouts:read", "partials:read", "brand:read", "policy:read",
        "categories:read", "workflows:read", "event-rules:read",
    }),
    "providers:write": frozenset({WRITE_PROVIDERS}),
    "providers:read": frozenset({"providers:read"}),
    "suppressions:write": frozenset({"suppressions:write", CONTACTS}),
    "suppressions:read": frozenset({"suppressions:read", CONTACTS}),
    "keys:rotate": frozenset({"keys:rotate"}),
}  # fmt: skip
"""The scopes of API keys."""

EVERYTHING: Final = "*"
"""The scope that includes all others, with what later versions add to them; never what the operator or a user may."""

OF_TENANT: Final = frozenset().union(*SCOPES.values())
"""What a key with all scopes may do."""

OF_USER: Final = frozenset({
    "inbox:read", "inbox:write", "own-preferences:read", "own-preferences:write", "seen:write",
})  # fmt: skip
"""What a user's own token may do, and the tickets that are given for it, for this user alone."""

OF_OPERATOR: Final = frozenset({
    "tenants:read", "tenants:write", "tenant-keys:read", "tenant-keys:write", "tenant-quotas:read", "tenant-quotas:write",
    "tenant-members:write", "operators:read", "operators:write", "operator-audit:read",
})  # fmt: skip
"""What the operator may do, for every tenant."""

OF_PERSON: Final = frozenset({"sessions:read", "sessions:write"})
"""What everybody who is signed in may do, with the sessions of their own alone."""

OF_MEMBER: Final = OF_TENANT - {"keys:rotate"} | {READ_AUDIT, READ_MEMBERS, WRITE_MEMBERS, READ_ROLES, WRITE_ROLES}
"""What the roles of a tenant may hold: what its keys may do, but for what only a key has a use for, and what people may do with
people."""

SETS: Final[Mapping[str, frozenset[str]]] = {
    **SCOPES, "inbox": OF_USER, "operator": OF_OPERATOR, "session": OF_PERSON, "member": OF_MEMBER - OF_TENANT,
}  # fmt: skip
"""All sets with a name, as the description of the API shows them."""


def sets_with(permission: str) -> list[str]:
    """Return the names of the sets that have a permission."""
    return [name for name, held in SETS.items() if permission in held]


def lacks(permission: str) -> str:
    """Return the text that a caller lacks a permission, with the scopes that would have it."""
    scopes = " or ".join(map(repr, sets_with(permission)))
    return f"the credential lacks the permission {permission!r}" + (f" of the scope {scopes}" if scopes else "")


def permissions_of(scopes: Collection[str]) -> frozenset[str]:
    """Return what a key with these scopes may do. A scope that is none has no permissions."""
    if EVERYTHING in scopes:
        return OF_TENANT
    return frozenset().union(*(SCOPES.get(scope, ()) for scope in scopes))
