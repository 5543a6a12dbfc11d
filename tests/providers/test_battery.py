"""Every vendor against its table."""

import pytest

from clarion.domain.channel import Channel
from clarion.providers.catalogue import load
from tests.providers import battery

VENDORS = load()
TABLES = battery.tables()
CASES = [pytest.param(VENDORS[Channel(t["channel"]), t["vendor"]], t, id=name) for name, t in TABLES.items()]
ROWS = [
    pytest.param(VENDORS[Channel(t["channel"]), t["vendor"]], t, row, id=f"{name}-{row['case']}")
    for name, t in TABLES.items()
    for row in t["rows"]
]


def test_every_vendor_has_a_table():
    covered = {(table["vendor"]) for table in TABLES.values()}
    assert {vendor for _, vendor in VENDORS} == covered


@pytest.mark.parametrize(("vendor", "table"), CASES)
def test_battery(vendor, table):
    battery.run(vendor, table)


@pytest.mark.parametrize(("vendor", "table", "row"), ROWS)
def test_answer(vendor, table, row):
    battery.check_row(vendor, table, row)
