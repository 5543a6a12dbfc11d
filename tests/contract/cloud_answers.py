"""What the secret managers of clouds answer, as their documentation has it, given to each cloud's own library in the place
of the network.

AWS's is also held against moto: tests/peers/test_aws_secrets.py. Of Google's and Azure's no package index has an emulator.
"""

import base64
import io
import json
from types import SimpleNamespace

import requests
from azure.core.credentials import AccessToken
from botocore.awsrequest import AWSResponse
from google.oauth2.credentials import Credentials
from requests.adapters import BaseAdapter

from clarion.domain.limits_processes import CLOUD_CALL_S_MAX
from clarion.outbound.secrets.aws import AwsAccess, AwsStore
from clarion.outbound.secrets.azure import AzureAccess, AzureStore, transport_over
from clarion.outbound.secrets.gcp import GcpAccess, GcpStore

TOKEN = "t0ken-of-the-installation"
CHALLENGE = 'Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"'


class Cloud:
    """A cloud that holds secrets by name. `refusal` is a status and a code that every call gets; `fault` is raised."""

    def __init__(self, secrets):
        self.secrets, self.calls = dict(secrets), []
        self.refusal = self.fault = None

    def answer(self, request):
        """Return status, header fields and body of a response."""
        self.calls.append(request)
        if self.fault is not None:
            raise self.fault
        if self.refusal is not None:
            status, code = self.refusal
            return status, {"Location": "https://elsewhere.example/"}, self.error(status, code)
        return self.found(request)


class Aws(Cloud):
    """AWS Secrets Manager, API reference, GetSecretValue."""

    prefix, missing, refused = "", (400, "ResourceNotFoundException"), (400, "AccessDeniedException")

    def error(self, status, code):
        return {"__type": code, "Message": "with the s3cret in it"}

    def found(self, request):
        assert request.headers["X-Amz-Target"] == b"secretsmanager.GetSecretValue"
        name = json.loads(request.body)["SecretId"]
        if name not in self.secrets:
            return 400, {}, self.error(*self.missing)
        value = self.secrets[name]
        held = (
            {"SecretBinary": base64.b64encode(value).decode()} if isinstance(value, bytes) else {"SecretString": value}
        )
        return 200, {}, {"ARN": f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}-a1b2c3", "Name": name,
                         "VersionId": "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE", "VersionStages": ["AWSCURRENT"],
                         "CreatedDate": 1.523477145713e9, **held}  # fmt: skip

    def store(self):
        store = AwsStore(AwsAccess("eu-central-1", ""))
        store._session.set_credentials("AKIA" + "0" * 16, TOKEN)
        store._session.register("before-send.secrets-manager", self._send)
        return store

    def _send(self, request, **_):
        status, fields, body = self.answer(request)
        raw = io.BytesIO(json.dumps(body).encode())
        raw.stream = lambda **_: iter([raw.read()])
        return AWSResponse(request.url, status, fields, raw)


class _Adapter(BaseAdapter):
    """Answers the calls of `requests`."""

    def __init__(self, cloud):
        super().__init__()
        self._cloud = cloud

    def send(self, request, timeout=None, **_):
        assert timeout in (CLOUD_CALL_S_MAX, (CLOUD_CALL_S_MAX, CLOUD_CALL_S_MAX))
        status, fields, body = self._cloud.answer(request)
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response.headers.update({"content-type": "application/json", **fields})
        response.raw = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        return response

    def close(self):
        pass


class Gcp(Cloud):
    """Google Secret Manager, REST reference, projects.secrets.versions.access."""

    prefix, missing, refused = "projects/shop/secrets/", (404, "NOT_FOUND"), (403, "PERMISSION_DENIED")

    def error(self, status, code):
        return {"error": {"code": status, "message": "with the s3cret in it", "status": code}}

    def found(self, request):
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        name, _, version = request.path_url.removeprefix("/v1/").partition("/versions/")
        if name.removeprefix(self.prefix) not in self.secrets:
            return 404, {}, self.error(*self.missing)
        value = self.secrets[name.removeprefix(self.prefix)]
        data = base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        payload = {"data": data, "dataCrc32c": "1"} if data else {}
        return 200, {}, {"name": f"{name}/versions/{version.removesuffix(':access')}", "payload": payload}

    def store(self):
        store = GcpStore(GcpAccess("https://secretmanager.googleapis.com"))
        store._credentials = Credentials(TOKEN)
        self.mount(store)
        return store

    def mount(self, store):
        """Answer the calls that a store makes in this thread."""
        store._get_session().mount("https://", _Adapter(self))


class Azure(Cloud):
    """Azure Key Vault, REST reference, Get Secret; "Authentication, requests and responses" for the challenge."""

    prefix, missing, refused = "shop/", (404, "SecretNotFound"), (403, "Forbidden")
    challenge = CHALLENGE

    def error(self, status, code):
        return {"error": {"code": code, "message": "with the s3cret in it"}}

    def found(self, request):
        if "authorization" not in request.headers:
            return 401, {"www-authenticate": self.challenge}, self.error(401, "Unauthorized")
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        host, (_, kind, name, *_) = request.url.split("/")[2], request.path_url.partition("?")[0].split("/")
        assert (host, kind) == ("shop.vault.azure.net", "secrets")
        if name not in self.secrets:
            return 404, {}, self.error(*self.missing)
        return 200, {}, {"value": self.secrets[name], "id": f"https://{host}/secrets/{name}/4387e9f3d6e14c459867679a90fd0f79",
                         "attributes": {"enabled": True, "created": 1493938410, "updated": 1493938410}}  # fmt: skip

    def store(self):
        store = AzureStore(AzureAccess("vault.azure.net"))
        store._credential = SimpleNamespace(get_token=lambda *_, **__: AccessToken(TOKEN, 2**33))
        self.mount(store)
        return store

    def mount(self, store):
        """Answer the calls that a store makes in this thread."""
        session = requests.Session()
        session.mount("https://", _Adapter(self))
        store._own.transport = transport_over(session)
