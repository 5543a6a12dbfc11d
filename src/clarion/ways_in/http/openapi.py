"""The OpenAPI 3.1 document and a page that shows it, both generated from the route table."""

import re
from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from typing import Any

import msgspec

from clarion import __version__
from clarion.domain.cookies import SESSION_COOKIE
from clarion.domain.limits import IDEMPOTENCY_KEY_CHARS_MAX
from clarion.domain.permissions import OF_MEMBER, OF_USER, PUBLIC, sets_with
from clarion.ports.web import JSON, Route
from clarion.ways_in.http.problems import Problem

_LINES = "application/x-ndjson"
_PARAMETER = re.compile(r"\{(\w+)\}")
_KEY_SCHEMA = {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX}
_ETAG = {"ETag": {"description": "The version", "schema": {"type": "string"}}}
_CONDITIONS = [
    {"name": name, "in": "header", "required": False, "description": about, "schema": {"type": "string"}}
    for name, about in (
        ("If-Match", "The ETag of the version that the change is based on, or `*` for any"),
        ("If-None-Match", "`*`: only if there is none yet"),
    )
]
_VERSION_REFUSALS = {
    "409": "Others refer to it, or it conflicts with what is stored",
    "412": "It is not the version that the request is based on",
}
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
h2{margin-top:2rem;text-transform:capitalize}summary{cursor:pointer;padding:.3rem 0}pre{background:#f4f6f9;padding:.8rem;
overflow:auto;border-radius:6px}b{display:inline-block;min-width:4.5rem;color:#2456c4}small{color:#667}
@media(prefers-color-scheme:dark){body{background:#14181f;color:#dde3ec}pre{background:#1e242e}b{color:#8ab0ff}}"""


def document(routes: Sequence[Route]) -> bytes:
    """Return the OpenAPI document as JSON."""
    types = [t for route in routes for t in (route.body, route.reply) if t is not None]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template="#/components/schemas/{name}")
    by_type = {id(t): schema for t, schema in zip([*types, Problem], schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Clarion", "version": __version__},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "key": {"type": "http", "scheme": "bearer"},
                    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
                },
            },
        }
    )


def _operation(route: Route, by_type: dict[int, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    parameters += [
        {"name": query.name, "in": "query", "description": query.about, "schema": {"type": query.kind}}
        for query in route.queries
    ]
    if route.idempotency_key:
        about = "Makes the request safe to repeat"
        parameters.append({"name": "Idempotency-Key", "in": "header", "description": about, "schema": _KEY_SCHEMA})
    reply: dict[str, Any] = {"description": "Done"}
    if route.reply is not None:
        reply["content"] = {"application/json": {"schema": by_type[id(route.reply)]}}
    if route.versioned:
        parameters += [] if route.method == "GET" else _CONDITIONS
        if route.status != HTTPStatus.NO_CONTENT:
            reply["headers"] = _ETAG
    operation: dict[str, Any] = {
        "operationId": f"{route.method} {route.path}",
        "summary": route.summary,
        "tags": [route.tag or "about"],
        "parameters": parameters,
        "responses": {
            str(route.status): reply,
            "default": {
                "description": "A problem document",
                "content": {"application/problem+json": {"schema": by_type[id(Problem)]}},
            },
        },
    }
    if route.versioned and route.method != "GET":
        operation["responses"] |= {code: {"description": about} for code, about in _VERSION_REFUSALS.items()}
    if route.description:
        operation["description"] = route.description
    if route.permission != PUBLIC:
        operation["security"] = _security(route.permission)
        operation["x-permission"] = route.permission
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.optional,
            "content": {media: _content(route, by_type) for media in route.media},
        }
    elif route.raw and route.method != "GET":
        operation["requestBody"] = {"required": True, "content": {"*/*": {"schema": {}}}}
    elif route.stream:
        kinds = (_LINES,) if route.media == (JSON,) else route.media
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": {}} for kind in kinds}}
    return operation


def _security(permission: str) -> list[dict[str, list[str]]]:
    """Return which credentials open a route: a key of one of the scopes with the permission, or a session."""
    by_key = [{"key": [name]} for name in sets_with(permission) if name not in ("session", "member")]
    by_session: list[dict[str, list[str]]] = [{"session": []}] if permission not in OF_USER - OF_MEMBER else []
    return by_key + by_session


def _content(route: Route, by_type: dict[int, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": by_type[id(route.body)]}
    if route.example is not None:
        content["example"] = msgspec.to_builtins(route.example)
    return content


def page(routes: Sequence[Route]) -> bytes:
    """Return the description as one HTML page without external resources."""
    groups: dict[str, list[Route]] = {}
    for route in routes:
        groups.setdefault(route.tag or "about", []).append(route)
    sections = "".join(
        f"<h2>{escape(tag)}</h2>" + "".join(_entry(route) for route in members) for tag, members in groups.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Clarion API</title><style>{_STYLE}</style><h1>Clarion API</h1>"
        f'<p>Machine-readable: <a href="/openapi.json">/openapi.json</a>. Version {escape(__version__)}.</p>{sections}'
    ).encode()


def _entry(route: Route) -> str:
    scopes = "</code> or <code>".join(map(escape, sets_with(route.permission))) or "none"
    details = [f"<p>Scope: <code>{scopes}</code>; permission: <code>{escape(route.permission or 'none')}</code></p>"]
    details += [f"<p><code>?{escape(q.name)}</code> {escape(q.about)}</p>" for q in route.queries]
    for label, kind in (("Body", route.body), ("Answer", route.reply)):
        if kind is not None:
            schema = msgspec.json.format(msgspec.json.encode(msgspec.json.schema(kind)), indent=2).decode()
            details.append(f"<p>{label}</p><pre>{escape(schema)}</pre>")
    return (
        f"<details><summary><b>{route.method}</b> <code>{escape(route.path)}</code> "
        f"<small>{escape(route.summary)}</small></summary>{''.join(details)}</details>"
    )
