"""The system clock fulfils the contract of its port."""

from clarion.ports.clock import Clock
from clarion.runtime.clock import SystemClock


def test_time_and_chance_have_the_shapes_of_the_port():
    clock: Clock = SystemClock()
    assert clock.now_ms() > 1_700_000_000_000
    assert clock.monotonic_ms() <= clock.monotonic_ms()
    assert len(clock.entropy(9)) == 9
    assert clock.entropy(16) != clock.entropy(16)
    assert 0 <= clock.jitter() < 1
