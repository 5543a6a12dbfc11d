"""The variables that a template reads, collected over all its parts and locales."""

from typing import Any

from clarion.domain.errors import InvalidField
from clarion.domain.schema import infer, not_required, required_names, undeclared
from clarion.domain.template import Source
from clarion.ports.renderer import TemplateReads

_GIVEN = frozenset(("user", "brand", "data"))
"""Names of a context that do not come from a request."""


class Reads:
    """Collects usages."""

    def __init__(self) -> None:
        self.uses_user = False
        self._needed: dict[str, None] = {}
        self._read: dict[str, None] = {}

    def note(self, usage: TemplateReads, source: Source, field: str) -> None:
        """Add the variables that a part reads. Raises `InvalidField` when the template declares its variables, but not
        one of these."""
        self.uses_user |= usage.uses_user
        needed = [path for path in usage.needed_paths or usage.variables if _is_data(path)]
        read = [path for path in usage.read_paths if _is_data(path)]
        self._needed.update(dict.fromkeys(needed))
        self._read.update(dict.fromkeys((*needed, *read)))
        if source.variables is not None:
            unknown = undeclared(source.variables, (*needed, *read))
            if unknown is not None:
                raise InvalidField(
                    f"reads {unknown}, which `variables` does not declare", field=field, code="undeclared_variable"
                )

    def variables(self, source: Source) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return the required top-level names of a request's data, and the schema of the data: the one that the
        template declares, else the one inferred from its parts and its sample."""
        schema = source.variables
        if schema is None:
            schema = infer(self._needed, self._read, source.sample.data)
        return required_names(schema), schema

    def chanced(self, source: Source) -> tuple[str, ...]:
        """Return the top-level names that parts need but the template's declared schema does not require."""
        return () if source.variables is None else not_required(source.variables, self._needed)


def _is_data(path: str) -> bool:
    return not path.startswith("_") and path.partition(".")[0].partition("[")[0] not in _GIVEN
