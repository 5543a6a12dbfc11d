"""The page on previews names every warning that exists, and no other."""

import re
from pathlib import Path

from clarion.control.templates import warnings
from tests.docs.walk import ROOT

CODE = re.compile(r'(?:yield \(?\s*|Finding\()(f?)"([a-z_{}]+)"')


def test_every_warning_is_explained():
    source = Path(warnings.__file__).read_text(encoding="utf-8")
    found = CODE.findall(source)
    codes = {code.replace("{field}", headline) for _, code in found for headline in set(warnings.HEADLINES.values())}
    table = (ROOT / "docs" / "previews.md").read_text(encoding="utf-8").partition("## Warnings")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert len(codes) > 15
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row)} == codes
