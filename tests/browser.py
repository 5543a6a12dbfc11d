"""A browser without scripts, over an API under test: it keeps cookies, follows forms and sends what a browser sends."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

from tests.people import OWN

_FORM = re.compile(r'<form method="post" action="([^"]*)">(.*?)</form>', re.DOTALL)
_INPUT = re.compile(r'<input[^>]*\bname="([^"]*)"[^>]*?\bvalue="([^"]*)"')


class Page:
    """An answer, as a person sees it."""

    def __init__(self, answer: Any) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.html = answer.body.decode()
        self.forms = {
            unescape(action): {unescape(name): unescape(value) for name, value in _INPUT.findall(inner)}
            for action, inner in _FORM.findall(self.html)
        }

    @property
    def error(self) -> str:
        found = re.search(r'role="alert"[^>]*>(.*?)</p>', self.html)
        return "" if found is None else unescape(found[1])

    @property
    def leads_to(self) -> str:
        return self.headers.get("location", "")


class Browser:
    """One browser, by itself at an address."""

    def __init__(self, api: Any, address: str = "192.0.2.50") -> None:
        self.api = api
        self.address = address
        self.cookies: dict[str, str] = {}

    async def get(self, path: str) -> Page:
        return Page(await self._call("GET", path))

    async def send(self, path: str, fields: dict[str, str], **headers: str) -> Page:
        sent = {"origin": OWN, "content-type": "application/x-www-form-urlencoded", **headers}
        return Page(await self._call("POST", path, urlencode(fields).encode(), **sent))

    async def fill(self, page: str, action: str | None = None, **fields: str) -> Page:
        """Open a page and send a form of it with these fields beside those it has."""
        forms = (await self.get(page)).forms
        target = action or page
        return await self.send(target, forms[target] | fields)

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API as the pages of a console do."""
        token = (await self._call("GET", "/v1/session")).json["csrf_token"] if method != "GET" else ""
        headers = {"origin": OWN, "x-clarion-csrf": token} if token else {}
        return await self._call(method, path, body, **headers)

    async def _call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} | headers
        wire = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items() if value]
        answer = await self.api.call(method, path, body, key=None, headers=wire, client=self.address)
        for one in answer.cookies:
            name, _, rest = one.partition("=")
            assert rest.partition(";")[2].startswith(" Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age="), one
            self.cookies[name] = rest.partition(";")[0]
            if "Max-Age=0" in one:
                del self.cookies[name]
        return answer
