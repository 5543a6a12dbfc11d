"""People who may sign in, their sessions, and the links they get: as stored.

A token, of a session or a link, is 32 random bytes that only its holder knows; a digest of it is stored. The token that protects forms
against forged requests follows from that of the session, so nothing has to be stored of it.
"""

import base64
from hashlib import blake2b
from typing import Final

import msgspec

from clarion.domain.limits_people import SESSION_IDLE_MS_MAX

TOKEN_BYTES: Final = 32
ID_BYTES: Final = 16
PERSON_PREFIX: Final = "prs_"
SESSION_PREFIX: Final = "ses_"
LINK_PREFIX: Final = "lnk_"
SESSION_TOKEN_PREFIX: Final = "cls_"  # noqa: S105 - the beginning of one
INVITATION: Final = "invitation"
RESET: Final = "reset"


class Person(msgspec.Struct, frozen=True):
    """Somebody who may sign in. `password` is a hash in PHC form, None without one; `totp` the sealed secret of an authenticator, and
    `totp_step` the last step whose code was used; `recovery` digests of the recovery codes that are left. A stored person has a version of
    1 or more."""

    person_id: str
    email: str
    name: str
    created_ms: int
    updated_ms: int
    is_operator: bool = False
    password: str | None = None
    totp: bytes | None = None
    totp_step: int = 0
    recovery: tuple[str, ...] = ()
    version: int = 0

    def __repr__(self) -> str:
        return f"Person({self.person_id})"


class Subject(msgspec.Struct, frozen=True):
    """Who a person is at an identity provider: `subject` is unique there, and the issuer names the provider."""

    issuer: str
    subject: str
    person_id: str


class Session(msgspec.Struct, frozen=True):
    """A session of a person, in one tenant or, with an empty one, in none. `method` is how the person signed in: `password` or the name of
    a provider. `used_ms` may be up to `SESSION_TOUCH_MS` late."""

    session_id: str
    digest: bytes
    person_id: str
    tenant: str
    method: str
    created_ms: int
    used_ms: int
    expires_ms: int
    address: str = ""
    agent: str = ""

    def is_live(self, now_ms: int) -> bool:
        """Return whether the session has not ended by itself."""
        return now_ms < min(self.expires_ms, self.used_ms + SESSION_IDLE_MS_MAX)

    def __repr__(self) -> str:
        return f"Session({self.session_id})"


class Link(msgspec.Struct, frozen=True):
    """A link that can be used once: to join a tenant or the operators (`INVITATION`), or to set a new password (`RESET`). An
    invitation without a tenant is one of operators; a reset has neither tenant nor role."""

    link_id: str
    digest: bytes
    kind: str
    email: str
    tenant: str
    role: str
    created_by: str
    created_ms: int
    expires_ms: int

    def __repr__(self) -> str:
        return f"Link({self.link_id})"


def comparable(email: str) -> str:
    """Return the form of an address by which people are found: one person has it in any case."""
    return email.lower()


def token_of(random: bytes) -> str:
    """Return the text of a token."""
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def token_digest(token: str) -> bytes:
    """Return the digest of a token, which is stored in its place. A token is 256 random bits: nothing slow is needed."""
    return blake2b(token.encode(), digest_size=32, person=b"clarion-token").digest()


def csrf_of(token: str) -> str:
    """Return the token that a request with the cookie of a session has to bring: pages of other origins cannot know it."""
    return token_of(blake2b(token.encode(), digest_size=24, person=b"clarion-csrf").digest())
