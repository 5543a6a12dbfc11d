"""Details of the state store's file: an index that serves one lookup, and readers that cannot write."""

import apsw
import pytest

from clarion.stores.sqlite.connection import connect, fetch_all
from clarion.stores.sqlite.migrate import upgrade
from clarion.stores.sqlite.state_history import _BY_VENDOR_ID


def test_the_partial_index_serves_the_lookup_by_a_vendors_id(tmp_path):
    db = connect(upgrade(tmp_path, "state"), readonly=True)
    plan = fetch_all(db, f"EXPLAIN QUERY PLAN {_BY_VENDOR_ID}", ("m", "acme", "ses"))
    assert "deliveries_by_vendor_id" in plan[0][-1]
    db.close()


def test_readers_of_the_file_cannot_write(tmp_path):
    db = connect(upgrade(tmp_path, "state"), readonly=True)
    with pytest.raises(apsw.ReadOnlyError):
        db.execute("DELETE FROM deliveries")
    db.close()
