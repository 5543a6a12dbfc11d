"""What a check finds: one sentence, and a remedy when something has to be mended."""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from clarion.app.config.settings import Config


class CheckResult(NamedTuple):
    """The result of a check. Without a `remedy` it is fine."""

    sentence: str
    remedy: str = ""

    @property
    def is_fine(self) -> bool:
        """Return whether nothing has to be mended."""
        return not self.remedy


class DoctorCheck(NamedTuple):
    """A check: a name, and what it finds with the settings of this machine. It changes nothing, and raises
    `clarion.domain.errors.ClarionError` or `OSError` only for what it says in one sentence."""

    name: str
    run: Callable[[Config], AsyncIterator[CheckResult]]
