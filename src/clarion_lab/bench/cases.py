"""The cases of the bench."""

from typing import Final

import msgspec

from clarion.domain.errors import OperatorError


class Case(msgspec.Struct, frozen=True):
    """One case. `vendor` sends the channel (the usual one when empty), and `dkim` names the keys that sign mail in
    additional runs. Without `named` its calls carry no delivery id, so arrivals are counted and not compared. `items`
    is the number of notifications of a request (0: one broadcast to all users), `provider` whether the channel ends at
    the simulator, `users` the number of users (0: one for each notification), `rate` requests a second when they are
    sent on a schedule instead of as fast as responses arrive."""

    name: str
    about: str
    channel: str
    n: int
    items: int
    connections: int = 0
    users: int = 10_000
    provider: bool = False
    profiles: bool = False
    rate: float | None = None
    vendor: str = ""
    dkim: tuple[str, ...] = ()
    named: bool = True

    @property
    def requests(self) -> int:
        """Return the number of requests that carry `n` notifications."""
        return -(-self.n // self.items)


CASES: Final = {
    case.name: case
    for case in (
        Case("accept-single", "one notification a request, 128 in flight, in-app", "inapp", 40_000, 1, 128),
        Case("accept-batch", "100 notifications a request, in-app", "inapp", 100_000, 100, 4),
        Case("push", "100 notifications a request, FCM over HTTP/2", "push", 60_000, 100, 4, provider=True),
        Case("apns", "100 notifications a request, APNs over HTTP/2", "push", 20_000, 100, 4, provider=True, vendor="apns"),
        Case("webpush", "100 notifications a request, Web Push, sealed for each", "webpush", 10_000, 100, 4, provider=True),
        Case("sms", "100 notifications a request, Twilio", "sms", 30_000, 100, 4, provider=True, named=False),
        Case(
            "email", "100 notifications a request, SMTP; unsigned, then with DKIM", "email", 10_000, 100, 4, users=2_000,
            provider=True, dkim=("rsa-2048", "ed25519"),
        ),
        Case("inapp-broadcast", "one broadcast, 3,400 profiles, 40 zones", "inapp", 1_000_000, 0, users=0, profiles=True),
        Case("push-broadcast", "one broadcast, FCM over HTTP/2", "push", 60_000, 0, users=0, provider=True, profiles=True),
        Case("latency", "one notification a request, on time", "push", 6_000, 1, 32, provider=True, rate=300),
    )
}  # fmt: skip
LATENCY_S: Final = 20


def chosen(name: str, n: int | None, rate: float | None) -> Case:
    """Return a case with its size and rate overridden. Raises `OperatorError` for one that does not exist."""
    case = CASES.get(name)
    if case is None:
        raise OperatorError(f"There is no bench case {name!r}; there are {', '.join(CASES)}.")
    if rate is not None and case.items == 0:
        raise OperatorError(f"A rate means nothing to {name}: it is one request.")
    rate = rate or case.rate
    if n is None:
        n = int(rate * LATENCY_S * case.items) if rate is not None else case.n
    return msgspec.structs.replace(case, n=n, rate=rate, users=case.users or n)
