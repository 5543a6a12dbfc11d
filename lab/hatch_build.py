"""Puts the rigs into the wheel: their sources stand beside those of the product, outside of this folder."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "clarion_lab"


class Sources(BuildHookInterface[Any]):
    """Adds the package where it is not in this folder. An editable installation names the sources and copies nothing; a source
    distribution brings its own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name what else is put into the wheel."""
        if version == "standard" and not Path(self.root, "src").exists():
            build_data["force_include"][str(Path(self.root).parent / "src" / PACKAGE)] = PACKAGE
