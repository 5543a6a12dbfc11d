"""Plug-ins: the operator's functions that the configuration names."""

import importlib
from typing import Final

from clarion.content.links import Links
from clarion.domain.errors import OperatorError
from clarion.ports.telemetry import Telemetry

_LINK_SETTING: Final = "content.shorten_links"


def shortener(name: str, telemetry: Telemetry) -> Links | None:
    """Return the function that shortens links, None when none is named. When a call fails, the link stays unchanged and
    the reason is logged. Raises `OperatorError` when there is no such function."""
    if not name:
        return None
    module, _, function = name.partition(":")
    try:
        plugged = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OperatorError(f"{_LINK_SETTING}: there is no function {name!r} ({error}).") from error
    if not callable(plugged):
        raise OperatorError(f"{_LINK_SETTING}: {name!r} is not a function.")

    def links(tenant: str, link: str) -> str:
        try:
            short = plugged(tenant, link)
        except Exception as error:  # noqa: BLE001 - an error of the operator's code must not lose a message
            telemetry.log("error", "shorten_links_failed", tenant=tenant, error=repr(error))
            return link
        return short if isinstance(short, str) else link

    return links
