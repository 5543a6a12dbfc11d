"""Secrets in Google Secret Manager: `gcp:projects/p/secrets/s`, with `/versions/v` and `#field` of JSON as wished.

By its REST API, with the default credentials of Google's library: a file that a variable names, the metadata server,
or the federation with another identity provider.
"""

import base64
import re
import threading
from typing import Any, Final, NamedTuple

import google.auth
import requests
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession, Request

from clarion.domain.limits_processes import CLOUD_CALL_S_MAX
from clarion.outbound.secrets.json_field import field_of, split_place
from clarion.ports.secret_stores import SecretUnavailable

_NAME: Final = re.compile(
    r"(projects/[a-z0-9][a-z0-9.:-]*(?:/locations/[a-z0-9-]+)?/secrets/[A-Za-z0-9_-]+)(?:/versions/([A-Za-z0-9_-]+))?"
)
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)
"""What reading an answer in another form than Google's raises."""
_NOT_ENABLED: Final = "FAILED_PRECONDITION"
"""The status of a version that is disabled or destroyed."""


class GcpAccess(NamedTuple):
    """The address of the API: Google's, or the regional one of `projects/p/locations/l/secrets/s`."""

    endpoint: str


class GcpStore:
    """Reads versions of secrets. One connection per thread; they share the credentials."""

    def __init__(self, access: GcpAccess) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._own = threading.local()

    def read(self, place: str, root: str) -> bytes:
        """Return a secret, or a field of it. Raises `SecretUnavailable`."""
        name, field = split_place(place)
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise SecretUnavailable("secret_reference_invalid", "is not projects/p/secrets/s[/versions/v]")
        address = f"{self._access.endpoint}/v1/{parts[1]}/versions/{parts[2] or 'latest'}:access"
        try:
            response = self._get_session().get(address, timeout=CLOUD_CALL_S_MAX, allow_redirects=False)
            answer = response.json() if response.status_code in (200, 400) else {}
            if response.status_code == 200:
                return field_of(base64.b64decode(answer["payload"].get("data", ""), validate=True), field)
        except (GoogleAuthError, requests.RequestException, OSError, *_MALFORMED) as error:
            words = f"cannot be read from Google ({type(error).__name__})"
            raise SecretUnavailable("secret_unavailable", words, lasting=False) from None
        raise _unavailable(response.status_code, answer)

    def _get_session(self) -> AuthorizedSession:
        session: AuthorizedSession | None = getattr(self._own, "session", None)
        if session is None:
            # Without a session of its own, the library would fetch access tokens with three more attempts.
            tokens = Request(requests.Session())
            session = self._own.session = AuthorizedSession(  # type: ignore[no-untyped-call]
                self._get_credentials(), auth_request=tokens
            )
        return session

    def _get_credentials(self) -> Credentials:
        with self._lock:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[_SCOPE])
            return self._credentials

    def __repr__(self) -> str:
        return f"GcpStore({self._access!r})"


def _unavailable(status: int, answer: Any) -> SecretUnavailable:
    if status == 404:
        return SecretUnavailable("secret_missing", "does not exist")
    if status == 400 and isinstance(answer, dict) and (answer.get("error") or {}).get("status") == _NOT_ENABLED:
        return SecretUnavailable("secret_missing", "is of a version that is disabled or destroyed")
    if status in (401, 403):
        words = "cannot be read: Google refuses this installation"
    else:
        words = f"cannot be read from Google (status {status})"
    return SecretUnavailable("secret_unavailable", words, lasting=False)
