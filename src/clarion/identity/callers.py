"""The callers of credentials: what each kind of credential lets its holder do is said here alone."""

from typing import Final

from clarion.domain.actor import Actor, ActorKind
from clarion.domain.api_key import ApiKey, key_digest
from clarion.domain.limits_processes import CALLERS_KEPT_MAX
from clarion.domain.permissions import OF_OPERATOR, OF_PERSON, OF_USER, permissions_of
from clarion.domain.person import Person, Session
from clarion.identity.user_tokens import TokenClaims
from clarion.ports.directory import OPERATOR_LEVEL, Directory
from clarion.ports.web import Caller
from clarion.runtime.tenant_cache import TenantCache

OPERATOR: Final = Caller("", Actor(ActorKind.OPERATOR, "operator"), OF_OPERATOR)
"""The caller of the operator's keys."""


ANYONE: Final = Actor(ActorKind.ANYONE, "")
"""Who tries to sign in, before it is known who that is."""


def caller_of_key(key: ApiKey) -> Caller:
    """Return the caller of a tenant's key: its scopes say what it may do."""
    actor = Actor(ActorKind.KEY, key.key_id)
    return Caller(key.tenant, actor, permissions_of(key.scopes), None, key.expires_ms, key.networks)


def caller_of_user(grant: TokenClaims) -> Caller:
    """Return the caller of a user's token, who acts for this user alone."""
    return Caller(grant.tenant, Actor(ActorKind.USER, grant.user_id), OF_USER, grant.user_id)


def caller_of_session(session: Session, person: Person, permitted: frozenset[str] | None) -> Caller:
    """Return the caller of a session: `permitted` is what the person's role in the session's tenant permits, None where the person has no
    place in it (any more). Without a tenant, an operator may do what the operator may."""
    if permitted is not None:
        return Caller(session.tenant, person_actor(person.person_id), permitted | OF_PERSON)
    own = OF_OPERATOR | OF_PERSON if person.is_operator and not session.tenant else OF_PERSON
    return Caller("", person_actor(person.person_id), own)


def person_actor(person_id: str) -> Actor:
    """Return a person as an actor."""
    return Actor(ActorKind.PERSON, person_id)


class Callers:
    """The callers of API keys, cached by the digests of the keys. Unknown keys are not cached: made-up ones would fill it."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: TenantCache[dict[bytes, Caller]] = TenantCache(directory, CALLERS_KEPT_MAX, dict)

    async def of(self, secret: str, now_ms: int) -> Caller | None:
        """Return the caller whose API key the secret is, or None when the key is unknown, revoked or expired."""
        known, digest = self._known.of(OPERATOR_LEVEL), key_digest(secret)
        caller = known.get(digest)
        if caller is None:
            key = await self._directory.api_key(secret, now_ms)
            if key is None:
                return None
            caller = known[digest] = caller_of_key(key)
            self._known.keep(OPERATOR_LEVEL, known, len(known))
        return caller if caller.expires_ms is None or now_ms < caller.expires_ms else None
