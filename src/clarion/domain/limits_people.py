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
PASSWORD_CHARS_MIN: Final = 12
PASSWORD_CHARS_MAX: Final = 200
ARGON2_ITERATIONS: Final = 2
ARGON2_MEMORY_KIB: Final = 19 * 1024
"""What hashing one password takes (RFC 9106; the minimum that OWASP names)."""
PASSWORD_HASHES_MAX: Final = 4
"""Passwords that a process hashes at the same time; further ones wait."""
PASSWORDS_WAITING_MAX: Final = 100
"""Passwords that wait for that; further ones are refused with 503."""
ACCOUNT_ATTEMPTS_FREE: Final = 5
"""Wrong passwords or codes for one account without a wait; then a second, and twice as long for each up to a minute."""
ADDRESS_ATTEMPTS_FREE: Final = 20
"""The same from one address."""
ATTEMPT_TRIES_MAX: Final = 20
"""How often counting an attempt is tried again when others are counted at the same moment; then it is refused with 503."""
ATTEMPTS_FORGET_MS: Final = 3600 * 1000
"""How long after their last wait counted attempts are removed from the store."""
STEP_MS_MAX: Final = 5 * 60 * 1000
"""How long a sign-in may take between the password and the code."""
TOTP_STEP_S: Final = 30
TOTP_STEPS_AROUND: Final = 1
"""Steps before and after the present one whose codes are taken: clocks of telephones differ."""
TOTP_SECRET_BYTES: Final = 20
RECOVERY_CODES: Final = 10
RECOVERY_CODE_BYTES: Final = 10
FORM_BYTES_MAX: Final = 8 * 1024
FORM_FIELDS_MAX: Final = 20
RETURN_PATH_CHARS_MAX: Final = 500
"""Length of the path to which a sign-in leads."""
PROVIDERS_MAX: Final = 20
"""Identity providers of an installation."""
GROUP_ROLES_MAX: Final = 1_000
"""Groups of one provider that are mapped to roles."""
GROUPS_READ_MAX: Final = 1_000
"""Groups of a person that are looked at."""
FLOW_MS_MAX: Final = 10 * 60 * 1000
"""How long signing in at a provider may take."""
METADATA_MS_MAX: Final = 3600 * 1000
"""How long what a provider says of itself, and its keys, are used without asking again."""
KEYS_AGAIN_MS_MIN: Final = 30 * 1000
"""How long after an unknown key made us ask for keys another one does."""
PROVIDER_CALL_MS_MAX: Final = 10_000
PROVIDER_ANSWER_BYTES_MAX: Final = 256 * 1024
ID_TOKEN_CHARS_MAX: Final = 64 * 1024
ID_TOKEN_LEEWAY_S: Final = 60
"""How far the clocks of a provider and of this machine may differ."""
SUBJECT_CHARS_MAX: Final = 255
CODE_CHARS_MAX: Final = 4_096
