"""A whole installation with its stores in memory: the real rules and stages, with a folder for its keys only."""

from pathlib import Path
from typing import Final

from clarion.app.config.loading import load
from clarion.app.wiring.parts import Shared
from clarion.app.wiring.stores import in_memory
from clarion.outbound.secrets.master_key import FileVault
from clarion.ports.clock import Clock
from clarion.testing.answers import Answers, NoMail
from clarion.testing.lines import Lines

PARTITIONS: Final = 2
"""More than one, so that a wrong partition of related records shows in tests."""
_SETTINGS: Final = f"""
data_dir = "{{folder}}"
store = "memory"
[content]
confined = false
[journal]
partitions = {PARTITIONS}
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
    """The parts of the stages in a test. `answers` replaces the network, `lines` the log. By default nothing waits for
    a fuller batch; `lingering` (TOML) sets other waits."""

    def __init__(self, folder: Path, clock: Clock, lingering: str = _AT_ONCE) -> None:
        settings = folder / "clarion.toml"
        settings.write_text(_SETTINGS.format(folder=folder.as_posix()) + lingering)
        self.answers = Answers()
        self.lines = Lines()
        config = load(settings, {})
        vault = FileVault.load(config.data_dir)
        super().__init__(config, clock, self.lines, vault, in_memory(config, clock, vault, self.lines))

    def http(self) -> Answers:
        """Return the responses that replace the network."""
        return self.answers

    def smtp(self) -> NoMail:
        """Return an SMTP client that refuses every call."""
        return NoMail()
