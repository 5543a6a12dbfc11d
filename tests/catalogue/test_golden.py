"""Every template of the catalogue, on every channel and in every locale, equals its golden file byte for byte.

After an intended change: run `python -m tests.catalogue.golden`, and review the difference.
"""

import pytest

from tests.catalogue.golden import GOLDEN, files
from tests.catalogue.shelf import KEYS, LOCALES


@pytest.mark.parametrize("key", KEYS)
def test_a_template_equals_its_golden_file(key: str):
    for locale in LOCALES:
        for path, text in files(key, locale):
            assert text.encode() == path.read_bytes(), path


def test_every_golden_file_has_a_template():
    there = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.*")}
    assert there == {f"{key}/{locale}.{ending}" for key in KEYS for locale in LOCALES for ending in ("html", "txt")}
