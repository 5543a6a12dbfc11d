"""Forms of pages: what was sent, the session it came with, and replies that are pages."""

from typing import Final
from urllib.parse import parse_qsl

from clarion.domain.cookies import SESSION_COOKIE, cookie, set_cookie
from clarion.domain.errors import CallerError, Forbidden, Malformed, RequestLimited
from clarion.domain.limits_people import FORM_FIELDS_MAX
from clarion.domain.own_pages import OwnPages, is_csrf_token
from clarion.identity.people import pages
from clarion.identity.people.pages import CSP
from clarion.identity.people.sessions import Found, Sessions
from clarion.ports.web import Call, Handler, Reply

FORM_TYPE: Final = "application/x-www-form-urlencoded"
CSRF_FIELD: Final = "csrf"
_HTML: Final = "text/html; charset=utf-8"
# Without it a browser hides from us which page sent a form; nothing of the address goes to other sites.
_HEADERS: Final = {"Content-Security-Policy": CSP, "Referrer-Policy": "same-origin"}


def show(html: bytes, status: int = 200, *cookies: str) -> Reply:
    """Return a reply with a page."""
    return Reply(raw=html, status=status, content_type=_HTML, headers=dict(_HEADERS), cookies=cookies)


def lead(path: str, *cookies: str) -> Reply:
    """Return a reply that leads to another page, by GET."""
    return Reply(raw=b"", status=303, content_type=_HTML, headers={**_HEADERS, "Location": path}, cookies=cookies)


def lead_with(found: Found, path: str, *cookies: str) -> Reply:
    """Return a reply that leads to another page with the cookie of a session."""
    return lead(path, set_cookie(SESSION_COOKIE, found.token), *cookies)


def sent(call: Call) -> dict[str, str]:
    """Return the fields of a form. Raises `Malformed`."""
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise Malformed("this is no form")
    try:
        found = parse_qsl(
            call.raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX
        )
    except ValueError:
        raise Malformed("this is no form") from None
    if len(dict(found)) != len(found):
        raise Malformed("a field comes twice")
    return dict(found)


class Forms:
    """Checks the forms of pages."""

    def __init__(self, sessions: Sessions, own_pages: OwnPages) -> None:
        self._sessions = sessions
        self._own_pages = own_pages

    def fields(self, call: Call) -> dict[str, str]:
        """Return the fields of a form of ours. Raises `Forbidden` for one that another site sends."""
        self._own_pages.check_origin(call.headers)
        return sent(call)

    async def session(self, call: Call) -> Found | None:
        """Return the live session of a request."""
        token = cookie(call.headers, SESSION_COOKIE)
        return None if token is None else await self._sessions.find(token)

    async def fields_of(self, call: Call) -> tuple[Found | None, dict[str, str]]:
        """Return the live session of a request and the fields of a form of its pages. Raises `Forbidden`."""
        fields, found = self.fields(call), await self.session(call)
        if found is not None and not is_csrf_token(fields.get(CSRF_FIELD, ""), found.token):
            raise Forbidden("the page is out of date; load it again", field=CSRF_FIELD, code="csrf_token_wrong")
        return found, fields


def page_of_refusals(handler: Handler) -> Handler:
    """Return a handler whose refusals are pages, too."""

    async def handled(call: Call) -> Reply:
        try:
            return await handler(call)
        except CallerError as error:
            return refusal(error)

    handled.__module__ = handler.__module__
    return handled


def refusal(error: CallerError) -> Reply:
    """Return the page of a refusal."""
    html = pages.page(
        "That did not work",
        pages.text(f"{error.detail[:1].upper()}{error.detail[1:]}."),
        pages.link("/sign-in", "Sign in"),
    )
    return with_wait(show(html, error.status), error)


def with_wait(reply: Reply, error: CallerError) -> Reply:
    """Return a reply that says when to come back, if an error does."""
    if isinstance(error, RequestLimited):
        reply.headers["Retry-After"] = str(error.retry_after_s)
    return reply
