"""Signals of changed inboxes between the processes of a machine, through named pipes as those of the journal."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from clarion.domain.inbox import ALL_INBOXES, ChangedInboxes
from clarion.runtime.inbox_signal import NOTHING, InboxSignals
from clarion.runtime.watch import Stream
from clarion.stores.sqlite.wake_ups import WakeUps

_USER: Final = "u"
_TENANT: Final = "t"
_BUCKETS_A_MESSAGE: Final = 60
"""Buckets that fit into one message of a pipe."""


class SharedInboxSignals(InboxSignals):
    """The signals that one process hears and sends."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._wakes = WakeUps(folder)

    def listen(self, heard: Callable[[ChangedInboxes], None]) -> None:
        """Call `heard` on the running loop from now on."""
        is_first = not self._listeners
        super().listen(heard)
        if is_first:
            self._wakes.listen(self._receive)

    async def close(self) -> None:
        """Stop listening."""
        self._wakes.close()
        await super().close()

    def close_senders(self) -> None:
        """Close the pipes of other processes."""
        self._wakes.close_senders()

    def send(self, changed: ChangedInboxes) -> None:
        """Tell this process and all others of changes that are stored."""
        if changed == NOTHING:
            return
        self.notify(changed)
        if changed.all:
            self._wakes.send(None)
            return
        streams = [*((_USER, bucket) for bucket in changed.users), *((_TENANT, bucket) for bucket in changed.tenants)]
        for first in range(0, len(streams), _BUCKETS_A_MESSAGE):
            self._wakes.send(streams[first : first + _BUCKETS_A_MESSAGE])

    def _receive(self, streams: Collection[Stream] | None) -> None:
        if streams is None:
            self.notify(ALL_INBOXES)
            return
        users = frozenset(bucket for kind, bucket in streams if kind == _USER)
        tenants = frozenset(bucket for kind, bucket in streams if kind == _TENANT)
        self.notify(ChangedInboxes(users, tenants))
