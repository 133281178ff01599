"""
The OpenAPI document: made of the endpoints and of the types of their answers, when somebody asks.

Belongs here: how the table becomes a document. Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from itertools import pairwise
from typing import Any, Final, TypeAlias

import msgspec

from netevd import __version__
from netevd.http.endpoints import (
    ENDPOINTS,
    JSON,
    LIVE,
    OTHERS,
    PATCH,
    SSE,
    YAML,
    Endpoint,
    Parameter,
)
from netevd.http.problem import MEDIA_TYPE
from netevd.model import answers, objects
from netevd.model.answers import ProblemObject
from netevd.model.objects import (
    DecidedObject,
    DescribedEventObject,
    GapObject,
    RunObject,
    SubscribedObject,
)

_Node: TypeAlias = dict[str, Any]

PATH: Final = "/api/v1/openapi.json"

MESSAGES: Final = {
    "event": DescribedEventObject,
    "verdict": DecidedObject,
    "run": RunObject,
    "gap": GapObject,
    "subscribed": SubscribedObject,
}
"""What is in `data` of each kind of message of the stream; the last one is for WebSockets alone."""

COMMON: Final = (400, 401, 403, 406, 413, 421, 429, 500)
"""Statuses of problems that every path has."""

_PLACE: Final = "#/components/schemas/{name}"
_IN_PATH: Final = re.compile(r"<(\w+)>")
_TIMES: Final = frozenset({"time", "loaded"})
"""Fields that are RFC 3339 times, in whatever object."""

_STREAM: Final = (
    "Server-sent events. `event` names the kind of a message, `data` is its object: event"
    " (DescribedEvent, the only one with an `id`, its sequence number), verdict (Decided), run (Run),"
    " gap (Gap)."
)
_ABOUT: Final = (
    "What netevd knows, tells and does. Problems are RFC 9457 documents, described in"
    " docs/reference/http.md. Over the unix socket everything is allowed, over TCP what a token or a"
    " certificate allows. Fields may be added, and are never removed within v1."
)


@lru_cache(maxsize=1)
def encode_document() -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(make_document())


def make_document() -> _Node:
    """Return the document."""
    listed = (*ENDPOINTS, *OTHERS, LIVE)
    types = [each.answer for each in listed if each.answer is not None]
    types += [ProblemObject, *MESSAGES.values()]
    named = list(dict.fromkeys(types))
    references, components = msgspec.json.schema_components(
        named, schema_hook=_describe_other, ref_template=_PLACE
    )
    schemas = dict(zip(named, references, strict=True))
    meanings = _read_meanings()
    paths: dict[str, _Node] = {}
    for each in listed:
        path = _IN_PATH.sub(r"{\1}", each.path)
        paths.setdefault(path, {})[each.method.lower()] = _describe(each, schemas)
    document: _Node = {
        "openapi": "3.1.0",
        "info": {
            "title": "netevd",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": {
                name: _mend(schema, meanings.get(name, {})) for name, schema in components.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    renamed: _Node = _rename(document)
    return renamed


def _describe(endpoint: Endpoint, schemas: dict[Any, _Node]) -> _Node:
    operation: _Node = {
        "operationId": endpoint.name,
        "summary": endpoint.summary.partition(". ")[0].rstrip("."),
        "description": endpoint.summary,
        "tags": list(endpoint.tags),
        "responses": dict(_describe_answers(endpoint, schemas)),
    }
    parameters = [_describe_parameter(endpoint, each) for each in endpoint.parameters]
    parameters += _LAST_EVENT_ID if endpoint.streams else []
    if endpoint.body:
        content = {kind: {"schema": {"type": _BODIES[kind]}} for kind in endpoint.body}
        operation["requestBody"] = {"required": True, "content": content}
        parameters.append(_IF_MATCH)
    if parameters:
        operation["parameters"] = parameters
    return operation


_BODIES: Final = {YAML: "string", PATCH: "object"}
"""What a body of a media type is."""

_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "description": "ETag of what is to be changed; needed for all but a dry run.",
    "schema": {"type": "string", "maxLength": 256},
}

_LAST_EVENT_ID: Final = [
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Sequence number of the last event that was read; browsers send it.",
        "schema": {"type": "string", "maxLength": 64},
        "example": "1",
    }
]


def _describe_answers(endpoint: Endpoint, schemas: dict[Any, _Node]) -> Iterable[tuple[str, _Node]]:
    headers = {name: {"schema": {"type": "string"}} for name in endpoint.headers}
    content: _Node = {}
    if endpoint.answer is not None:
        content[JSON] = {"schema": schemas[endpoint.answer]}
    for kind in endpoint.media:
        content[kind] = {"schema": {"type": "string"}}
    if endpoint.streams:
        content[SSE] = {"schema": {"type": "string", "description": _STREAM}}
    for status in endpoint.statuses:
        answer: _Node = {"description": HTTPStatus(status).phrase}
        if content:
            answer["content"] = content
        if headers:
            answer["headers"] = headers
        yield str(status), answer
    if "ETag" in endpoint.headers:
        yield "304", {"description": "Not Modified", "headers": headers}
    problem = {MEDIA_TYPE: {"schema": schemas[ProblemObject]}}
    for status in sorted({*COMMON, *endpoint.problems}):
        if status not in endpoint.statuses:
            yield str(status), {"description": HTTPStatus(status).phrase, "content": problem}
    text = "Refused before anybody looked at what it wants: too large, too slow, too many, no HTTP"
    yield "default", {"description": text, "content": problem}


def _describe_parameter(endpoint: Endpoint, parameter: Parameter) -> _Node:
    schema = _describe_kind(parameter)
    in_path = f"<{parameter.name}>" in endpoint.path
    found: _Node = {
        "name": parameter.name,
        "in": "path" if in_path else "query",
        "description": parameter.description,
        "schema": {"type": "array", "items": schema} if parameter.many else schema,
    }
    if parameter.many:
        found["explode"] = True
    if parameter.required:
        found["required"] = True
    if parameter.example is not None:
        found["example"] = [parameter.example] if parameter.many else parameter.example
    return found


def _describe_kind(parameter: Parameter) -> _Node:
    kind = parameter.kind
    if kind is int:
        return {"type": "integer", "minimum": parameter.minimum, "maximum": parameter.maximum}
    if issubclass(kind, StrEnum):
        return {"enum": [str(each) for each in kind]}
    return {"type": "string"}


def _describe_other(kind: type) -> _Node:
    """Return the schema of whatever JSON has."""
    assert kind is object, kind
    return {"description": "Whatever JSON has."}


def _read_meanings() -> dict[str, dict[str, str]]:
    """Return what stands below each field of each object, by name of its class."""
    found: dict[str, dict[str, str]] = {}
    for module in (objects, answers):
        for node in ast.parse(inspect.getsource(module)).body:
            if not isinstance(node, ast.ClassDef):
                continue
            meanings: dict[str, str] = {}
            for base in node.bases:
                meanings |= found.get(ast.unparse(base), {})
            for field, text in pairwise(node.body):
                match field, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(meaning))),
                    ):
                        meanings[name] = inspect.cleandoc(meaning).replace("\n", " ")
            found[node.name] = meanings
    return found


def _mend(schema: _Node, meanings: dict[str, str]) -> _Node:
    """Return a schema without what Python has to say, and with the meaning of each field."""
    schema.pop("title", None)
    for name, meaning in meanings.items():
        schema["properties"][name]["description"] = meaning
    for name, field in schema.get("properties", {}).items():
        if name in _TIMES:
            for each in (field, *field.get("anyOf", ())):
                if each.get("type") == "string":
                    each["format"] = "date-time"
    return schema


def _rename(node: Any) -> Any:
    """Return a document whose objects are called as users call them, without the ending of types."""
    if isinstance(node, dict):
        return {
            key.removesuffix("Object"): (
                value.removesuffix("Object") if key == "$ref" else _rename(value)
            )
            for key, value in node.items()
        }
    return [_rename(each) for each in node] if isinstance(node, list) else node
