"""The pages behind links: accepting an invitation, and setting a new password."""

from collections.abc import Sequence
from typing import Final

from clarion.domain.cookies import SESSION_COOKIE, drop_cookie
from clarion.domain.errors import InvalidField
from clarion.domain.limits_people import PASSWORD_CHARS_MIN
from clarion.domain.person import INVITATION, RESET, Link, comparable, csrf_of
from clarion.identity.people import pages
from clarion.identity.people.accounts import Accounts
from clarion.identity.people.forms import CSRF_FIELD, Forms, lead, lead_with, show
from clarion.identity.people.links import Links
from clarion.identity.people.pages import Field, Problem
from clarion.identity.people.routes_sign_in import HOME, ProviderLink, form, read
from clarion.identity.people.sessions import Found, Sessions
from clarion.ports.people import People
from clarion.ports.web import Call, Reply, Route

HINT: Final = (
    f"At least {PASSWORD_CHARS_MIN} characters of any kind. A sentence is good; so is what a password manager makes."
)
NEW_PASSWORD: Final = Field("password", "Password", "password", "new-password", hint=HINT)


class _Handlers:
    def __init__(
        self,
        links: Links,
        accounts: Accounts,
        people: People,
        sessions: Sessions,
        forms: Forms,
        providers: Sequence[ProviderLink],
    ) -> None:
        self._links = links
        self._accounts = accounts
        self._people = people
        self._sessions = sessions
        self._forms = forms
        self._providers = providers

    async def ask(self, call: Call) -> Reply:
        token = call.path["token"]
        link = await self._links.find(token, INVITATION)
        if link is None:
            return show(_unknown(), 404)
        found = await self._forms.session(call)
        if await self._people.by_email(link.email) is not None:
            return show(_page_of_known(link, token, found))
        return show(self._page_of_new(link, token, found))

    async def accept(self, call: Call) -> Reply:
        found, fields = await self._forms.fields_of(call)
        token = call.path["token"]
        link = await self._links.find(token, INVITATION)
        if link is None:
            return show(_unknown(), 404)
        if await self._people.by_email(link.email) is not None:
            if found is None or comparable(found.person.email) != comparable(link.email):
                return show(_page_of_known(link, token, found), 403)
            await self._links.accept_as(link, found, call)
            moved = await self._sessions.enter(found, link.tenant, call) if link.tenant else found
            return lead_with(moved, HOME)
        try:
            password = await self._accounts.new_password(link.email, fields.get("password", ""))
            begun = await self._links.accept_anew(link, fields.get("name", ""), password, "password", call)
        except InvalidField as error:
            problem = Problem(f"the {error.field} {error.detail}", error.field or "")
            return show(self._page_of_new(link, token, found, fields.get("name", ""), problem), error.status)
        return lead_with(begun, HOME)

    async def ask_password(self, call: Call) -> Reply:
        token = call.path["token"]
        link = await self._links.find(token, RESET)
        return show(_unknown(), 404) if link is None else show(_reset_page(link, token))

    async def set_password(self, call: Call) -> Reply:
        fields, token = self._forms.fields(call), call.path["token"]
        link = await self._links.find(token, RESET)
        if link is None:
            return show(_unknown(), 404)
        try:
            password = await self._accounts.new_password(link.email, fields.get("password", ""))
        except InvalidField as error:
            return show(_reset_page(link, token, Problem(f"the password {error.detail}", "password")), error.status)
        await self._links.use_reset(link, password, call)
        return lead("/sign-in", drop_cookie(SESSION_COOKIE))

    def _page_of_new(
        self, link: Link, token: str, found: Found | None, name: str = "", problem: Problem | None = None
    ) -> bytes:
        fields = (Field("name", "Your name", "text", "name", name), NEW_PASSWORD)
        kept = pages.text(f"Your address is {link.email}.")
        ways = [
            pages.link(f"/sign-in/with/{one.name}?invitation={token}", f"Join with {one.title}", button=True)
            for one in self._providers
        ]
        hidden = None if found is None else {CSRF_FIELD: csrf_of(found.token)}
        form_ = pages.form(f"/invitations/{token}", "Join", fields, hidden, problem)
        return pages.page(_title(link), kept, form_, *ways)


def _page_of_known(link: Link, token: str, found: Found | None) -> bytes:
    """Return the page for an address that somebody has: accepting needs a session of that person."""
    action = f"/invitations/{token}"
    if found is not None and comparable(found.person.email) == comparable(link.email):
        return pages.page(_title(link), pages.form(action, "Join", (), {CSRF_FIELD: csrf_of(found.token)}))
    words = f"There is an account with the address {link.email}. Sign in with it to join."
    return pages.page(_title(link), pages.text(words), pages.link(f"/sign-in?next={action}", "Sign in", button=True))


def _title(link: Link) -> str:
    return f"Join {link.tenant}" if link.tenant else "Become an operator"


def _reset_page(link: Link, token: str, problem: Problem | None = None) -> bytes:
    form_ = pages.form(f"/reset/{token}", "Set password", (NEW_PASSWORD,), None, problem)
    return pages.page("A new password", pages.text(f"For {link.email}. All sessions end."), form_)


def _unknown() -> bytes:
    words = "It may have been used already, cut off, or be too old. Ask for another one."
    return pages.page("This link does not work", pages.text(words), pages.link("/sign-in", "Sign in"))


def routes(
    links: Links,
    accounts: Accounts,
    people: People,
    sessions: Sessions,
    forms: Forms,
    providers: Sequence[ProviderLink],
) -> list[Route]:
    """Return the pages."""
    do = _Handlers(links, accounts, people, sessions, forms, providers)
    return [
        read("/invitations/{token}", do.ask, "The page of an invitation"),
        form("/invitations/{token}", do.accept, "Accept an invitation"),
        read("/reset/{token}", do.ask_password, "The page to set a new password"),
        form("/reset/{token}", do.set_password, "Set a new password"),
    ]
