"""The pictures of the catalogue in the docs: `python -m tests.catalogue.pictures` renders them."""

import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from clarion.domain.channel import Channel
from tests.catalogue.browser import browser
from tests.catalogue.shelf import rendered

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images" / "templates"
SHOWN: Final = ("order-confirmed", "order-shipped", "new-login", "weekly-summary", "ride-finished-rider")


class Look(NamedTuple):
    """The settings with which a template is displayed."""

    name: str
    locale: str
    width_px: int
    dark: bool


LOOKS: Final = (
    Look("desktop", "en", 680, dark=False),
    Look("phone", "es", 375, dark=False),
    Look("dark", "de", 375, dark=True),
)


def take() -> None:
    """Render all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, browser(Path(folder)) as page:
        for key in SHOWN:
            for look in LOOKS:
                page.look(look.width_px, 400, dark=look.dark)
                page.show(rendered(key, look.locale)[Channel.EMAIL]["html"])
                (FOLDER / f"{key}-{look.name}.png").write_bytes(page.picture())


if __name__ == "__main__":
    take()
