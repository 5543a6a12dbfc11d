"""What one attempt came to, and who made it."""

from typing import NamedTuple

from clarion.domain.outcome import Outcome


class Answer(NamedTuple):
    """The outcome of an attempt, and the account and vendor that made it; both are empty where nobody was asked."""

    outcome: Outcome
    provider: str
    vendor: str
