"""A change that no cap block can hold is refused where it is made."""

import pytest

from clarion.ports.journal_cells import CapWrite


@pytest.mark.parametrize("change", [(64, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 2**32), (0, 2**32, 1), (0, 0, -1)])
def test_an_impossible_change_is_refused(change):
    with pytest.raises(ValueError, match="not a change of a cap block"):
        CapWrite("acme", b"rule", 0, (change,))
