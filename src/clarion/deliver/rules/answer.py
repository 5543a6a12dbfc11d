"""The outcome of one attempt, with the account that made it."""

from typing import NamedTuple

from clarion.domain.outcome import Outcome


class Answer(NamedTuple):
    """The outcome of an attempt, and the account and vendor that made it; both are empty when no provider was
    called."""

    outcome: Outcome
    provider: str
    vendor: str
