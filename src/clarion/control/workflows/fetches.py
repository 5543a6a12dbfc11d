"""Validation of fetch steps: which calls a definition may make from this installation."""

import re
from typing import Final

from msgspec import UNSET

from clarion.domain.address import url
from clarion.domain.duration import check_duration
from clarion.domain.errors import InvalidField
from clarion.domain.limits import FETCH_ATTEMPTS_MAX, FETCH_HEADER_CHARS_MAX, FETCH_HEADERS_MAX, FETCH_TIMEOUT_MS_MAX
from clarion.domain.secret_reference import parse
from clarion.domain.workflow import PLACEHOLDER, Fetch, SecretHeader

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
"""A token of RFC 9110, section 5.6.2."""
_OF_THE_CONNECTION: Final = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_HOST: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


def check_fetch(step: Fetch, path: str) -> None:
    """Raise `InvalidField` for the first fault of a fetch step. The egress decides whether its host may be called."""
    _check_braces(step.url, f"{path}.url")
    host = _HOST.match(step.url)
    if host and "{" in host.group():
        raise InvalidField("must name its host: data may fill the path and the query only", field=f"{path}.url")
    url(PLACEHOLDER.sub("x", step.url), f"{path}.url")
    if len(step.headers) > FETCH_HEADERS_MAX:
        raise InvalidField(f"has more than {FETCH_HEADERS_MAX} headers", field=f"{path}.headers")
    names: set[str] = set()
    for name, value in step.headers.items():
        field = f"{path}.headers.{name[:100]}"
        _check_header(name, value, field)
        if name.lower() in names:
            raise InvalidField("is given twice: the case of letters does not distinguish headers", field=field)
        names.add(name.lower())
    if step.body is not None and step.method == "GET":
        raise InvalidField("goes with the method POST", field=f"{path}.body")
    check_duration(step.timeout, f"{path}.timeout", most_ms=FETCH_TIMEOUT_MS_MAX)
    if not 1 <= step.attempts <= FETCH_ATTEMPTS_MAX:
        raise InvalidField(f"must be 1 to {FETCH_ATTEMPTS_MAX}", field=f"{path}.attempts")


def _check_header(name: str, value: str | SecretHeader, field: str) -> None:
    if not _HEADER.fullmatch(name):
        raise InvalidField("is not a name of a header", field=field)
    if name.lower() in _OF_THE_CONNECTION:
        raise InvalidField("must not be set by a definition", field=field)
    if isinstance(value, SecretHeader):
        _check_secret(value, field)
        field, value = f"{field}.prefix", value.prefix
    _check_braces(value, field)
    _check_line(value, PLACEHOLDER.sub("", value), field)


def _check_secret(value: SecretHeader, field: str) -> None:
    given = {"from": value.source, "secret": value.secret, "sealed": value.sealed}
    if sum(one is not UNSET for one in given.values()) != 1:
        raise InvalidField(f"needs exactly one of {', '.join(given)}", field=field)
    if value.source is not UNSET:
        parse({"from": value.source}, field)
    elif value.secret is not UNSET:
        if not value.secret or value.secret != value.secret.strip():
            raise InvalidField("must not be empty or start or end with a space", field=f"{field}.secret")
        _check_line(value.prefix + value.secret, value.secret, f"{field}.secret")
    elif value.sealed is not True:
        raise InvalidField("must be true", field=f"{field}.sealed")


def _check_line(text: str, written: str, field: str) -> None:
    if len(text) > FETCH_HEADER_CHARS_MAX or not written.isascii() or not written.isprintable():
        raise InvalidField(f"must be one line of at most {FETCH_HEADER_CHARS_MAX} ASCII characters", field=field)


def _check_braces(text: str, field: str) -> None:
    if set("{}") & set(PLACEHOLDER.sub("", text)):
        raise InvalidField("has an unmatched brace; write an expression in one pair", field=field)
