"""Secrets in environment variables of the process: `env:NAME`."""

from collections.abc import Mapping
from typing import Final

from clarion.ports.secret_stores import SecretUnavailable

_SETTINGS: Final = "CLARION_"
"""Variables that begin so are the installation's own settings, keys among them."""


class EnvironmentStore:
    """Reads the variables that the process was started with."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def read(self, place: str, root: str) -> bytes:
        """Return the value of a variable. Raises `SecretUnavailable`."""
        if place.startswith(_SETTINGS):
            raise SecretUnavailable("secret_not_permitted", "is a setting of this installation")
        value = self._variables.get(place)
        if value is None:
            raise SecretUnavailable("secret_missing", "is not set in the environment of this process")
        return value.encode(errors="surrogateescape")
