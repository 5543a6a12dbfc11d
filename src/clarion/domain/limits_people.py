"""Named bounds of people, their sessions and how they sign in. Times are in the unit of the name."""

from typing import Final

SESSION_IDLE_MS_MAX: Final = 30 * 60 * 1000
"""How long a session lasts without a request."""
SESSION_MS_MAX: Final = 12 * 3600 * 1000
"""How long a session lasts at all, whatever its tenant becomes."""
SESSION_TOUCH_MS: Final = 60_000
"""How much older than the last request the stored time of it may be."""
SESSIONS_PER_PERSON_MAX: Final = 50
"""Sessions of one person; a further one ends the one that was used the longest time ago."""
MEMBERS_PER_TENANT_MAX: Final = 10_000
TENANTS_PER_PERSON_MAX: Final = 1_000
"""Tenants of one person that are read and shown."""
ROLES_PER_TENANT_MAX: Final = 100
ROLE_NAME_CHARS_MAX: Final = 200
PERSON_NAME_CHARS_MAX: Final = 200
AGENT_CHARS_MAX: Final = 200
"""What is stored of the name that a browser gives itself."""
COOKIE_CHARS_MAX: Final = 4_096
OPEN_INVITATIONS_MAX: Final = 1_000
"""Invitations of one tenant, or of the operators, that are open."""
INVITATION_MS_MAX: Final = 7 * 24 * 3600 * 1000
"""How long an invitation can be accepted."""
RESET_MS_MAX: Final = 3600 * 1000
"""How long the link to a new password can be used."""
LINKS_FORGET_MS: Final = 30 * 24 * 3600 * 1000
"""How long after its end a link is removed from the store."""
