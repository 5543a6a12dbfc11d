"""Slots of ids and users, and the partitions that group them."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain import ids

COUNTS = st.sampled_from([1, 2, 4, 8, 16, 32, 64])
OLDER_COUNTS = st.integers(1, 256)
OWNERS = st.tuples(st.text(max_size=8), st.text(max_size=8))


def made_at(slot: int) -> bytes:
    """An id of a slot."""
    return ids.notification_id(1_700_000_000_000, slot, bytes(ids.ENTROPY_BYTES))


@given(OWNERS, OLDER_COUNTS)
def test_an_id_and_its_first_recipient_share_a_partition(owner: tuple[str, str], partitions: int):
    slot = ids.slot_for(*owner, partitions)
    assert 0 <= slot < ids.slots_of(partitions)
    assert ids.partition_of(made_at(slot), partitions) == ids.partition_for(*owner, partitions) < partitions


@given(OWNERS, COUNTS, COUNTS)
def test_the_slot_of_a_user_does_not_depend_on_the_number_of_partitions(owner: tuple[str, str], one: int, other: int):
    assert ids.slot_for(*owner, one) == ids.slot_for(*owner, other)


@given(OWNERS, COUNTS, COUNTS)
def test_more_partitions_divide_those_before_and_fewer_join_them(owner: tuple[str, str], one: int, other: int):
    fewer = min(one, other)
    assert ids.partition_for(*owner, one) % fewer == ids.partition_for(*owner, other) % fewer


@given(OWNERS, OLDER_COUNTS)
def test_ids_and_users_of_older_builds_stay_where_they_were(owner: tuple[str, str], partitions: int):
    before = int.from_bytes(ids.blake2b(f"{len(owner[0])}:{''.join(owner)}".encode(), digest_size=4).digest(), "big")
    assert ids.partition_for(*owner, partitions) == before % partitions
    assert ids.partition_of(made_at(before % partitions), partitions) == before % partitions


@given(COUNTS)
def test_every_partition_has_as_many_slots_as_the_others(partitions: int):
    groups = [slot % partitions for slot in range(ids.slots_of(partitions))]
    assert {groups.count(partition) for partition in range(partitions)} == {ids.SLOTS // partitions}
