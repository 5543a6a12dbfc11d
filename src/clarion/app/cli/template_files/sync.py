"""Stores definitions at a tenant: only those that differ, in the order of their references, with a report of each."""

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from clarion.app.cli.remote import RequestRefused
from clarion.app.cli.template_files.definitions import BRAND, Definitions, Name, title
from clarion.app.cli.template_files.tenant import Tenant
from clarion.content.files.reading import Reading
from clarion.domain.template import Brand

Report = Callable[[str], None]
_MENDABLE: Final = frozenset({400, 409, 413, 422})
"""Statuses that are about one definition; after any other the sync stops."""


class TemplateSync:
    """Stores definitions one by one. A definition that the API refuses is reported by file and line, and the rest
    proceeds."""

    def __init__(self, tenant: Tenant, reading: Reading, report: Report, *, publish: bool) -> None:
        self._tenant = tenant
        self._reading = reading
        self._report = report
        self._publish = publish
        self._counts: Counter[str] = Counter()

    @property
    def refused(self) -> int:
        """The number of definitions that could not be stored or removed."""
        return self._counts["refused"]

    def summary(self) -> str:
        """Return the number of definitions by result, in one line."""
        return ", ".join(f"{count} {what}" for what, count in self._counts.items()) or "nothing to do"

    def push(self, wanted: Definitions, have: Definitions) -> None:
        """Store the definitions that are missing or differ. Categories are stored only when missing."""
        categories = self._tenant.categories() if any(kind == "category" for kind, _ in wanted) else set()
        for name in wanted:
            kind, key = name
            there = key in categories if kind == "category" else have.get(name) == wanted[name]
            if there and not (self._publish and kind == "template" and key in self._tenant.unpublished):
                self._counts["unchanged"] += 1
            else:
                self._store(name, wanted)

    def install(self, wanted: Definitions, have: Definitions, *, force: bool) -> None:
        """Store the missing definitions; existing ones that differ stay, unless `force`. A brand is never replaced."""
        kept = {
            name
            for name, definition in wanted.items()
            if name in have and have[name] != definition and (have[name] != Brand() if name == BRAND else not force)
        }
        for name in sorted(kept - {BRAND}):
            self._report(f"{title(name)}: left unchanged; --force replaces it")
        self._counts["kept"] += len(kept)
        self.push({name: wanted[name] for name in wanted if name not in kept}, have)

    def prune(self, names: Collection[Name]) -> None:
        """Remove definitions, each before those that it refers to."""
        for name in reversed(list(names)):
            try:
                self._tenant.remove(name)
            except RequestRefused as error:
                self._refuse(name, error)
            else:
                self._counts["removed"] += 1
                self._report(f"{title(name)}: removed")

    def _store(self, name: Name, wanted: Definitions) -> None:
        try:
            answer = self._tenant.put(name, wanted[name], publish=self._publish)
        except RequestRefused as error:
            self._refuse(name, error)
            return
        self._counts["stored"] += 1
        version = answer.get("version")
        state = f" {answer['status']}" if "status" in answer else ""
        self._report(f"{title(name)}: {f'version {version}{state}' if version else 'stored'}")

    def _refuse(self, name: Name, error: RequestRefused) -> None:
        if error.status not in _MENDABLE:
            raise error
        self._counts["refused"] += 1
        self._report(str(self._reading.problem(*name, error.field, error.detail)))
