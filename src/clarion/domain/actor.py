"""Who makes a request or a change: an API key, the operator's key, a user with a token, a person who is signed in, or anyone without
a credential."""

from enum import StrEnum
from typing import NamedTuple


class ActorKind(StrEnum):
    """The kinds of actors. Only the gate and the audit tell them apart; all else asks for permissions."""

    KEY = "key"
    OPERATOR = "operator"
    USER = "user"
    PERSON = "person"
    ANYONE = "anyone"


class Actor(NamedTuple):
    """An actor: its kind, and its id among those of that kind."""

    kind: ActorKind
    id: str
