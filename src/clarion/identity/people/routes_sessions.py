"""Sessions over HTTP: for those who are signed in, and their own alone."""

from datetime import datetime

import msgspec

from clarion.domain.cookies import SESSION_COOKIE, cookie, drop_cookie, set_cookie
from clarion.domain.errors import NotFound
from clarion.domain.limits_people import SESSION_IDLE_MS_MAX
from clarion.domain.person import Session, csrf_of
from clarion.domain.security_events import SecurityEvent
from clarion.domain.times import shown
from clarion.identity.people.sessions import AS_OPERATOR, Found, Sessions
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call, Reply, Route
from clarion.resources.routes import REASON, reason_of


class PersonView(msgspec.Struct, frozen=True):
    """Who is signed in."""

    id: str
    email: str
    name: str
    is_operator: bool


class SessionView(msgspec.Struct, frozen=True):
    """A session, in a list of one's own."""

    id: str
    tenant: str
    method: str
    address: str
    agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool


class CurrentSession(msgspec.Struct, frozen=True):
    """The session of a request: in which tenant, with which role and permissions, and the token that changes need in the header
    `X-Clarion-CSRF`. `tenants` are those of the person."""

    id: str
    person: PersonView
    tenant: str
    role: str
    permissions: list[str]
    tenants: list[str]
    csrf_token: str
    expires_at: datetime
    idle_s: int


class TenantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tenant that the session moves to; an empty one leaves the present tenant."""

    tenant: str


class _Handlers:
    def __init__(self, sessions: Sessions, telemetry: Telemetry) -> None:
        self._sessions = sessions
        self._telemetry = telemetry

    async def get(self, call: Call) -> Reply:
        return Reply(await self._current(await self._own(call)))

    async def enter(self, call: Call) -> Reply:
        found, reason = await self._own(call), reason_of(call.query)
        moved = await self._sessions.enter(found, call.body.tenant, call, reason)
        await note_entry(self._sessions, self._telemetry, moved)
        return Reply(await self._current(moved), cookies=(set_cookie(SESSION_COOKIE, moved.token),))

    async def sign_out(self, call: Call) -> Reply:
        await self._sessions.end(call, [(await self._own(call)).session])
        return Reply(status=204, cookies=(drop_cookie(SESSION_COOKIE),))

    async def every(self, call: Call) -> Reply:
        own = await self._own(call)
        live = await self._sessions.live(own.person.person_id)
        return Reply({"data": [_view(one, own.session) for one in live]})

    async def end(self, call: Call) -> Reply:
        own = await self._own(call)
        ending = [one for one in await self._sessions.live(own.person.person_id) if one.session_id == call.path["id"]]
        if not ending:
            raise NotFound("no such session")
        await self._sessions.end(call, ending)
        dropped = (drop_cookie(SESSION_COOKIE),) if ending[0].session_id == own.session.session_id else ()
        return Reply(status=204, cookies=dropped)

    async def _own(self, call: Call) -> Found:
        return await self._sessions.of_call(call, cookie(call.headers, SESSION_COOKIE))

    async def _current(self, found: Found) -> CurrentSession:
        session, person = found.session, found.person
        role, permitted = await self._sessions.role_in(session.tenant, person)
        return CurrentSession(
            session.session_id,
            PersonView(person.person_id, person.email, person.name, person.is_operator),
            session.tenant,
            role,
            sorted(permitted),
            await self._sessions.tenants(person),
            csrf_of(found.token),
            shown(session.expires_ms),
            SESSION_IDLE_MS_MAX // 1000,
        )


async def note_entry(sessions: Sessions, telemetry: Telemetry, moved: Found) -> None:
    """Record that an operator has entered a tenant without being a member."""
    tenant, person = moved.session.tenant, moved.person
    if (await sessions.role_in(tenant, person))[0] == AS_OPERATOR:
        telemetry.security(SecurityEvent.TENANT_ENTERED, tenant=tenant, person=person.person_id)


def _view(one: Session, own: Session) -> SessionView:
    return SessionView(
        one.session_id, one.tenant, one.method, one.address, one.agent, shown(one.created_ms), shown(one.used_ms),
        shown(one.expires_ms), one.session_id == own.session_id,
    )  # fmt: skip


def routes(sessions: Sessions, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of one's own sessions."""
    do, tag, read, write = _Handlers(sessions, telemetry), "sessions", "sessions:read", "sessions:write"
    return [
        Route("GET", "/v1/session", do.get, read, "Get the session of this request", reply=CurrentSession, tag=tag),
        Route("DELETE", "/v1/session", do.sign_out, write, "Sign out: end this session", status=204, tag=tag),
        Route("POST", "/v1/session/tenant", do.enter, write, "Move this session to another tenant, with another cookie",
              body=TenantBody, reply=CurrentSession, queries=(REASON,), tag=tag),
        Route("GET", "/v1/sessions", do.every, read, "List one's own sessions", tag=tag),
        Route("DELETE", "/v1/sessions/{id}", do.end, write, "End one of one's own sessions", status=204, tag=tag),
    ]  # fmt: skip
