"""The simulator without a socket: converts a vendor module's request and the played vendor's response."""

from urllib.parse import urlsplit

from clarion.domain.message import HttpRequest, HttpResponse
from clarion_lab.simulate.http2 import Reply, Request


def call_of(request: HttpRequest) -> Request:
    """Return a request in the form in which it arrives over HTTP/2."""
    url = urlsplit(request.url)
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    headers = {":method": request.method, ":scheme": url.scheme, ":authority": url.netloc, ":path": path}
    headers |= {name.lower(): value for name, value in request.headers.items()}
    return Request(1, headers, request.body)


def answered(reply: Reply) -> HttpResponse:
    """Return a response in the form in which it arrives; only for one with the action `answer`."""
    headers = {"content-type": reply.content_type, **{name.lower(): value for name, value in reply.headers}}
    if reply.retry_after_s is not None:
        headers["retry-after"] = str(reply.retry_after_s)
    return HttpResponse(reply.status, headers, reply.body)
