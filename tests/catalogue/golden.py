"""Golden files of every template of the catalogue: `python -m tests.catalogue.golden` writes them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from clarion.domain.channel import Channel
from tests.catalogue.shelf import KEYS, LOCALES, rendered

GOLDEN: Final = Path(__file__).parent / "golden"


def files(key: str, locale: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of a template in a locale with their contents: one of HTML, one of everything else."""
    parts = rendered(key, locale)
    html = parts[Channel.EMAIL].pop("html")
    yield GOLDEN / key / f"{locale}.html", html + "\n"
    yield GOLDEN / key / f"{locale}.txt", "".join(_said(channel, parts[channel]) for channel in parts)


def _said(channel: Channel, parts: dict[str, Any]) -> str:
    return "".join(f"--- {channel}.{name}\n{_text(value)}\n" for name, value in parts.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def write() -> None:
    """Write all golden files, and remove those of templates that no longer exist."""
    wanted = {path: text for key in KEYS for locale in LOCALES for path, text in files(key, locale)}
    for old in set(GOLDEN.rglob("*.*")) - set(wanted):
        old.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write()
