import pytest

from clarion.app.bench.cases import CASES, chosen
from clarion.domain.errors import OperatorError


def test_every_case_of_the_command_line_exists() -> None:
    named = {"accept-single", "accept-batch", "push", "email", "inapp-broadcast", "push-broadcast", "latency"}
    assert set(CASES) == named


def test_size_and_rate_are_overridden_and_a_rate_decides_the_size() -> None:
    assert chosen("push", 250, None).requests == 3
    assert chosen("latency", None, 100).n == 2_000
    assert chosen("latency", None, None).rate == 300
    assert chosen("inapp-broadcast", 500, None).users == 500


@pytest.mark.parametrize(("name", "rate"), [("nothing", None), ("inapp-broadcast", 5.0)])
def test_what_makes_no_sense_is_refused_in_a_sentence(name: str, rate: float | None) -> None:
    with pytest.raises(OperatorError, match=r"\.$"):
        chosen(name, None, rate)
