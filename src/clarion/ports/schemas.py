"""JSON Schema (draft 2020-12) as a port: whether a schema can be used, and whether data satisfies it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class Fault(NamedTuple):
    """What is wrong, and where: `order.lines[0].name`, empty for the whole."""

    path: str
    detail: str


class Schemas(Protocol):
    """Checks within bounds, whatever the schema and the data are. Nothing is ever fetched."""

    def fault_of(self, schema: Mapping[str, Any]) -> Fault | None:
        """Return why something cannot be used as a schema, None when it can."""
        ...

    def check(self, schema: dict[str, Any], data: Mapping[str, Any]) -> Fault | None:
        """Return the first fault of data, None when it satisfies the schema. A schema is known by its identity, so it must
        not be changed once it was checked by. Data too large for the work its schema takes is a fault. A schema that
        cannot be used demands its top-level names alone."""
        ...
