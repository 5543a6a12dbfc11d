"""The store reader against the product's real store: whatever the product folds, the reader reports the same."""

from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from clarion.domain import ids
from clarion.domain.delivery_state import NAMES, TERMINAL, Event, State, next_state
from clarion.domain.history import Attempt, Changes, Chunk, ChunkState, Delivery
from clarion_lab.chaos.rows import Rows, of_file, of_server
from clarion_lab.chaos.store import ENDING, STATES, StoredDelivery, delivery_id, read
from clarion_lab.machine.engines import postgres_folders
from tests.contract import states
from tests.engines.postgres import SUPERUSER, as_role, database_of

NOTIFICATION = ids.notification_id(1_000, 0, bytes(range(9)))
PUSH = ids.delivery_id(NOTIFICATION, "u", "push", "token")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.engines)])
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[states.State]:
    store = states.STATES[request.param](tmp_path)
    yield store
    await states.shut(store)


def rows_of(state: states.State, path: Path) -> Rows:
    if isinstance(state, states.OwnDatabase):
        return of_server(postgres_folders()[0] / "psql", as_role(database_of(path), SUPERUSER), "public")
    return of_file(path / "state.db")


async def read_back(state: states.State, path: Path, changes: Changes) -> dict[str, StoredDelivery]:
    await state.ledger.apply(changes, [])
    return read(rows_of(state, path))


def row(final: State, **changes: object) -> Delivery:
    delivery = Delivery(PUSH, "t", "u", "push", "token", final)
    return msgspec.structs.replace(delivery, **changes)


def attempt(number: int, event: str, outcome: str, repeats: int = 0, *, applied: bool = True) -> Attempt:
    return Attempt(PUSH, "t", number, 10 + number, 9, event, outcome, 0, "", "p", "fcm", "", None, repeats, applied)


def test_stored_words_are_those_of_the_product() -> None:
    assert {int(state): NAMES[state] for state in State} == STATES
    ends = {event.value for event in Event if next_state(State.SENDING, event) in TERMINAL}
    assert ends - {"confirmed", "bounced"} == ENDING, "receipts follow an end"


def test_ids_are_derived_as_the_product_does() -> None:
    assert delivery_id(NOTIFICATION, "u", "push", "token") == PUSH.hex()


async def test_an_accepted_delivery_ended_once(state: states.State, tmp_path: Path) -> None:
    changes = Changes(deliveries={PUSH: row(State.SENT, attempt=1, accepted_attempt=1)})
    assert await read_back(state, tmp_path, changes) == {PUSH.hex(): StoredDelivery("push", "sent", 1, 0)}


async def test_repeats_and_missing_answers_are_uncertain_and_late_events_end_nothing(
    state: states.State, tmp_path: Path
) -> None:
    changes = Changes(
        deliveries={PUSH: row(State.SENT, attempt=3, repeats=2, accepted_attempt=3)},
        attempts=[
            attempt(1, "retry", "transient", repeats=1),
            attempt(2, "ambiguous", "ambiguous"),
            attempt(2, "accepted", "accepted", applied=False),
        ],
    )
    assert await read_back(state, tmp_path, changes) == {PUSH.hex(): StoredDelivery("push", "sent", 1, 4)}


async def test_two_ends_are_reported(state: states.State, tmp_path: Path) -> None:
    changes = Changes(
        deliveries={PUSH: row(State.DEAD, attempt=2, accepted_attempt=1)},
        attempts=[attempt(2, "exhausted", "transient")],
    )
    assert (await read_back(state, tmp_path, changes))[PUSH.hex()].endings == 2


async def test_a_broadcast_is_read_from_its_chunk_and_rows(state: states.State, tmp_path: Path) -> None:
    chunk_id = NOTIFICATION + bytes(8)
    pack = msgspec.msgpack.encode
    chunk = Chunk(
        chunk_id, "t", "push", "en", "", 1, None, 3, 1, 3, pack("k"), pack({}), pack(None),
        array("Q", [1, 2, 3]).tobytes(), pack(["u", "v", "w"]), pack(["token", "b", "c"]), pack([]),
    )  # fmt: skip
    states = bytes((State.SENT, State.SENT, State.SKIPPED))
    begun = ChunkState(chunk_id, "t", "push", states, bytes(3), intents=bytes((1, 2, 0)))
    own = row(State.SENT, attempt=2, accepted_attempt=2, chunk_id=chunk_id)
    changes = Changes(
        chunks=[chunk],
        chunk_states={chunk_id: begun},
        deliveries={PUSH: own},
        attempts=[attempt(1, "retry", "transient")],
    )
    second, third = (delivery_id(NOTIFICATION, user, "push", address) for user, address in (("v", "b"), ("w", "c")))
    assert await read_back(state, tmp_path, changes) == {
        PUSH.hex(): StoredDelivery("push", "sent", 1, 0),
        second: StoredDelivery("push", "sent", 1, 1),
        third: StoredDelivery("push", "skipped", 0, 0),
    }


async def test_a_damaged_store_is_not_read(tmp_path: Path) -> None:
    state = states.sqlite(tmp_path)
    deliveries = [row(State.SENT, id=PUSH[:-2] + number.to_bytes(2, "big")) for number in range(2_000)]
    await state.ledger.apply(Changes(deliveries={delivery.id: delivery for delivery in deliveries}), [])
    state.close()
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    content[-40_000:-20_000] = bytes(20_000)
    path.write_bytes(content)
    with pytest.raises(Exception, match=r"damaged|malformed"):
        read(of_file(path))


@pytest.mark.engines
async def test_a_server_that_refuses_a_statement_is_not_read(tmp_path: Path) -> None:
    dsn = as_role(database_of(tmp_path), SUPERUSER)
    with pytest.raises(ValueError, match='relation "nothing" does not exist'):
        list(of_server(postgres_folders()[0] / "psql", dsn, "public")("SELECT id FROM nothing"))
