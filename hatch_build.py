"""Writes the commit into distributions, for `clarion --version`: in them there is no git to ask."""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VERSION = Path("src", "clarion", "app", "cli", "version.py")
PACKAGE = {"wheel": "clarion", "sdist": "src/clarion"}


class Commit(BuildHookInterface[Any]):
    """Adds a file with the commit to a wheel and to a source distribution. An editable installation copies nothing, and a
    wheel that is built from a source distribution has the file already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Set the additional file in `build_data`."""
        shared = runpy.run_path(str(Path(self.root, VERSION)))
        commit = shared["commit_of"](Path(self.root)) if version == "standard" else ""
        if commit:
            self._folder = tempfile.TemporaryDirectory(prefix="clarion-commit-")
            file = Path(self._folder.name, shared["COMMIT_FILE"])
            file.write_text(f"{commit}\n", encoding="utf-8")
            build_data["force_include"][str(file)] = f"{PACKAGE[self.target_name]}/{file.name}"
