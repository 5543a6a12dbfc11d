"""Documents as files that people keep: TOML, with the fields that its author gave and nothing that the server adds."""

import tomllib
from typing import Any, TypeVar

import msgspec

from clarion.domain.errors import Malformed
from clarion.domain.toml_text import document as toml
from clarion.ports.documents import Document
from clarion.ports.web import invalid_field
from clarion.resources.declaration import Resource, defaults_of

B = TypeVar("B")


def path_of(resource: Resource[Any], key: str) -> str:
    """Return the path of the file of a document, such as `widgets/blue.toml`."""
    return f"{resource.collection}.toml" if resource.only else f"{resource.collection}/{key}.toml"


def written(resource: Resource[Any], document: Document) -> str:
    """Return the text of a document's file. Equal bodies result in the same text."""
    body = msgspec.json.decode(document.body, type=resource.body)
    return toml(_given(msgspec.to_builtins(body), msgspec.to_builtins(defaults_of(resource.body))))


def read(resource: Resource[B], text: str) -> B:
    """Return the body in a file. Raises `Malformed`, and `InvalidField` naming the field."""
    try:
        return msgspec.convert(tomllib.loads(text), resource.body)
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the file is not valid TOML: {str(error)[:200]}") from None


def _given(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are not as they are by default, without nulls, which TOML does not have."""
    given = {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}
    return {name: _without_nulls(value) for name, value in given.items() if value is not None}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list | tuple) else value
