"""Secrets in AWS Secrets Manager, by its client botocore: `aws:name-or-arn`, or `aws:name-or-arn#field` of JSON.

Always the current version (AWSCURRENT). The credentials are those of the library's own chain: variables, profile, web
identity, container, instance.
"""

import threading
from typing import Any, Final, NamedTuple

import botocore.session  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # type: ignore[import-untyped]

from clarion.domain.limits_processes import CLOUD_CALL_S_MAX, SECRET_READS_MAX
from clarion.outbound.secrets.json_field import field_of, split_place
from clarion.ports.secret_stores import SecretUnavailable

_MISSING: Final = frozenset({"ResourceNotFoundException", "InvalidRequestException"})
"""The latter is the answer for a secret that is going to be deleted."""
_INVALID: Final = frozenset({"InvalidParameterException", "ValidationException"})
_REFUSED: Final = frozenset({
    "AccessDeniedException", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId",
    "InvalidSignatureException", "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired",
    "UnrecognizedClientException",
})  # fmt: skip


class AwsAccess(NamedTuple):
    """The region, and an endpoint in place of AWS's own, such as that of a private network; empty: as the library
    finds them."""

    region: str
    endpoint: str


class AwsStore:
    """Reads secrets of one region. One client for all threads."""

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._session = botocore.session.get_session()
        # For all clients of the session, so that calls for credentials are bounded, too.
        self._session.set_default_client_config(
            Config(
                connect_timeout=CLOUD_CALL_S_MAX,
                read_timeout=CLOUD_CALL_S_MAX,
                retries={"total_max_attempts": 1},
                max_pool_connections=SECRET_READS_MAX,
            )
        )
        self._lock = threading.Lock()
        self._client: Any = None

    @property
    def region(self) -> str:
        """The region whose secrets are read, empty when neither it nor the profile is set."""
        return self._access.region or self._session.get_config_variable("region") or ""

    def read(self, place: str, root: str) -> bytes:
        """Return a secret, or a field of it. Raises `SecretUnavailable`."""
        name, field = split_place(place)
        try:
            found = self._get_client().get_secret_value(SecretId=name)
        except ClientError as error:
            raise _unavailable(error) from None
        except (BotoCoreError, OSError) as error:
            if isinstance(error, NoCredentialsError):
                self._client = None  # a client never looks for credentials again
            words = f"cannot be read from AWS ({type(error).__name__})"
            raise SecretUnavailable("secret_unavailable", words, lasting=False) from None
        text = found.get("SecretString")
        return field_of(found.get("SecretBinary", b"") if text is None else text.encode(), field)

    def _get_client(self) -> Any:
        """Return the client. Making one looks for credentials, which may be a call of its own."""
        with self._lock:
            if self._client is None:
                self._client = self._session.create_client(
                    "secretsmanager", region_name=self.region, endpoint_url=self._access.endpoint or None
                )
            return self._client

    def __repr__(self) -> str:
        return f"AwsStore({self._access!r})"


def _unavailable(error: ClientError) -> SecretUnavailable:
    code = error.response.get("Error", {}).get("Code")
    if code in _MISSING:
        return SecretUnavailable("secret_missing", "does not exist")
    if code in _INVALID:
        return SecretUnavailable("secret_reference_invalid", "is not the name or ARN of a secret")
    words = "cannot be read from AWS"
    if code in _REFUSED or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (401, 403):
        words = "cannot be read: AWS refuses this installation"
    return SecretUnavailable("secret_unavailable", words, lasting=False)
