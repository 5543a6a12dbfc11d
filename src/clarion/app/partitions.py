"""The number of partitions of an installation's journal: a setting, and what the journal remembers of it."""

from clarion.app.config import Config
from clarion.domain.errors import OperatorError


def check_partitions(config: Config, stored: int) -> None:
    """Raise `OperatorError` when a journal does not have the number of partitions that is set."""
    wanted = config.journal.partitions
    if wanted not in (0, stored):
        raise OperatorError(
            f"The journal has {stored} partitions, and journal.partitions is {wanted}: set it to {stored}, or to 0 to"
            " keep what the journal has."
        )
