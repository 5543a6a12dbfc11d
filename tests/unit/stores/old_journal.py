"""A `journal.db` as the build before open intents left it: positions with marks, and the `outcomes` they point at."""

from pathlib import Path

from clarion.domain.delivery_state import Event as Happened
from clarion.domain.outcome import Accepted, Ambiguous
from clarion.journal.codec import encode
from clarion.journal.events import AttemptedFrame, ChunkAttemptedFrame, Event, IntentFrame
from clarion.stores.sqlite import migrate
from clarion.stores.sqlite.connection import connect

REVISION = "journal_0002"
START_MS = 1_700_000_000_000
CHUNK = b"c" * 24
GROUP = "deliver.sms"
A, B, C, D = (letter * 24 for letter in (b"A", b"B", b"C", b"D"))
OFFSET_BITS = 40


def intent(*deliveries: bytes, attempt: int = 1, channel: str = "sms", providers: tuple[str, ...] = ()) -> Event:
    ids = list(deliveries)
    return IntentFrame("worker-0", 1, START_MS, channel, None, 0, ids, [attempt] * len(ids), list(providers))


def slice_of_chunk(first: int, count: int) -> Event:
    ids = [b"%024d" % (first + n) for n in range(count)]
    return IntentFrame("worker-0", 1, START_MS, "sms", CHUNK, first, ids, [1] * count)


def result(delivery: bytes, attempt: int, event: Happened) -> Event:
    outcome = Accepted("id") if event is Happened.ACCEPTED else Ambiguous("worker stopped")
    return AttemptedFrame(
        "sms", [delivery], ["acme"], ["u"], ["+1"], [attempt], [""], [""], [event], [0], [outcome], [START_MS],
        [START_MS], [None], [None], [None],
    )  # fmt: skip


def sent_of_chunk(first: int, states: bytes) -> Event:
    return ChunkAttemptedFrame(CHUNK, "acme", "sms", "", "", first, states, START_MS)


OUTCOMES: list[Event | bytes] = [
    intent(b"0" * 24),  # below the mark: its frame is committed
    intent(A, B, C, providers=("", "one", "")),
    b"CF\x01 damaged",
    intent(A, channel="push"),
    result(A, 1, Happened.ACCEPTED),
    slice_of_chunk(0, 4),
    sent_of_chunk(1, b"\x0a\x00\x0a"),
    result(B, 1, Happened.AMBIGUOUS),
    intent(B, attempt=2),
]
MARK = 1


def make(data_dir: Path, *, padding: int = 0) -> Path:
    """Write the file, with `padding` further outcomes of another channel, and return its path."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = migrate.path_of(data_dir, "journal")
    connect(path).close()
    migrate._run(path, migrate._config("journal"), REVISION)
    db = connect(path)
    with db:
        db.execute("INSERT INTO meta VALUES ('partitions', 2)")
        report = [*OUTCOMES, *[intent(D, channel="email")] * padding]
        # Partition 0 has uncommitted deliveries, partition 1 none; none of partition 0's pushes was ever committed.
        for partition in (0, 1):
            stream(db, 10 + partition, "outcomes", partition, report)
            stream(db, 20 + partition, "deliver.sms.normal", partition, [b"1", b"2", b"3"])
            stream(db, 30 + partition, "deliver.sms.high", partition, [b"1"])
            commit(db, GROUP, partition, "deliver.sms.normal", 1 if partition == 0 else 3)
            commit(db, GROUP, partition, "deliver.sms.high", 1)
        stream(db, 40, "deliver.push.bulk", 0, [b"1"])
        commit(db, "record", 0, "outcomes", 2)
        db.execute("INSERT INTO leases VALUES ('deliver.sms', 0, 'worker-0', 7, 0)")
    db.close()
    return path


def stream(db, stream_id: int, topic: str, partition: int, events: list) -> None:
    db.execute("INSERT INTO streams (stream_id, topic, partition) VALUES (?, ?, ?)", (stream_id, topic, partition))
    payloads = [event if isinstance(event, bytes) else encode(event, 1) for event in events]
    rows = [((stream_id << OFFSET_BITS) + n, START_MS, 1, n, payload) for n, payload in enumerate(payloads, 1)]
    db.executemany("INSERT INTO frames VALUES (?, ?, ?, ?, ?)", rows)


def commit(db, group: str, partition: int, topic: str, offset: int) -> None:
    db.execute("INSERT INTO commits VALUES (?, ?, ?, ?, ?)", (group, partition, topic, offset, MARK))
