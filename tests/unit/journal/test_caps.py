"""A change of a cap block that no block can hold is refused where it is made."""

import pytest

from clarion.ports.journal_cells import CapWrite


@pytest.mark.parametrize("change", [(64, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 2**32), (0, 2**32, 1), (0, 0, -1)])
def test_what_no_block_can_hold_is_no_change(change):
    with pytest.raises(ValueError, match="not a change of a cap block"):
        CapWrite("acme", b"rule", 0, (change,))
