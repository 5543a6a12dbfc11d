"""A webhook endpoint of a third party: responds as configured, and records the calls."""

import contextlib
import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"


class Call(NamedTuple):
    """One POST as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`answers` maps a path to the statuses (and headers) of its next answers; 204 when there are none. Answers of the
    paths in `echoes` are the headers of the call, as JSON."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = f"{scheme}://{HOST}:{port}"
        self.calls: list[Call] = []
        self.connections = 0
        self.echoes: set[str] = set()
        self.answers: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)

    def at(self, path: str) -> list[Call]:
        """Return the calls of a path so far."""
        return [call for call in self.calls if call.path == path]


@contextlib.contextmanager
def receiving(certificate: Path | None = None, key: Path | None = None) -> Iterator[Receiver]:
    """Listen on loopback, over TLS when there is a certificate."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            receiver.calls.append(Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            queued = receiver.answers[self.path]
            echo = json.dumps(receiver.calls[-1].headers).encode() if self.path in receiver.echoes else b""
            status, headers = queued.pop(0) if queued else (200 if echo else 204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(echo)))
            self.end_headers()
            self.wfile.write(echo)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def verify_request(self, *_: object) -> bool:
            receiver.connections += 1
            return True

        def handle_error(self, *_: object) -> None:
            pass

    with Server((HOST, 0), Handler) as server:
        if certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(certificate, key)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver = Receiver(server.server_address[1], "http" if certificate is None else "https")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
