import pytest

from clarion_lab.chaos.drive import classify
from clarion_lab.load.http1 import Answer


def test_202_is_ok_and_names_the_id() -> None:
    line = classify("k", Answer(202, b'{"id":"ntf_1","status":"accepted"}'), 5)
    assert (line.result, line.ids) == ("ok", ["ntf_1"])


def test_a_batch_names_an_id_per_item_and_none_where_one_was_refused() -> None:
    line = classify("k", Answer(202, b'{"results":[{"id":"a"},{"error":{"code":"x"}},{"id":"c"}]}'), 5)
    assert line.ids == ["a", None, "c"]


def test_204_is_ok_and_names_nothing() -> None:
    assert classify("k", Answer(204, b""), 5).result == "ok"


def test_an_event_names_the_notifications_it_made() -> None:
    line = classify("k", Answer(202, b'{"id":"evt_1","notifications":[{"id":"a"}],"skipped":[]}'), 5)
    assert line.ids == ["a"]


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503, 507])
def test_a_request_that_may_still_be_accepted_is_unknown(status: int) -> None:
    assert classify("k", Answer(status, b"later"), 5).result == "unknown"


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
def test_a_refusal_is_final_and_keeps_its_text(status: int) -> None:
    line = classify("k", Answer(status, b"no such template"), 5)
    assert line.result == "refused"
    assert "no such template" in line.detail
