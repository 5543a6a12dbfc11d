"""Secrets in a real HashiCorp Vault: both KV engines, a token, AppRole and Kubernetes, policies, new versions, a seal.

Skipped where there is no program `vault`, which no package index has.
"""

import base64
import json
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hvac
import pytest
import requests
from msgspec.structs import replace

from clarion.outbound.secrets.vault import VaultStore
from clarion.outbound.secrets.vault_server import VaultServer
from clarion.ports.secret_stores import SecretUnavailable
from clarion_lab.machine.ports import free_port

PROGRAM = shutil.which("vault")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(PROGRAM is None, reason="no program `vault`"),
]
ROOT_TOKEN = "root-of-the-test"
POLICY = 'path "kv/data/acme/*" { capabilities = ["read"] }\npath "old/engine/*" { capabilities = ["read"] }'


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    port = free_port()
    with (tmp_path_factory.mktemp("vault") / "log").open("wb") as log:
        server = subprocess.Popen(
            [PROGRAM, "server", "-dev", f"-dev-root-token-id={ROOT_TOKEN}", f"-dev-listen-address=127.0.0.1:{port}",
             "-dev-no-store-token"], stdout=log, stderr=log)  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="module")
def root(address):
    """Return an administrator of a Vault with two engines, three ways to log in and one policy."""
    client = hvac.Client(url=address, token=ROOT_TOKEN)
    deadline = time.monotonic() + 30
    while True:
        try:
            if client.sys.is_initialized() and not client.sys.is_sealed():
                break
        except requests.RequestException:
            assert time.monotonic() < deadline, "vault does not answer"
        time.sleep(0.1)
    client.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})
    client.sys.enable_secrets_engine("kv", path="old/engine", options={"version": "1"})
    client.sys.create_or_update_policy("clarion", POLICY)
    client.sys.enable_auth_method("approle")
    client.auth.approle.create_or_update_approle("clarion", token_policies=["clarion"], token_ttl="1h")
    client.secrets.kv.v2.create_or_update_secret("acme/mail", {"key": "s3cret", "number": 7}, mount_point="kv")
    client.secrets.kv.v2.create_or_update_secret("other/mail", {"key": "s3cret of another"}, mount_point="kv")
    client.secrets.kv.v1.create_or_update_secret("acme", {"key": "older"}, mount_point="old/engine")
    return client


@pytest.fixture
def access(root, address):
    """Return a token of the policy."""
    token = root.auth.token.create(policies=["clarion"])["auth"]["client_token"]
    return VaultServer(address, "", "token", "", token, "", "", "", "")


def refused(store, place, code):
    with pytest.raises(SecretUnavailable) as found:
        store.read(place, "")
    assert found.value.code == code
    assert "s3cret" not in str(found.value)


def test_both_engines_are_read_and_a_new_version_at_once(root, access):
    store = VaultStore(access)
    assert store.read("kv/acme/mail#key", "") == b"s3cret"
    assert store.read("old/engine/acme#key", "") == b"older"
    root.secrets.kv.v2.create_or_update_secret("acme/rotated", {"key": "one"}, mount_point="kv")
    assert store.read("kv/acme/rotated#key", "") == b"one"
    root.secrets.kv.v2.create_or_update_secret("acme/rotated", {"key": "two"}, mount_point="kv")
    assert store.read("kv/acme/rotated#key", "") == b"two"
    root.secrets.kv.v2.delete_latest_version_of_secret("acme/rotated", mount_point="kv")
    refused(store, "kv/acme/rotated#key", "secret_missing")


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("kv/acme/none#key", "secret_missing"),
        ("old/engine/none#key", "secret_missing"),
        ("kv/acme/mail#none", "secret_missing"),
        ("kv/acme/mail#number", "secret_not_text"),
        ("kv/other/mail#key", "secret_unavailable"),
        ("nowhere/acme#key", "secret_unavailable"),
    ],
)
def test_what_cannot_be_read_has_a_reason(access, place, code):
    refused(VaultStore(access), place, code)


def test_a_role_logs_in_and_again_when_its_token_has_ended(root, access):
    role = root.auth.approle.read_role_id("clarion")["data"]["role_id"]
    secret = root.auth.approle.generate_secret_id("clarion")["data"]["secret_id"]
    store = VaultStore(replace(access, auth="approle", token="", role=role, secret_id=secret))
    assert store.read("kv/acme/mail#key", "") == b"s3cret"
    root.auth.token.revoke(store._token)
    assert store.read("kv/acme/mail#key", "") == b"s3cret"
    wrong = VaultStore(replace(access, auth="approle", token="", role=role, secret_id="s3cret-wrong"))
    refused(wrong, "kv/acme/mail#key", "secret_unavailable")


def test_a_revoked_token_is_refused(root, access):
    store = VaultStore(access)
    assert store.read("kv/acme/mail#key", "") == b"s3cret"
    root.auth.token.revoke(access.token)
    refused(store, "kv/acme/mail#key", "secret_unavailable")


def test_a_service_account_of_kubernetes_logs_in(root, access, tmp_path):
    """Vault asks the cluster whether the token is genuine; the cluster here is one answer."""
    names = {"kubernetes.io/serviceaccount/namespace": "shop", "kubernetes.io/serviceaccount/service-account.name": "clarion",
             "kubernetes.io/serviceaccount/service-account.uid": "7", "iss": "kubernetes/serviceaccount"}  # fmt: skip
    parts = [{"alg": "RS256"}, names, {"signature": 1}]
    jwt = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    (tmp_path / "token").write_text(jwt + "\n")
    user = {"username": "system:serviceaccount:shop:clarion", "uid": "7", "groups": ["system:serviceaccounts"]}

    class Cluster(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status = {"authenticated": asked["spec"]["token"] == jwt, "user": user}
            answer = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
            self.send_response(201)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Cluster) as cluster:
        threading.Thread(target=cluster.serve_forever, args=(0.02,), daemon=True).start()
        root.sys.enable_auth_method("kubernetes")
        root.auth.kubernetes.configure(
            kubernetes_host=f"http://127.0.0.1:{cluster.server_address[1]}", disable_local_ca_jwt=True,
            token_reviewer_jwt=jwt,
        )  # fmt: skip
        root.auth.kubernetes.create_role(
            "clarion", bound_service_account_names=["clarion"], bound_service_account_namespaces=["shop"],
            policies=["clarion"],
        )  # fmt: skip
        kubernetes = replace(access, auth="kubernetes", token="", role="clarion", jwt_file=str(tmp_path / "token"))
        assert VaultStore(kubernetes).read("kv/acme/mail#key", "") == b"s3cret"
        refused(VaultStore(replace(kubernetes, role="another")), "kv/acme/mail#key", "secret_unavailable")
        cluster.shutdown()


def test_a_sealed_vault_may_answer_later(root, access):
    """Runs last: a sealed Vault stays so."""
    store = VaultStore(access)
    store.read("kv/acme/mail#key", "")
    root.sys.seal()
    with pytest.raises(SecretUnavailable) as found:
        store.read("kv/acme/mail#key", "")
    assert not found.value.lasting
