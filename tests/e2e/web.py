"""A browser without scripts over a real connection: it keeps cookies by host, follows redirects by hand and fills forms."""

import http.client
import json
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

_FORM = re.compile(r'<form method="post" action="([^"]*)">(.*?)</form>', re.DOTALL)
_INPUT = re.compile(r'<input[^>]*\bname="([^"]*)"[^>]*?\bvalue="([^"]*)"')
_STEPS_MAX = 12


class Page:
    """A response, and where it was."""

    def __init__(self, url: str, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.url = url
        self.status = status
        self.headers = headers
        self.text = body.decode()
        self.forms = {
            unescape(action): {unescape(name): unescape(value) for name, value in _INPUT.findall(inner)}
            for action, inner in _FORM.findall(self.text)
        }

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Browser:
    """One browser."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.cookies: dict[str, dict[str, str]] = {}

    def go(self, path: str) -> Page:
        """Open a page, following redirects, to other hosts too."""
        page = self.call("GET", urljoin(self.home, path))
        for _ in range(_STEPS_MAX):
            if page.status not in (302, 303):
                return page
            page = self.call("GET", urljoin(page.url, page.headers["location"]))
        raise AssertionError("it never ends")

    def fill(self, path: str, action: str | None = None, **fields: str) -> Page:
        """Open a page and send a form of it, following redirects."""
        target = action or path
        form = self.go(path).forms[target] | fields
        headers = {"origin": self.home, "content-type": "application/x-www-form-urlencoded"}
        page = self.call("POST", urljoin(self.home, target), urlencode(form).encode(), headers)
        return self.go(page.headers["location"]) if page.status == 303 else page

    def api(self, method: str, path: str, body: Any = None) -> Page:
        """Call the API as pages of a console do."""
        headers = {"origin": self.home, "content-type": "application/json"}
        if method != "GET":
            headers["x-clarion-csrf"] = self.api("GET", "/v1/session").json["csrf_token"]
        raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return self.call(method, urljoin(self.home, path), raw, headers)

    def call(self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Page:
        parts = urlsplit(url)
        jar = self.cookies.setdefault(parts.netloc, {})
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items())} if jar else {}
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            connection.request(
                method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, sent | (headers or {})
            )
            answer = connection.getresponse()
            for line in answer.headers.get_all("set-cookie", []):
                name, _, rest = line.partition("=")
                value = rest.partition(";")[0]
                jar[name] = value
                if not value:
                    del jar[name]
            return Page(url, answer.status, answer.headers, answer.read())
        finally:
            connection.close()
