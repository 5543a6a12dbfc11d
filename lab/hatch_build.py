"""Adds the rigs to the wheel: their sources are next to those of the product, outside this folder."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "clarion_lab"


class Sources(BuildHookInterface[Any]):
    """Adds the package when it is not in this folder. An editable installation refers to the sources and copies
    nothing; a source distribution includes them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Set the additional files of the wheel in `build_data`."""
        if version == "standard" and not Path(self.root, "src").exists():
            build_data["force_include"][str(Path(self.root).parent / "src" / PACKAGE)] = PACKAGE
