"""Validation of addresses and of any text that becomes a header line, the same for every endpoint.

Every function returns the canonical form or raises `InvalidField` with the caller's field path. None of them uses the
network: only the provider knows whether a mailbox exists.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.limits import ADDRESS_CHARS_MAX, EMAIL_CHARS_MAX, KEY_CHARS_MAX
from clarion.domain.limits_processes import ADDRESS_CACHE_MAX

_BREAKS: Final = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")
"""Control characters and every character that some parser reads as a line end: none may reach a header."""
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
_PLAIN_LOCAL: Final = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_LOCAL_CHARS_MAX: Final = 64
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def single_line(text: str, field: str, limit_chars: int) -> str:
    """Return the text. Raises `InvalidField` unless it is one line of valid characters within `limit_chars`."""
    if len(text) > limit_chars:
        raise InvalidField(f"is longer than {limit_chars} characters", field=field)
    if not text.isprintable() or not text.isascii():
        if _BREAKS.search(text):
            raise InvalidField("contains a line break or control character", field=field)
        if _SURROGATES.search(text):
            raise InvalidField("contains a lone surrogate", field=field)
    return text


def key(text: str, field: str) -> str:
    """Return the key of a definition (template, topic, category, provider, ...). Raises `InvalidField` when it is not
    one."""
    if len(text) > KEY_CHARS_MAX or not _KEY.fullmatch(text):
        raise InvalidField(
            f"must be 1-{KEY_CHARS_MAX} letters, digits, '.', '_', ':' or '-', starting with a letter or digit",
            field=field,
        )
    return text


def identifier(text: str, field: str) -> str:
    """Return a tenant's own id of a user or device: any single line of 1-128 characters without outer spaces."""
    if not text or text != text.strip():
        raise InvalidField("must not be empty or start or end with a space", field=field)
    return single_line(text, field, KEY_CHARS_MAX)


def email(text: str, field: str) -> str:
    """Return a mailbox with its domain in lower case and the local part as given (RFC 5321, no DNS lookup). Raises
    `InvalidField`."""
    local, at, domain = text.rpartition("@")
    if len(text) > EMAIL_CHARS_MAX:
        raise InvalidField(f"is longer than {EMAIL_CHARS_MAX} characters", field=field)
    if at and len(local) <= _LOCAL_CHARS_MAX and _PLAIN_LOCAL.fullmatch(local):
        # For the usual form only the domain is validated, and domains repeat, so they are cached.
        return f"{local}@{_domain(domain, field)}"
    return _mailbox(text, field)


@lru_cache(maxsize=ADDRESS_CACHE_MAX)
def _domain(domain: str, field: str) -> str:
    return _mailbox(f"x@{domain}", field)[2:]


def _mailbox(text: str, field: str) -> str:
    try:
        # test_environment admits the reserved domain `.test`, which installations use for tests; strict holds the
        # local part to the length RFC 5321 allows.
        return validate_email(text, check_deliverability=False, test_environment=True, strict=True).normalized
    except EmailNotValidError as error:
        raise InvalidField(f"is not an e-mail address: {error}", field=field) from None


@lru_cache(maxsize=ADDRESS_CACHE_MAX)
def phone(text: str, field: str) -> str:
    """Return a phone number in E.164. It has to be given in international form (`+44 20 7946 0018`).

    Possible numbers are accepted, not only assigned ones: numbering plans grow faster than any list of them.
    """
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise InvalidField("is not a phone number in international form (+ and country code)", field=field) from None
    if number.extension or not phonenumbers.is_possible_number(number):
        raise InvalidField("is not a possible phone number", field=field)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def url(text: str, field: str) -> str:
    """Return an absolute http or https URL. Raises `InvalidField` for another text, and for a URL with credentials in
    it."""
    single_line(text, field, ADDRESS_CHARS_MAX)
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        raise InvalidField("must be an absolute http or https URL", field=field)
    if parts.username is not None or parts.password is not None:
        raise InvalidField("must not carry a user name or password", field=field)
    return text


def suppression_key(channel: str, address: str) -> str:
    """Return the form in which a suppressed address is stored and compared: e-mail addresses in lower case."""
    return address.lower() if channel == "email" else address


def contact(channel: Channel, text: str, field: str) -> str:
    """Return the canonical form of an address of a channel. Raises `InvalidField`."""
    match channel:
        case Channel.EMAIL:
            return email(text, field)
        case Channel.SMS | Channel.WHATSAPP:
            return phone(text, field)
        case Channel.WEBHOOK:
            return url(text, field)
        case Channel.INAPP:
            return identifier(text, field)
        case Channel.PUSH | Channel.WEBPUSH | Channel.CHAT:
            return single_line(text, field, ADDRESS_CHARS_MAX)
