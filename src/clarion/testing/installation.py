"""A whole installation in a temporary folder: the real stores, rules and stages over the journal in memory."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from clarion.app.config import load
from clarion.app.wiring import Shared
from clarion.backends.memory.journal import MemoryJournal
from clarion.backends.memory.quotas import MemoryQuotas
from clarion.backends.memory.standings import MemoryStandings
from clarion.backends.sqlite.migrate import path_of, upgrade
from clarion.ports.clock import Clock
from clarion.testing.answers import Answers, NoMail
from clarion.testing.lines import Lines

PARTITIONS: Final = 2
"""More than one, so that what belongs together has to find together."""
_STORES: Final = ("control", "state")
_SETTINGS: Final = """
data_dir = "{folder}"
[content]
confined = false
"""
_AT_ONCE: Final = """
[api]
linger_ms = 0
[plan]
linger_ms = 0
[record]
linger_ms = 0
"""


class Installation(Shared):
    """What the stages are made of here. `answers` is the world outside, `lines` what would be in the log. Unless `lingering`
    says otherwise (TOML), nothing waits for a fuller batch."""

    def __init__(self, folder: Path, clock: Clock, lingering: str = _AT_ONCE) -> None:
        settings = folder / "clarion.toml"
        settings.write_text(_SETTINGS.format(folder=folder.as_posix()) + lingering)
        for name, image in _blank().items():
            path_of(folder, name).write_bytes(image)
        self.answers = Answers()
        self.lines = Lines()
        quotas, standings = MemoryQuotas(), MemoryStandings()
        super().__init__(load(settings, {}), clock, self.lines, MemoryJournal(clock, PARTITIONS), quotas, standings)

    def http(self) -> Answers:
        """Return the world outside."""
        return self.answers

    def smtp(self) -> NoMail:
        """Return a mail server that takes nothing."""
        return NoMail()


@lru_cache(maxsize=1)
def _blank() -> Mapping[str, bytes]:
    """Return the empty stores by name. Migrating takes longer than a test, so a process does it once."""
    with TemporaryDirectory(prefix="clarion-") as folder:
        return {name: upgrade(Path(folder), name).read_bytes() for name in _STORES}
