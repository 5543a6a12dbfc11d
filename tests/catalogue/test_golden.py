"""Every template of the catalogue, on every channel and in every locale, says byte for byte what is written down.

After a change that is meant: `python -m tests.catalogue.golden`, and look at the difference.
"""

import pytest

from tests.catalogue.golden import GOLDEN, files
from tests.catalogue.shelf import KEYS, LOCALES


@pytest.mark.parametrize("key", KEYS)
def test_a_template_says_what_is_written_down(key: str):
    for locale in LOCALES:
        for path, text in files(key, locale):
            assert text.encode() == path.read_bytes(), path


def test_nothing_is_written_down_that_is_not_there():
    there = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.*")}
    assert there == {f"{key}/{locale}.{ending}" for key in KEYS for locale in LOCALES for ending in ("html", "txt")}
