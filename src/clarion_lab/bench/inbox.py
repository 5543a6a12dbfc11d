"""How long a user waits for the inbox: the 20 newest items of users with 500 own items, among 50 broadcasts to everyone.

All of it is sent through the public API of a fresh installation, own items and broadcasts by turns, and read with tokens of
the users, one request at a time.
"""

import time
from typing import Any, Final

from clarion.app.cli.remote import Remote
from clarion_lab.bench.measure import BenchRequest, Outcome
from clarion_lab.bench.reconcile import TERMINAL, percentile_ms
from clarion_lab.load import people, seed_data
from clarion_lab.load.programs import RunError, Simulator, System, running, wait_for

USERS: Final = 1_000_000
BROADCASTS: Final = 50
OWN_ITEMS: Final = 500
ROUNDS: Final = 10
"""Turns of own items and broadcasts."""
READERS: Final = 16
NEWEST: Final = 20
READS: Final = 2_000
READ_SHARE: Final = 4
"""One in so many items on a first page is marked as read before the measurement."""
WAIT_S: Final = 300.0
P99_MS_MAX: Final = 20.0


def inbox(asked: BenchRequest) -> Outcome:
    """Measure and return the figures; `n` of the request is the number of users. Raises `RunError` when an inbox lacks
    items."""
    users = asked.n or USERS
    simulator = Simulator(asked.folder / "simulator")
    try:
        system = System(asked.folder, seed_data.environment(simulator.ready, asked.workers))
        with running(system):
            client = system.client(seed_data.tenant(system))
            seed_data.definitions(client, ["inapp"])
            seed_data.users(client, users, profiles=False, progress=lambda _: None)
            asked.console.print(f"{users} users; filling inboxes", highlight=False)
            names = [people.user_id(number * (users // READERS)) for number in range(READERS)]
            for _ in range(ROUNDS):
                _send_own(client, names, OWN_ITEMS // ROUNDS)
                for _ in range(BROADCASTS // ROUNDS):
                    _send_all(client, users)
            readers = [_reader(client, name) for name in names]
            for reader in readers:
                _check(reader)
            asked.console.print("reading", highlight=False)
            lists = [_read_ns(readers[number % READERS], "/v1/inbox") for number in range(READS)]
            counts = [_read_ns(readers[number % READERS], "/v1/inbox/counts") for number in range(READS // 10)]
    finally:
        simulator.stop()
    return outcome(users, lists, counts)


def outcome(users: int, lists_ns: list[int], counts_ns: list[int]) -> Outcome:
    """Return the line of JSON, and whether the list comes within its bound."""
    p50, p99 = percentile_ms(lists_ns, 0.5), percentile_ms(lists_ns, 0.99)
    passed = p99 is not None and p99 <= P99_MS_MAX
    line: dict[str, Any] = {
        "case": "inbox",
        "users": users,
        "broadcasts": BROADCASTS,
        "own_items": OWN_ITEMS,
        "reads": len(lists_ns),
        "p50_ms": p50,
        "p99_ms": p99,
        "counts_p50_ms": percentile_ms(counts_ns, 0.5),
        "bounds": {"p99_ms": P99_MS_MAX},
        "passed": passed,
    }
    return Outcome(line, passed)


def _send_own(client: Remote, names: list[str], number: int) -> None:
    """Send each user that many notifications and wait until the last ones are in their inboxes."""
    last: list[str] = []
    for start in range(number):
        bodies = [
            {"to": name, "template": people.TEMPLATE, "channels": ["inapp"], "data": people.data(start)}
            for name in names
        ]
        last = [one["id"] for one in client.post("/v1/notifications/batch", {"notifications": bodies})["results"]]

    def ended() -> bool:
        found = [client.get(f"/v1/notifications/{id_}")["deliveries"] for id_ in last]
        return all(deliveries and deliveries[0]["state"] in TERMINAL for deliveries in found)

    wait_for("own items are recorded", ended, WAIT_S, poll_s=0.1)


def _send_all(client: Remote, users: int) -> None:
    """Send a broadcast to all users and wait until it is in all inboxes."""
    body = {"audience": {"all": True}, "template": people.TEMPLATE, "channels": ["inapp"], "data": people.data(1)}
    made = client.post("/v1/broadcasts", body)

    def done() -> bool:
        progress = client.get(f"/v1/broadcasts/{made['id']}")
        return bool(progress["status"] == "done" and progress["states"].get("sent", 0) == users)

    wait_for("a broadcast is recorded", done, WAIT_S, poll_s=0.1)


def _reader(client: Remote, name: str) -> Remote:
    return client.with_credential(client.post(f"/v1/users/{name}/tokens", {})["token"])


def _check(reader: Remote) -> None:
    """Assert that an inbox is full, and mark some of its first page. Raises `RunError`."""
    counts = reader.get("/v1/inbox/counts")
    if counts["total"] != OWN_ITEMS + BROADCASTS:
        raise RunError(f"an inbox has {counts['total']} items, and not {OWN_ITEMS + BROADCASTS}")
    page = reader.get("/v1/inbox", limit=NEWEST)["data"]
    reader.post("/v1/inbox/marks", {"action": "read", "ids": [item["id"] for item in page[::READ_SHARE]]})


def _read_ns(reader: Remote, path: str) -> int:
    """Return how long one read took, in nanoseconds."""
    began_ns = time.perf_counter_ns()
    reader.get(path, **({"limit": NEWEST} if path == "/v1/inbox" else {}))
    return time.perf_counter_ns() - began_ns
