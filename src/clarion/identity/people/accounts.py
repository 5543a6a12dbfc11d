"""Local accounts: signing in with a password and a code, and what a person changes of them.

A wrong attempt is one row of the audit of the operator's level and a line of the security log; one that has to wait is a line alone.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from clarion.domain.contacts import mask
from clarion.domain.errors import InvalidField, RequestLimited, Stale, Unauthorized
from clarion.domain.limits_people import STEP_MS_MAX, TOTP_SECRET_BYTES
from clarion.domain.person import Person
from clarion.domain.security_events import SecurityEvent
from clarion.identity.callers import ANYONE, person_actor
from clarion.identity.people.attempts import Attempts
from clarion.identity.people.passwords import Passwords, recovery_codes, recovery_digest
from clarion.identity.people.sealed_steps import SealedSteps
from clarion.identity.people.sessions import Found, Sessions
from clarion.identity.rules.passwords import check_password
from clarion.identity.rules.totp import matching_step
from clarion.ports.clock import Clock
from clarion.ports.documents import Author
from clarion.ports.people import People, PeopleChange
from clarion.ports.secrets import Vault
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call

WRONG: Final = "credentials_wrong"
CODE_WRONG: Final = "code_wrong"
_METHOD: Final = "password"
_STEP: Final = "code"
_SETUP: Final = "authenticator"


class CodeNeeded(msgspec.Struct, frozen=True):
    """The password was right, and a code is needed, too: the sealed step to come back with."""

    step: str


class _Passed(msgspec.Struct, frozen=True):
    """Who has shown a password, and at which version of the person."""

    person_id: str
    version: int


class _Setup(msgspec.Struct, frozen=True):
    """The secret that an authenticator of a person is set up with."""

    person_id: str
    secret: bytes


class Accounts:
    """The local accounts of an installation."""

    def __init__(
        self,
        people: People,
        sessions: Sessions,
        attempts: Attempts,
        passwords: Passwords,
        steps: SealedSteps,
        vault: Vault,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._people = people
        self._sessions = sessions
        self._attempts = attempts
        self._passwords = passwords
        self._steps = steps
        self._vault = vault
        self._clock = clock
        self._telemetry = telemetry

    async def sign_in(self, email: str, password: str, call: Call) -> Found | CodeNeeded:
        """Return the session of whoever has this password, or what is needed further. Raises `Unauthorized`, the same for an unknown
        address and a wrong password, and `RequestLimited` while nobody may try."""
        await self._begin(email, call)
        person = await self._people.by_email(email)
        if not await self._passwords.match(password, None if person is None else person.password) or person is None:
            raise await self.refused(email, call, WRONG, person)
        await self._attempts.succeed(email, call.address)
        if person.totp is not None:
            return CodeNeeded(self._steps.seal(_STEP, _Passed(person.person_id, person.version), STEP_MS_MAX))
        return await self._signed_in(person, call)

    async def sign_in_with_code(self, step: str | None, code: str, call: Call) -> Found:
        """Return the session of whoever has shown a password and now brings a code of the authenticator, or a recovery code. Raises as
        `sign_in` does; `step_over` when it took too long, or the person has changed."""
        passed = self._steps.open(_STEP, step, _Passed)
        person = None if passed is None else await self._people.person(passed.person_id)
        if passed is None or person is None or person.version != passed.version or person.totp is None:
            raise Unauthorized("it took too long; sign in again", field="code", code="step_over", counts=False)
        await self._begin(person.email, call)
        used = self._with_code_used(person, code)
        if used is None:
            raise await self.refused(person.email, call, CODE_WRONG, person)
        await self._attempts.succeed(person.email, call.address)
        return await self._signed_in(used, call, changed=True)

    async def refused(self, email: str, call: Call, reason: str, person: Person | None = None) -> Unauthorized:
        """Record that somebody could not sign in, and return the refusal."""
        self._telemetry.security(SecurityEvent.SIGN_IN_REFUSED, reason=reason, peer=call.address, **_known(person))
        actor = ANYONE if person is None else person_actor(person.person_id)
        change = PeopleChange(
            "", "session.refuse", "person", "" if person is None else person.person_id, self._clock.now_ms(),
            after=msgspec.json.encode({"email": mask(email), "reason": reason}),
        )  # fmt: skip
        await self._people.commit(Author("", actor, call.address), change)
        words = "the code is wrong" if reason == CODE_WRONG else "the address or the password is wrong"
        return Unauthorized(words, code=reason, field="code" if reason == CODE_WRONG else "password")

    async def new_password(self, email: str, password: str) -> str:
        """Return what is stored of a new password. Raises `InvalidField`."""
        return await self._passwords.hash(check_password(password, email))

    async def change_password(self, found: Found, current: str, password: str, call: Call) -> Found:
        """Replace one's own password, and return the session that goes on; all others end. Raises `Unauthorized`."""
        await self.confirm(found.person, current, call)
        person = replace(found.person, password=await self.new_password(found.person.email, password))
        return await self._sessions.renew(found, call, self._changed(person, "password"))

    async def confirm(self, person: Person, password: str, call: Call) -> None:
        """Raise `Unauthorized` unless a person who is signed in gives the present password once more."""
        await self._begin(person.email, call)
        if not await self._passwords.match(password, person.password):
            raise await self.refused(person.email, call, WRONG, person)
        await self._attempts.succeed(person.email, call.address)

    def begin_setup(self, person: Person) -> tuple[str, bytes]:
        """Return a new secret for an authenticator of a person, sealed for the form that confirms it, and in clear."""
        secret = self._clock.entropy(TOTP_SECRET_BYTES)
        return self._steps.seal(_SETUP, _Setup(person.person_id, secret), STEP_MS_MAX), secret

    def secret_of(self, setup: str, person: Person) -> bytes | None:
        """Return the secret that a form was sealed with for a person, None when its time is over."""
        opened = self._steps.open(_SETUP, setup, _Setup)
        return opened.secret if opened is not None and opened.person_id == person.person_id else None

    async def set_up(self, found: Found, secret: bytes, code: str, call: Call) -> tuple[Found, list[str]]:
        """Set up an authenticator that has shown a right code, and return the session that goes on and the recovery codes; all other
        sessions end. Raises `InvalidField`."""
        step = matching_step(secret, "".join(code.split()), self._clock.now_ms(), 0)
        if step is None:
            raise InvalidField("the code is wrong; is the clock of the device right?", field="code", code=CODE_WRONG)
        codes, person = recovery_codes(self._clock), found.person
        sealed = self._vault.seal("", f"totp/{person.person_id}", secret)
        changed = replace(person, totp=sealed, totp_step=step, recovery=tuple(map(recovery_digest, codes)))
        return await self._sessions.renew(found, call, self._changed(changed, "authenticator")), codes

    async def take_down(self, found: Found, password: str, call: Call) -> Found:
        """Remove one's own authenticator and recovery codes. Raises `Unauthorized` unless the password is right."""
        await self.confirm(found.person, password, call)
        changed = replace(found.person, totp=None, totp_step=0, recovery=())
        return await self._sessions.renew(found, call, self._changed(changed, "no_authenticator"))

    def _with_code_used(self, person: Person, code: str) -> Person | None:
        """Return a person after the use of a code, None when it is wrong."""
        plain = "".join(code.split())
        assert person.totp is not None  # noqa: S101 - the caller looked
        secret = self._vault.open("", f"totp/{person.person_id}", person.totp)
        step = matching_step(secret, plain, self._clock.now_ms(), person.totp_step)
        if step is not None:
            return replace(person, totp_step=step)
        digest = recovery_digest(code)
        if digest not in person.recovery:
            return None
        return replace(person, recovery=tuple(one for one in person.recovery if one != digest))

    async def _begin(self, email: str, call: Call) -> None:
        try:
            await self._attempts.begin(email, call.address)
        except RequestLimited:
            self._telemetry.security(SecurityEvent.SIGN_IN_DELAYED, peer=call.address)
            raise

    async def _signed_in(self, person: Person, call: Call, *, changed: bool = False) -> Found:
        change = self._changed(person, "") if changed else None
        try:
            found = await self._sessions.begin(person, _METHOD, call, change)
        except Stale:
            # Of two who use one code only the first gets in.
            raise Unauthorized("the code was used already", field="code", code=CODE_WRONG, counts=False) from None
        self._telemetry.security(SecurityEvent.SIGNED_IN, reason=_METHOD, peer=call.address, **_known(person))
        return found

    def _changed(self, person: Person, what: str) -> PeopleChange:
        if what:
            self._telemetry.security(SecurityEvent.CREDENTIALS_CHANGED, reason=what, **_known(person))
        now_ms = self._clock.now_ms()
        stored = replace(person, updated_ms=now_ms)
        return PeopleChange("", f"person.{what}", "person", person.person_id, now_ms, persons=(stored,))


def _known(person: Person | None) -> dict[str, str]:
    return {} if person is None else {"person": person.person_id}
