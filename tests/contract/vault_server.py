"""A small Vault over HTTP: KV of both versions, tokens and AppRole, with the answers that Vault's API documents.

tests/peers/test_vault.py holds the same against a real server.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class VaultState:
    """What the server holds: secrets by their path with the mount, valid tokens, and the calls it got."""

    def __init__(self) -> None:
        self.mounts = {"kv/": "2", "old/engine/": "1"}
        self.secrets: dict[str, dict[str, object]] = {}
        self.tokens = {"root"}
        self.secret_ids = {"role-1": "secret-1"}
        self.calls: list[str] = []
        self.logins = 0
        self.status = 0
        self.address = ""

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, dict[str, object]]:
        """Return status and body of a call."""
        self.calls.append(path)
        if self.status:
            return self.status, {"errors": ["with the s3cret in it"]}
        if (method, path) == ("POST", "auth/approle/login"):
            return self._log_in(json.loads(body))
        if token not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        inner = path.removeprefix("sys/internal/ui/mounts/")
        mount = next((name for name in self.mounts if inner.startswith(name)), None)
        if mount is None:
            return 403, {"errors": ["preflight capability check returned 403"]}
        version = self.mounts[mount]
        if inner != path:
            return 200, {"data": {"type": "kv", "path": mount, "options": {"version": version}}}
        name = path.removeprefix(mount)
        found = self.secrets.get(mount + (name.removeprefix("data/") if version == "2" else name))
        if found is None:
            return 404, {"errors": []}
        return 200, {"data": {"data": found, "metadata": {"version": 1}} if version == "2" else found}

    def _log_in(self, given: dict[str, str]) -> tuple[int, dict[str, object]]:
        if self.secret_ids.get(given["role_id"]) != given.get("secret_id"):
            return 400, {"errors": ["invalid role or secret ID"]}
        self.logins += 1
        token = f"token-{self.logins}"
        self.tokens.add(token)
        return 200, {"auth": {"client_token": token, "lease_duration": 60, "renewable": True}}


@contextlib.contextmanager
def serving() -> Iterator[VaultState]:
    """Serve on loopback."""
    state = VaultState()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            path = self.path.removeprefix("/v1/").partition("?")[0]
            status, answer = state.answer(self.command, path, self.headers["x-vault-token"] or "", body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _do  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
