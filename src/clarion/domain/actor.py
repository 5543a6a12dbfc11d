"""Who makes a request or a change: an API key, the operator, a user with a token, or anyone without a credential."""

from enum import StrEnum
from typing import NamedTuple


class ActorKind(StrEnum):
    """The kinds of actors. Only the gate and the audit tell them apart; all else asks for permissions."""

    KEY = "key"
    OPERATOR = "operator"
    USER = "user"
    ANYONE = "anyone"


class Actor(NamedTuple):
    """An actor: its kind, and its id among those of that kind."""

    kind: ActorKind
    id: str
