import pytest

from clarion.domain.errors import OperatorError
from clarion_lab.bench.cases import CASES, chosen
from clarion_lab.load import people, seed_data


def test_every_case_of_the_command_line_exists() -> None:
    sending = {"push", "apns", "webpush", "sms", "email", "latency"}
    named = sending | {"accept-single", "accept-batch", "inapp-broadcast", "push-broadcast"}
    assert set(CASES) == named


def test_size_and_rate_are_overridden_and_a_rate_decides_the_size() -> None:
    assert chosen("push", 250, None).requests == 3
    assert chosen("latency", None, 100).n == 2_000
    assert chosen("latency", None, None).rate == 300
    assert chosen("inapp-broadcast", 500, None).users == 500


@pytest.mark.parametrize(("name", "rate"), [("nothing", None), ("inapp-broadcast", 5.0)])
def test_invalid_options_are_refused_in_a_sentence(name: str, rate: float | None) -> None:
    with pytest.raises(OperatorError, match=r"\.$"):
        chosen(name, None, rate)


def test_every_case_with_a_provider_has_a_vendor_parts_and_known_keys() -> None:
    for case in CASES.values():
        assert case.channel in people.PARTS
        assert set(case.dkim) <= set(seed_data.KEYS)
        assert not case.provider or case.vendor or case.channel in seed_data.VENDORS
