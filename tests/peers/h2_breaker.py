"""An HTTP/2 server that breaks streams and connections as the path requests. It runs in the environment of peers.

`/rst/<code>/<n>` resets the stream of the first `n` calls, `/goaway/<how>/<n>` ends their connection: `unseen` states that none of its
streams was handled, `after` comes after the response, and `amid` comes first: streams up to that one get a response, later ones
are ignored, as in RFC 9113 6.8. Later calls get 200. `/counts` returns the number of handled calls per path.
"""

import asyncio
import json
import ssl
import sys
from collections import Counter
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamEnded
from hyperframe.frame import GoAwayFrame

COUNTS: Counter[str] = Counter()


class Connection(asyncio.Protocol):
    """One connection; what is sent waits in `h2` until `_flush`."""

    def connection_made(self, transport: Any) -> None:
        """Send the connection preface."""
        self._transport, self._paths, self._last = transport, dict[int, str](), sys.maxsize
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Read events and respond to those that end a request."""
        for event in self._h2.receive_data(data):
            if isinstance(event, RequestReceived):
                self._paths[event.stream_id] = dict(event.headers)[":path"]
            elif isinstance(event, StreamEnded) and event.stream_id <= self._last:
                self._act(event.stream_id, self._paths[event.stream_id])
        self._flush()

    def _act(self, stream: int, path: str) -> None:
        COUNTS[path] += 1
        match path.split("/")[1:]:
            case ["rst", code, times] if COUNTS[path] <= int(times):
                self._h2.reset_stream(stream, ErrorCodes[code])
            case ["goaway", "unseen", times] if COUNTS[path] <= int(times):
                self._h2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=0)
                self._close()
            case ["goaway", "after", times] if COUNTS[path] <= int(times):
                self._answer(stream, {})
                self._h2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=stream)
                self._close()
            case ["goaway", "amid", times] if COUNTS[path] <= int(times):
                # `h2` sends no response after a GOAWAY of its own.
                self._last = max(self._paths)
                self._transport.write(GoAwayFrame(0, last_stream_id=self._last).serialize())
                self._answer(stream, {})
            case ["counts"]:
                self._answer(stream, COUNTS)
            case _:
                self._answer(stream, {})

    def _answer(self, stream: int, body: Any) -> None:
        self._h2.send_headers(stream, [(":status", "200")])
        self._h2.send_data(stream, json.dumps(body).encode(), end_stream=True)

    def _close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())


async def main(certificate: str, key: str) -> None:
    """Serve until the process ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, ssl=context)
    sys.stdout.write(f"Running on https://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
