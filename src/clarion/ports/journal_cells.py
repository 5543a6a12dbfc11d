"""The state of planning next to the journal's frames: cells, waits and signals, cap times of users."""

import msgspec

from clarion.domain.limits_processes import CAP_BLOCK_USERS

_SECONDS_END = 2**32


class Cell(msgspec.Struct, frozen=True):
    """A value that planning stores under a key of one partition (workflow instances, open digests); None removes it.
    Only the holder of the partition's lease writes it, so the newest append wins."""

    partition: int
    key: bytes
    value: bytes | None


class Wait(msgspec.Struct, frozen=True):
    """Requests that signals with this key of the tenant be put on a stream, until it is removed or expires. `subject`
    distinguishes waits with the same key; adding the same (tenant, key, subject) again replaces it."""

    tenant: str
    key: bytes
    subject: bytes
    topic: str
    partition: int
    expires_ms: int


class WaitEnd(msgspec.Struct, frozen=True):
    """Removes a wait; a wait that does not exist is no error."""

    tenant: str
    key: bytes
    subject: bytes


class Signal(msgspec.Struct, frozen=True):
    """Puts `payload` (an encoded `SignalFrame` of one event) once on each stream that a wait for the key names. No wait
    is no error. Waits stay until their owner ends them."""

    tenant: str
    key: bytes
    payload: bytes


class CapWrite(msgspec.Struct, frozen=True):
    """Changes cap times of some users. A block holds `CAP_BLOCK_USERS` users by ordinal; `changes` are (slot in the block,
    the time read, the new time), in seconds since 1970, 0 for never. If one was changed since it was read, the whole
    append is refused with `StaleCaps`. Raises `ValueError` on a slot or time that no block can hold."""

    tenant: str
    rule: bytes
    block: int
    changes: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        for slot, read_s, new_s in self.changes:
            if not (0 <= slot < CAP_BLOCK_USERS and 0 <= read_s < _SECONDS_END and 0 <= new_s < _SECONDS_END):
                raise ValueError(f"slot {slot}, {read_s} to {new_s} s: not a change of a cap block")
