"""Who makes a change: an API key, the operator, or a user with a token."""

from enum import StrEnum
from typing import NamedTuple


class ActorKind(StrEnum):
    """The kinds of actors. Only the gate and the audit tell them apart; all else asks for permissions."""

    KEY = "key"
    OPERATOR = "operator"
    USER = "user"


class Actor(NamedTuple):
    """An actor: its kind, and its id among those of that kind."""

    kind: ActorKind
    id: str
