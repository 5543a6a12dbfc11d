"""All routes of the API but those of operations."""

from collections.abc import Callable
from typing import Final

from clarion.app.routes import accept, control, feedback, history, identity
from clarion.app.wiring.parts import Shared
from clarion.ports.web import Route

_PARTS: Final[tuple[Callable[[Shared], list[Route]], ...]] = (
    accept.routes,
    history.routes,
    feedback.routes,
    identity.routes,
    control.routes,
)


def routes(parts: Shared) -> list[Route]:
    """Return the endpoints of all stages and of the control plane."""
    return [route for of_part in _PARTS for route in of_part(parts)]
