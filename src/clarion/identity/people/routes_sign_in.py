"""The pages on which people sign in and out, and choose a tenant."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from clarion.domain.cookies import SESSION_COOKIE, STEP_COOKIE, cookie, drop_cookie, set_cookie
from clarion.domain.errors import CallerError, Unauthorized
from clarion.domain.limits_people import FORM_BYTES_MAX, STEP_MS_MAX
from clarion.domain.permissions import PUBLIC
from clarion.domain.person import csrf_of
from clarion.identity.people import pages
from clarion.identity.people.accounts import Accounts, CodeNeeded
from clarion.identity.people.forms import CSRF_FIELD, Forms, lead, lead_with, page_of_refusals, show, with_wait
from clarion.identity.people.pages import Field, Problem
from clarion.identity.people.routes_sessions import note_entry
from clarion.identity.people.sessions import Sessions
from clarion.identity.rules.return_path import check_return
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call, Handler, Query, Reply, Route

HOME: Final = "/account"
TENANTS: Final = "/tenant"
NEXT: Final = Query("next", "Where to go when signed in: a path of this installation")


class ProviderLink(NamedTuple):
    """An identity provider on the page: its name in paths, and what people read."""

    name: str
    title: str


class _Handlers:
    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        forms: Forms,
        telemetry: Telemetry,
        providers: Sequence[ProviderLink],
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._forms = forms
        self._telemetry = telemetry
        self._providers = providers

    async def ask(self, call: Call) -> Reply:
        next_ = check_return(call.query.get("next", ""))
        return show(self._page(next_, ""))

    async def sign_in(self, call: Call) -> Reply:
        fields = self._forms.fields(call)
        next_, email = check_return(fields.get("next", "")), fields.get("email", "").strip()
        try:
            done = await self._accounts.sign_in(email, fields.get("password", ""), call)
        except CallerError as error:
            return with_wait(
                show(self._page(next_, email, Problem(error.detail, error.field or "")), error.status), error
            )
        if isinstance(done, CodeNeeded):
            return show(_code_page(next_), 200, set_cookie(STEP_COOKIE, done.step, STEP_MS_MAX // 1000))
        return lead_with(done, next_ or _first(done.session.tenant))

    async def code(self, call: Call) -> Reply:
        fields = self._forms.fields(call)
        next_ = check_return(fields.get("next", ""))
        try:
            found = await self._accounts.sign_in_with_code(
                cookie(call.headers, STEP_COOKIE), fields.get("code", ""), call
            )
        except CallerError as error:
            if isinstance(error, Unauthorized) and error.code == "step_over":
                return show(self._page(next_, "", Problem(error.detail)), error.status, drop_cookie(STEP_COOKIE))
            return with_wait(show(_code_page(next_, Problem(error.detail, "code")), error.status), error)
        return lead_with(found, next_ or _first(found.session.tenant), drop_cookie(STEP_COOKIE))

    async def sign_out(self, call: Call) -> Reply:
        found, _ = await self._forms.fields_of(call)
        if found is not None:
            await self._sessions.end(call, [found.session])
        return lead("/sign-in", drop_cookie(SESSION_COOKIE))

    async def tenants(self, call: Call) -> Reply:
        found = await self._forms.session(call)
        if found is None:
            return lead("/sign-in?next=/tenant")
        hidden = {CSRF_FIELD: csrf_of(found.token)}
        tenants = await self._sessions.tenants(found.person)
        forms = [pages.form(TENANTS, one, (), {**hidden, "tenant": one}, plain=True) for one in tenants]
        if found.person.is_operator:
            forms.append(pages.heading("As an operator"))
            forms.append(
                pages.form(
                    TENANTS, "Go there", (Field("tenant", "Another tenant", hint="It will see that you came."),), hidden
                )
            )
        nothing = (
            "" if tenants or found.person.is_operator else pages.text("You belong to no tenant. Ask for an invitation.")
        )
        return show(pages.page("Choose a tenant", nothing, *forms, pages.link(HOME, "Your account")))

    async def enter(self, call: Call) -> Reply:
        found, fields = await self._forms.fields_of(call)
        if found is None:
            return lead("/sign-in?next=/tenant")
        moved = await self._sessions.enter(found, fields.get("tenant", "").strip(), call)
        await note_entry(self._sessions, self._telemetry, moved)
        return lead_with(moved, HOME)

    def _page(self, next_: str, email: str, problem: Problem | None = None) -> bytes:
        fields = (
            Field("email", "E-mail address", "email", "username", email),
            Field("password", "Password", "password", "current-password"),
        )
        query = f"?next={next_}" if next_ else ""
        ways = [
            pages.link(f"/sign-in/with/{one.name}{query}", f"Sign in with {one.title}", button=True)
            for one in self._providers
        ]
        form = pages.form("/sign-in", "Sign in", fields, {"next": next_} if next_ else None, problem)
        return pages.page("Sign in", form, *ways)


def _code_page(next_: str, problem: Problem | None = None) -> bytes:
    hint = "The six digits that your authenticator shows now, or one of your recovery codes."
    field = Field("code", "Code", "text", "one-time-code", hint=hint)
    form = pages.form("/sign-in/code", "Sign in", (field,), {"next": next_} if next_ else None, problem)
    return pages.page("One more step", form, pages.link("/sign-in", "Start again"))


def _first(tenant: str) -> str:
    return HOME if tenant else TENANTS


def routes(
    accounts: Accounts, sessions: Sessions, forms: Forms, telemetry: Telemetry, providers: Sequence[ProviderLink]
) -> list[Route]:
    """Return the pages."""
    do = _Handlers(accounts, sessions, forms, telemetry, providers)
    return [
        read("/sign-in", do.ask, "The page to sign in", NEXT),
        form("/sign-in", do.sign_in, "Sign in with a password"),
        form(
            "/sign-in/code",
            do.code,
            "Sign in with the code of an authenticator, or a recovery code, after the password",
        ),
        form("/sign-out", do.sign_out, "Sign out"),
        read(TENANTS, do.tenants, "The page to choose a tenant"),
        form(TENANTS, do.enter, "Move the session to another tenant"),
    ]


def read(path: str, handler: Handler, summary: str, *queries: Query) -> Route:
    """Return the route of a page."""
    return Route("GET", path, page_of_refusals(handler), PUBLIC, summary, tag="pages", queries=queries)


def form(path: str, handler: Handler, summary: str) -> Route:
    """Return the route of a form."""
    return Route(
        "POST", path, page_of_refusals(handler), PUBLIC, summary, tag="pages", raw=True, limit_bytes=FORM_BYTES_MAX
    )
