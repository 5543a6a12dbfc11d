from collections import Counter

from clarion_lab.chaos.schedule import PAUSE_MS, VICTIMS, WRITE_MS_MAX, kills


def test_a_seed_decides_everything() -> None:
    assert list(kills(7, 50)) == list(kills(7, 50))
    assert list(kills(7, 50)) != list(kills(8, 50))


def test_pauses_stay_in_bounds_and_every_role_is_hit() -> None:
    drawn = list(kills(1, 500))
    assert all(PAUSE_MS[0] <= kill.pause_ms <= PAUSE_MS[1] and 0 <= kill.pick < 1 for kill in drawn)
    assert set(Counter(kill.role for kill in drawn)) == set(VICTIMS)


def test_a_case_chooses_whom_it_kills_and_when() -> None:
    drawn = list(kills(1, 200, {"api": 1, "scheduler": 1}, 1.0))
    assert {kill.role for kill in drawn} == {"api", "scheduler"}
    assert all(kill.working and kill.write_ms is None for kill in drawn)


def test_some_kills_come_just_after_a_write() -> None:
    drawn = [kill.write_ms for kill in kills(1, 500, writing=0.5)]
    late = [ms for ms in drawn if ms is not None]
    assert 200 < len(late) < 300
    assert all(0 <= ms <= WRITE_MS_MAX for ms in late)
