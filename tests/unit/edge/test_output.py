"""What is written to a connection: in few pieces, counted, and nothing after its end."""

from clarion.edge.output import COPIED_BYTES_MAX, Output


class Wire:
    """A transport that records its calls."""

    def __init__(self):
        self.calls = []
        self.closing = False

    def write(self, data):
        self.calls.append(data)

    def writelines(self, pieces):
        self.calls.append(list(pieces))

    def is_closing(self):
        return self.closing

    def close(self):
        self.calls.append("closed")

    def get_extra_info(self, name):
        return f"info of {name}"


def made():
    wire = Wire()
    return wire, Output(wire, wire.close)


def test_the_head_and_the_body_of_a_response_leave_in_one_write():
    wire, output = made()
    output.write(b"head ", b"body")
    output.write(b"next")
    assert wire.calls == [b"head body", b"next"]
    assert output.written_bytes == 13


def test_a_large_body_is_not_copied():
    wire, output = made()
    body = bytes(COPIED_BYTES_MAX)
    output.write(b"head", body)
    ((head, same),) = wire.calls
    assert (head, same is body, output.written_bytes) == (b"head", True, len(body) + 4)


def test_nothing_is_written_after_the_end_and_a_connection_is_closed_once():
    wire, output = made()
    output.write(b"the end")
    output.close()
    output.close()
    output.write(b"too late")
    assert wire.calls == [b"the end", "closed"]
    assert output.is_closing()


def test_nothing_is_written_after_a_disconnect():
    wire, output = made()
    wire.closing = True
    output.write(b"too late")
    assert (wire.calls, output.written_bytes, output.is_closing()) == ([], 0, True)


def test_other_attributes_are_those_of_the_transport():
    _, output = made()
    assert output.get_extra_info("peername") == "info of peername"
