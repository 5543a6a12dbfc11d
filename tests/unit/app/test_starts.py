"""Every start of a process has a name of its own, and knows which earlier starts have ended."""

from clarion.app.processes.starts import ENDED_VARIABLE, START_VARIABLE, record_start, this_start


class Chance:
    """A clock of which only the entropy is used."""

    def __init__(self) -> None:
        self.asked = 0

    def entropy(self, size: int) -> bytes:
        self.asked += 1
        return self.asked.to_bytes(size)


def test_a_supervised_start_knows_the_earlier_starts(tmp_path):
    result = [record_start(tmp_path, "worker-0") for _ in range(3)]
    names = [env[START_VARIABLE] for env in result]
    assert len(set(names)) == 3
    assert [env[ENDED_VARIABLE].split() for env in result] == [[], names[:1], names[:2]]
    start = this_start("worker-0", result[2], Chance())
    assert start.owner == f"worker-0-{names[2]}"
    assert start.ended == [f"worker-0-{name}" for name in names[:2]]


def test_only_the_last_starts_are_stored(tmp_path):
    for _ in range(100):
        last = record_start(tmp_path, "api")
    assert len(last[ENDED_VARIABLE].split()) == 8
    assert record_start(tmp_path, "worker-0")[ENDED_VARIABLE] == ""


def test_a_start_by_hand_names_itself_and_frees_nothing():
    chance = Chance()
    one, other = this_start("worker-1", {}, chance), this_start("worker-1", {}, chance)
    assert one.owner != other.owner
    assert one.ended == []
