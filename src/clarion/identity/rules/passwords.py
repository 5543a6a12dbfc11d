"""Which passwords are taken: long ones, of any characters, that are not among the first to be guessed."""

import re
from typing import Final

from clarion.domain.errors import InvalidField
from clarion.domain.limits_people import PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN

_GUESSED: Final = frozenset(
    [
        "password",
        "qwerty",
        "qwertyuiop",
        "asdfghjkl",
        "zxcvbnm",
        "letmein",
        "welcome",
        "iloveyou",
        "admin",
        "administrator",
        "monkey",
        "dragon",
        "football",
        "baseball",
        "sunshine",
        "princess",
        "master",
        "shadow",
        "superman",
        "batman",
        "trustno",
        "abc",
        "abcd",
        "abcdef",
        "abcdefgh",
        "abcdefghijkl",
        "changeme",
        "secret",
        "default",
        "clarion",
        "correcthorse",
        "correcthorsebatterystaple",
        "passphrase",
        "login",
        "hello",
        "whatever",
        "starwars",
        "pokemon",
        "computer",
        "internet",
    ]
)
"""Words that are no password alone, repeated, or with digits and signs around them."""
_AROUND: Final = re.compile(r"[^a-z]+")


def check_password(password: str, email: str, field: str = "password") -> str:
    """Return a new password. Raises `InvalidField`, saying what is wrong with it."""
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        detail = f"must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"
        raise InvalidField(detail, field=field, code="password_length")
    if is_guessed(password, email):
        raise InvalidField("is among the first that others would guess", field=field, code="password_guessed")
    return password


def is_guessed(password: str, email: str) -> bool:
    """Return whether a password is a common word, the address or the same over and over, whatever digits and signs are added."""
    text = password.lower()
    words = {part for part in _AROUND.split(text) if part}
    own = {part for part in (email.lower(), *_AROUND.split(email.lower())) if len(part) > 2}
    known = _GUESSED | own
    return (
        not words
        or len(set(text)) < PASSWORD_CHARS_MIN // 3
        or all(word in known or _repeats(word) or len(word) == 1 for word in words)
        or text in known
    )


def _repeats(word: str) -> bool:
    """Return whether a word is one of the guessed ones, or any text of up to four letters, repeated."""
    for size in range(1, len(word) // 2 + 1):
        if len(word) % size == 0 and word == word[:size] * (len(word) // size):
            return size <= 4 or word[:size] in _GUESSED
    return False
