"""The catalogue of vendors, found by walking this package: a vendor is added by adding its file.

A module with `TRAITS` is a vendor; other modules here are shared parts. There is no registration.
"""

import importlib
import pkgutil
from typing import cast

import clarion.providers
from clarion.domain.channel import Channel
from clarion.domain.errors import OperatorError
from clarion.ports.vendor import Traits, Vendor

TRANSPORTS = frozenset({"http", "smtp", "local", "apprise"})
AMBIGUITY_POLICIES = frozenset({"retry", "assume_sent", "stop"})


def load() -> dict[tuple[Channel, str], Vendor]:
    """Return all vendors by (channel, vendor name). Raises `OperatorError` when one is incomplete or two share a
    name."""
    found: dict[tuple[Channel, str], Vendor] = {}
    for info in pkgutil.walk_packages(clarion.providers.__path__, f"{clarion.providers.__name__}."):
        if info.ispkg or info.name == __name__:
            continue
        module = importlib.import_module(info.name)
        traits = getattr(module, "TRAITS", None)
        if traits is None:
            continue
        _check(info.name, module, traits)
        for channel in traits.channels:
            if (channel, traits.vendor) in found:
                raise OperatorError(f"two modules call themselves vendor {traits.vendor!r} of channel {channel}")
            found[channel, traits.vendor] = cast(Vendor, module)
    return found


def _check(name: str, module: object, traits: object) -> None:
    """Raise `OperatorError` when a module that declares `TRAITS` is not a complete vendor."""
    if not isinstance(traits, Traits):
        raise OperatorError(f"{name}.TRAITS is not a Traits value")
    if missing := [part for part in ("build", "read") if not callable(getattr(module, part, None))]:
        raise OperatorError(f"{name} declares TRAITS but has no {' and no '.join(missing)}()")
    if hasattr(module, "token_request") != hasattr(module, "read_token"):
        raise OperatorError(f"{name} has one of token_request() and read_token(), it needs both or none")
    batching = [hasattr(module, part) for part in ("batch_key", "build_batch", "read_batch")]
    if any(batching) != all(batching) or any(batching) != (traits.batch_max > 1):
        raise OperatorError(f"{name}: batch_max over 1, batch_key(), build_batch() and read_batch() go together")
    if traits.receipts != hasattr(module, "read_receipts"):
        raise OperatorError(f"{name}: receipts of TRAITS and read_receipts() go together")
    if traits.transport not in TRANSPORTS:
        raise OperatorError(f"{name}: transport {traits.transport!r} is none of {sorted(TRANSPORTS)}")
    if traits.on_ambiguous not in AMBIGUITY_POLICIES:
        raise OperatorError(f"{name}: on_ambiguous {traits.on_ambiguous!r} is none of {sorted(AMBIGUITY_POLICIES)}")
    if not set(traits.required_parts) <= set(traits.parts):
        raise OperatorError(f"{name}: required_parts names a part that parts does not")
    if not set(traits.slow_credentials) <= {field.name for field in traits.credentials}:
        raise OperatorError(f"{name}: slow_credentials names a credential that there is not")
