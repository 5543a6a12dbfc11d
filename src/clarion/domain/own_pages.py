"""Which requests with the cookie of a session come from a page of this installation: a browser sends the cookie with any request that a
page of another site makes, too.

A change needs an `Origin` of our own and the token that only our pages know (`domain.person.csrf_of`). A read shows nothing to pages
of others, as there is no CORS for cookies; where the browser says that another site asks, it is refused nevertheless.
"""

import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from clarion.domain.errors import Forbidden
from clarion.domain.person import csrf_of

CSRF_HEADER: Final = "X-Clarion-CSRF"
"""The header with the token of a session's pages."""
_OURS: Final = ("same-origin", "none")


class OwnPages:
    """Checks requests with a session. `origin` is that of the API, as others reach it."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def check(self, method: str, headers: Mapping[str, str], token: str) -> None:
        """Raise `Forbidden` for a request of a page that is not ours."""
        if method == "GET":
            if headers.get("sec-fetch-site", "none") not in _OURS:
                raise _another()
            return
        self.check_origin(headers)
        if not is_csrf_token(headers.get(CSRF_HEADER.lower(), ""), token):
            detail = f"a change with a session needs the token of GET /v1/session in the header {CSRF_HEADER}"
            raise Forbidden(detail, field=CSRF_HEADER, code="csrf_token_wrong")

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raise `Forbidden` unless the browser says that a page of ours asks."""
        origin = headers.get("origin", "")
        ours = origin.lower() == self._origin or origin.partition("://")[2] == headers.get("host") != ""
        if not origin or not ours or headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise _another()


def origin_of(url: str) -> str:
    """Return the origin of a URL, as browsers write it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def is_csrf_token(given: str, token: str) -> bool:
    """Return whether a text is the one that the pages of a session know."""
    return hmac.compare_digest(given.encode(), csrf_of(token).encode())


def _another() -> Forbidden:
    return Forbidden("a session is for pages of this installation alone", field="Origin", code="cross_site_request")
