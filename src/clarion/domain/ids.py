"""Identifiers: how they are made, the facts they embed and their text form.

A notification id is 16 bytes: 48 bits of Unix milliseconds, 8 bits of slot, 72 random bits. Ids therefore grow with time, so
rows keyed by them stay together on disk, and the partition that owns an id is read from the id.
A *slot* is a share of all users, 0 to 63, and never changes. A partition of the journal is a group of slots: with `n`
partitions, slot `s` is in partition `s % n`. So ids do not depend on the number of partitions, which may grow later.
A delivery id is its notification id followed by 8 bytes of BLAKE2b over the values that make the delivery unique, so
planning the same notification again yields the same ids.
"""

import re
from hashlib import blake2b
from typing import Final

SLOTS: Final = 64
NOTIFICATION_ID_BYTES: Final = 16
DELIVERY_ID_BYTES: Final = 24
ENTROPY_BYTES: Final = 9

NOTIFICATION_PREFIX: Final = "ntf_"
BROADCAST_PREFIX: Final = "brd_"
DELIVERY_PREFIX: Final = "dlv_"
INSTANCE_PREFIX: Final = "run_"
EVENT_PREFIX: Final = "evt_"

_REFERENCE: Final = re.compile(r"dlv_([0-9a-f]{48})(?:-([0-9a-f]{16})-([0-9a-f]{1,4}))?")


def notification_id(at_ms: int, slot: int, entropy: bytes) -> bytes:
    """Return a 16-byte id from Unix milliseconds, a slot (0-255) and 9 random bytes."""
    return at_ms.to_bytes(6, "big") + bytes((slot,)) + entropy


def partition_of(id_: bytes, partitions: int) -> int:
    """Return the partition, of so many, that owns a notification or delivery id."""
    return id_[6] % partitions


def created_ms(id_: bytes) -> int:
    """Return the Unix milliseconds embedded in a notification or delivery id."""
    return int.from_bytes(id_[:6], "big")


def delivery_id(notification: bytes, user: str, channel: str, address: str, step: str = "") -> bytes:
    """Return the 24-byte delivery id of one notification to one user on one channel and address."""
    # Length prefixes keep ("a", "bc") and ("ab", "c") apart.
    text = f"{len(user)}:{user}{len(channel)}:{channel}{len(address)}:{address}{len(step)}:{step}"
    return notification + blake2b(text.encode(), key=notification, digest_size=8).digest()


def notification_of(delivery: bytes) -> bytes:
    """Return the notification id a delivery id starts with."""
    return delivery[:NOTIFICATION_ID_BYTES]


def write(prefix: str, id_: bytes) -> str:
    """Return the public form of an id, such as `ntf_0199...` (lower-case hexadecimal)."""
    return prefix + id_.hex()


def read(prefix: str, text: str, size: int = NOTIFICATION_ID_BYTES) -> bytes | None:
    """Return the bytes of a public id, or None when the text is not one of that kind."""
    if len(text) != len(prefix) + 2 * size or not text.startswith(prefix):
        return None
    try:
        return bytes.fromhex(text[len(prefix) :])
    except ValueError:
        return None


def reference(delivery: bytes, place: tuple[bytes, int] | None) -> str:
    """Return the reference that a provider returns in its receipts: the public delivery id; of a broadcast's delivery,
    also the last 8 bytes of its chunk's id and its index in it, in hexadecimal: `dlv_<48>-<16>-<1 to 4>`, 74 characters
    at most."""
    text = write(DELIVERY_PREFIX, delivery)
    return text if place is None else f"{text}-{place[0][NOTIFICATION_ID_BYTES:].hex()}-{place[1]:x}"


def read_reference(text: str) -> tuple[bytes, tuple[bytes, int] | None] | None:
    """Return the delivery id and, of a broadcast, chunk id and index; None when the text is not a reference."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return None
    delivery = bytes.fromhex(found[1])
    if found[2] is None:
        return delivery, None
    return delivery, (notification_of(delivery) + bytes.fromhex(found[2]), int(found[3], 16))


def slots_of(partitions: int) -> int:
    """Return the number of slots that so many partitions share. It is `SLOTS`; but a journal whose number of partitions does
    not divide that, as older builds allowed, has a slot for each partition."""
    return partitions if SLOTS % partitions else SLOTS


def slot_for(tenant: str, key: str, partitions: int) -> int:
    """Return the slot of (tenant, key), where key is a user id or an inline address; its partition is `slot % partitions`."""
    digest = blake2b(f"{len(tenant)}:{tenant}{key}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % (partitions if SLOTS % partitions else SLOTS)


def partition_for(tenant: str, key: str, partitions: int) -> int:
    """Return the partition, of so many, that owns (tenant, key), where key is a user id or an inline address."""
    return slot_for(tenant, key, partitions) % partitions
