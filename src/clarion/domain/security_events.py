"""The events of the security log: one name each, the same in log lines, metrics and documents."""

from enum import StrEnum


class SecurityEvent(StrEnum):
    """What somebody who looks after an installation's security wants to know of."""

    CREDENTIAL_REFUSED = "credential_refused"
    """A request came with an API key or operator key that is unknown, revoked or expired, or with none."""
    CREDENTIAL_DELAYED = "credential_delayed"
    """A peer with many refused credentials is refused for a time without its credentials being checked."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a name
    """A user token was refused; the reason says why."""
    SCOPE_REFUSED = "scope_refused"
    """A valid credential lacks the scope of the route."""
    ADDRESS_REFUSED = "address_refused"
    """A valid key was used from an address that its allow-list does not name."""
    KEY_FROM_NEW_NETWORK = "key_from_new_network"
    """A key was used from a network for the first time."""
    KEY_EXPIRES_SOON = "key_expires_soon"
    """A key expires within days and was not rotated; the subject says when."""
    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    TOKEN_KEY_ROTATED = "token_key_rotated"  # noqa: S105 - a name
    """A tenant replaced the key of its user tokens; those issued before end with the overlap."""
    OPERATOR_KEY_CHANGED = "operator_key_changed"
    """The operator key was rotated; the one before is refused from now on, or at the end of the overlap."""
    REQUEST_LIMIT_REACHED = "request_limit_reached"
    """A key, user, tenant or peer has made more requests, or new connections, than its limit permits."""
    REQUEST_REFUSED = "request_refused"
    """A connection sent an ambiguous or malformed request, or exceeded one of its bounds."""
    ORIGIN_REFUSED = "origin_refused"
    """A page of an origin that the tenant does not permit made a request."""
    RECEIPT_REFUSED = "receipt_refused"
    """A delivery receipt had a wrong signature, or a token that was used for another one."""
    CREDENTIALS_REQUIRED = "credentials_required"
    """An account's destination, or the origin of a fetch step, was to be changed without its credentials."""
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105 - a name
    """A secret given by reference cannot be read."""
    CERTIFICATE_CHANGED = "certificate_changed"
    """The API's certificate was reloaded."""
    CERTIFICATE_REFUSED = "certificate_refused"
    """A new certificate cannot be used; the one before stays."""
    CERTIFICATE_EXPIRES_SOON = "certificate_expires_soon"
    CLIENT_CERTIFICATE_REFUSED = "client_certificate_refused"
    """A client came without a certificate that the API trusts."""
