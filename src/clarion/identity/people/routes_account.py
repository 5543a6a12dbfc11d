"""The page of one's own account: sessions, password, authenticator and recovery codes."""

from collections.abc import Sequence
from typing import Final

from clarion.domain.cookies import SESSION_COOKIE, drop_cookie
from clarion.domain.errors import CallerError
from clarion.domain.person import Session, csrf_of
from clarion.domain.times import shown
from clarion.identity.people import pages
from clarion.identity.people.accounts import Accounts
from clarion.identity.people.forms import CSRF_FIELD, Forms, lead, lead_with, show, with_wait
from clarion.identity.people.pages import Field, Problem
from clarion.identity.people.routes_links import HINT
from clarion.identity.people.routes_sign_in import HOME, TENANTS, ProviderLink, form, read
from clarion.identity.people.sessions import Found, Sessions
from clarion.identity.rules.totp import address_of, shown_secret
from clarion.ports.web import Call, Reply, Route

_AUTHENTICATOR: Final = "/account/authenticator"
_ISSUER: Final = "Clarion"
_CURRENT: Final = Field("current", "Present password", "password", "current-password")
_SIGN_IN: Final = f"/sign-in?next={HOME}"


class _Handlers:
    def __init__(self, accounts: Accounts, sessions: Sessions, forms: Forms, providers: Sequence[ProviderLink]) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._forms = forms
        self._providers = providers

    async def home(self, call: Call) -> Reply:
        found = await self._forms.session(call)
        return lead(_SIGN_IN) if found is None else await self._home(found)

    async def end(self, call: Call) -> Reply:
        found, fields = await self._forms.fields_of(call)
        if found is None:
            return lead(_SIGN_IN)
        live = await self._sessions.live(found.person.person_id)
        await self._sessions.end(call, [one for one in live if one.session_id == fields.get("session")])
        if fields.get("session") == found.session.session_id:
            return lead("/sign-in", drop_cookie(SESSION_COOKIE))
        return lead(HOME)

    async def password(self, call: Call) -> Reply:
        found, fields = await self._forms.fields_of(call)
        if found is None:
            return lead(_SIGN_IN)
        try:
            renewed = await self._accounts.change_password(
                found, fields.get("current", ""), fields.get("password", ""), call
            )
        except CallerError as error:
            return with_wait(await self._home(found, Problem(error.detail, error.field or ""), error.status), error)
        return lead_with(renewed, HOME)

    async def ask_authenticator(self, call: Call) -> Reply:
        found = await self._forms.session(call)
        if found is None:
            return lead(_SIGN_IN)
        setup, secret = self._accounts.begin_setup(found.person)
        return show(_setup_page(found, setup, secret))

    async def set_authenticator(self, call: Call) -> Reply:
        found, fields = await self._forms.fields_of(call)
        if found is None:
            return lead(_SIGN_IN)
        secret = self._accounts.secret_of(fields.get("setup", ""), found.person)
        if secret is None:
            return lead(_AUTHENTICATOR)
        try:
            renewed, codes = await self._accounts.set_up(found, secret, fields.get("code", ""), call)
        except CallerError as error:
            return show(_setup_page(found, fields["setup"], secret, Problem(error.detail, "code")), error.status)
        words = (
            "Each of these codes lets you in once without your authenticator. Keep them where you keep what matters."
        )
        html = pages.page(
            "Your recovery codes", pages.text(words), pages.codes(codes), pages.link(HOME, "Done", button=True)
        )
        reply = lead_with(renewed, HOME)
        return show(html, 200, *reply.cookies)

    async def remove_authenticator(self, call: Call) -> Reply:
        found, fields = await self._forms.fields_of(call)
        if found is None:
            return lead(_SIGN_IN)
        try:
            renewed = await self._accounts.take_down(found, fields.get("current", ""), call)
        except CallerError as error:
            return with_wait(await self._home(found, Problem(error.detail, error.field or ""), error.status), error)
        return lead_with(renewed, HOME)

    async def _home(self, found: Found, problem: Problem | None = None, status: int = 200) -> Reply:
        person, session, hidden = found.person, found.session, {CSRF_FIELD: csrf_of(found.token)}
        role, _ = await self._sessions.role_in(session.tenant, person)
        where = f"You are in {session.tenant} as {role}." if session.tenant else "You are in no tenant."
        parts = [
            pages.text(f"{person.name or person.email}, {person.email}. {where}"),
            pages.link(TENANTS, "Choose a tenant"),
            pages.form("/sign-out", "Sign out", (), hidden, plain=True),
            *self._connections(found),
            *_password_part(found, hidden, problem),
            pages.heading("Sessions"),
            *(_session_part(one, session, hidden) for one in await self._sessions.live(person.person_id)),
        ]
        return show(pages.page("Your account", *parts), status)

    def _connections(self, found: Found) -> list[str]:
        ways = [
            pages.link(f"/sign-in/with/{one.name}?connect=1", f"Connect with {one.title}") for one in self._providers
        ]
        return [pages.heading("Identity providers"), *ways] if ways else []


def _password_part(found: Found, hidden: dict[str, str], problem: Problem | None) -> list[str]:
    if found.person.password is None:
        return []
    new = Field("password", "New password", "password", "new-password", hint=HINT)
    change = pages.form("/account/password", "Change password", (_CURRENT, new), hidden, problem)
    if found.person.totp is None:
        second = pages.link(_AUTHENTICATOR, "Set up an authenticator")
    else:
        again = Field("current", "Present password", "password", "current-password")
        left = f"It is set up, with {len(found.person.recovery)} recovery codes left."
        second = pages.text(left) + pages.form(
            "/account/authenticator/remove", "Remove authenticator", (again,), hidden
        )
    return [pages.heading("Authenticator"), second, pages.heading("Password"), change]


def _session_part(one: Session, own: Session, hidden: dict[str, str]) -> str:
    this = " (this one)" if one.session_id == own.session_id else ""
    used = shown(one.used_ms).strftime("%Y-%m-%d %H:%M UTC")
    words = f"{one.agent or 'A program'} at {one.address or 'an unknown address'}, last used {used}{this}"
    return pages.text(words) + pages.form(
        "/account/sessions", "End", (), {**hidden, "session": one.session_id}, plain=True
    )


def _setup_page(found: Found, setup: str, secret: bytes, problem: Problem | None = None) -> bytes:
    person = found.person
    text = "Add this secret to an authenticator app, then type the six digits that it shows. All other sessions end."
    field = Field("code", "Code", "text", "one-time-code", numeric=True)
    hidden = {CSRF_FIELD: csrf_of(found.token), "setup": setup}
    return pages.page(
        "Set up an authenticator",
        pages.text(text),
        pages.codes([shown_secret(secret)]),
        pages.link(address_of(secret, person.email, _ISSUER), "Open it in an app on this device"),
        pages.form(_AUTHENTICATOR, "Confirm", (field,), hidden, problem),
        pages.link(HOME, "Not now"),
    )


def routes(accounts: Accounts, sessions: Sessions, forms: Forms, providers: Sequence[ProviderLink]) -> list[Route]:
    """Return the pages."""
    do = _Handlers(accounts, sessions, forms, providers)
    return [
        read(HOME, do.home, "The page of one's own account"),
        form("/account/sessions", do.end, "End one of one's own sessions"),
        form("/account/password", do.password, "Change one's own password"),
        read(_AUTHENTICATOR, do.ask_authenticator, "The page to set up an authenticator"),
        form(_AUTHENTICATOR, do.set_authenticator, "Set up an authenticator"),
        form("/account/authenticator/remove", do.remove_authenticator, "Remove one's own authenticator"),
    ]
