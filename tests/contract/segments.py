"""Users of the suites about audiences: forty with different facts, and as many of another tenant between them."""

from clarion.domain.user import Device, UserWrite
from tests.contract.controls import ControlPlane

T = "acme"
USERS = 40
LOOKED_AT = 7
"""How many users the suites let a backend look at at once."""
PRO = {"attribute": "plan", "is": "pro"}


def person(number: int) -> UserWrite:
    """Every third is in a topic, every fifth has the plan `pro`, every other one has an app."""
    return UserWrite(
        f"u{number}",
        attributes='{"plan":"pro"}' if number % 5 == 0 else '{"plan":"free"}',
        topics=("thirds",) if number % 3 == 0 else (),
        devices=(Device("d", "push" if number % 2 else "webpush", "t"),),
    )


async def settle_in(control_plane: ControlPlane) -> None:
    """Store the users of both tenants, one after the other."""
    for tenant in (T, "other"):
        await control_plane.control.topics.put(tenant, "thirds", "")
    for number in range(USERS):
        for tenant in (T, "other"):
            await control_plane.control.users.put_many(tenant, [person(number)])
