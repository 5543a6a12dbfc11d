"""Folders of templates on disk."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from clarion.content.files.folder import FileLocation, FileProblem, Files
from clarion.content.files.reading import Reading
from clarion.domain.errors import OperatorError
from clarion.domain.limits_content import FOLDER_FILES_MAX, TEMPLATE_BYTES_MAX

SHIPPED: Final = Path(__file__).parents[3] / "catalogue"
"""The starter catalogue."""
_SKIPPED: Final = "__pycache__"


def files_in(folder: Path) -> Files:
    """Return the texts of all files below a folder except hidden ones. Raises `OperatorError` when there is no folder,
    it holds too many files, or one cannot be read."""
    if not folder.is_dir():
        raise OperatorError(f"There is no folder {folder}.")
    files: Files = {}
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.is_dir() or any(part.startswith(".") or part == _SKIPPED for part in parts):
            continue
        if len(files) == FOLDER_FILES_MAX:
            raise OperatorError(f"{folder} holds more than {FOLDER_FILES_MAX} files.")
        files["/".join(parts)] = _text(file, "/".join(parts))
    return files


def made(folder: Path) -> Path:
    """Return a folder, creating it if it is missing. Raises `OperatorError` when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"Cannot make the folder {folder}: {error.strerror}.") from error
    return folder


def reading_of(folder: Path) -> Reading:
    """Return the definitions of a folder and its problems. Raises `OperatorError` when it cannot be read, and when it
    has no definitions: then another folder was meant, and a push that prunes would remove everything."""
    reading = Reading(files_in(folder))
    if not (reading.places or reading.problems):
        raise OperatorError(f"There are no templates, layouts, partials or brand in {folder}.")
    return reading


def shipped() -> Reading:
    """Return the starter catalogue."""
    return reading_of(SHIPPED)


def store(folder: Path, files: Files, gone: Collection[str] = ()) -> None:
    """Write files below a folder and remove the files of `gone`, with folders that become empty. Raises `OperatorError`
    when a name cannot be that of a file, or writing fails."""
    for path in (*files, *gone):
        if any(part in ("", ".", "..") or "\\" in part for part in path.split("/")):
            raise OperatorError(f"{path} is no name for a file.")
    try:
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        for path in gone:
            (folder / path).unlink(missing_ok=True)
            if not any((folder / path).parent.iterdir()):
                (folder / path).parent.rmdir()
    except OSError as error:
        raise OperatorError(f"Cannot write {error.filename}: {error.strerror}.") from error


def _text(file: Path, path: str) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise OperatorError(f"Cannot read {file}: {error.strerror}.") from error
    if len(raw) > TEMPLATE_BYTES_MAX:
        raise FileProblem(FileLocation(path), f"is longer than {TEMPLATE_BYTES_MAX} bytes")
    try:
        return raw.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FileProblem(FileLocation(path, raw.count(b"\n", 0, error.start) + 1), "is not UTF-8 text") from None
