"""Users that the suites about audiences tell apart: forty of them, and as many of another tenant between them."""

from clarion.domain.user import Device, UserWrite
from tests.contract.controls import House

T = "acme"
USERS = 40
LOOKED_AT = 7
"""How many users the suites let an engine look at at once."""
PRO = {"attribute": "plan", "is": "pro"}


def person(number: int) -> UserWrite:
    """Every third is in a topic, every fifth has the plan `pro`, every other one has an app."""
    return UserWrite(
        f"u{number}",
        attributes='{"plan":"pro"}' if number % 5 == 0 else '{"plan":"free"}',
        topics=("thirds",) if number % 3 == 0 else (),
        devices=(Device("d", "push" if number % 2 else "webpush", "t"),),
    )


async def settle_in(house: House) -> None:
    """Store the users of both tenants, one after the other."""
    for tenant in (T, "other"):
        await house.control.topics.put(tenant, "thirds", "")
    for number in range(USERS):
        for tenant in (T, "other"):
            await house.control.users.put_many(tenant, [person(number)])
