"""The API is what it says of itself: whatever schemathesis makes of the description is answered so."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import openapi
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from netevd.http.openapi import make_document
from tests.boundary.rig import DEADLINE, wait_for
from tests.http.rig import PORT, add_pair, ask, connect, connect_tcp
from tests.processes.rig import RECORD, Daemon, ip

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance, negative_data_rejection,
]  # fmt: skip

EXAMPLES = 12
"""Requests of each kind, right and wrong, that are made of each operation."""


def make_strict() -> dict[str, Any]:
    """Return the document without the answer that stands for any other."""
    document = copy.deepcopy(make_document())
    for path in document["paths"].values():
        for operation in path.values():
            del operation["responses"]["default"]
    return document


OPERATIONS = [
    (path, method) for path, each in sorted(make_document()["paths"].items()) for method in each
]


def test_the_document_is_valid_and_the_daemon_s_own(client: httpx.Client) -> None:
    """OpenAPI 3.1, and the same in a worker that may read little more than its own code."""
    told = ask(client, "/api/v1/openapi.json")
    validate(told)
    assert told == json.loads(json.dumps(make_document()))


@pytest.fixture(scope="module")
def _document() -> dict[str, Any]:
    return make_strict()


def test_whatever_is_asked_is_answered_as_described(
    make_daemon: Callable[..., Daemon], _document: dict[str, Any]
) -> None:
    """No 500, no undocumented status, type, header or field; what is wrong is refused."""
    daemon = make_daemon()
    daemon.script("address-added", RECORD)
    add_pair()
    daemon.start()
    ip("addr add 10.1.1.1/24 dev eth0")
    daemon.wait_event("eth0", "routable")
    schema = openapi.from_dict(_document)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        modes = [GenerationMode.POSITIVE]
        parameters = operation.definition.raw.get("parameters", ())
        if any(each["in"] == "query" and can_be_wrong(each["schema"]) for each in parameters):
            modes.append(GenerationMode.NEGATIVE)
        for mode in modes:
            try_operation(operation.as_strategy(generation_mode=mode))
        tried += 1
    assert tried == len(OPERATIONS)
    with connect_tcp() as client:
        assert ask(client, "/health")["status"] == "healthy"
    daemon.stop()
    assert [entry for entry in daemon.log if entry["level"] == "error"] == []


def can_be_wrong(schema: dict[str, Any]) -> bool:
    """Tell whether there is a text that a parameter's schema does not allow."""
    return schema.get("type") == "integer" or "enum" in schema


def try_operation(cases: st.SearchStrategy[Any]) -> None:
    """Send some requests of one operation and check every answer."""

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases)
    def send(case: Any) -> None:
        if case.operation.path == "/api/v1/events":
            case.headers = {
                **(case.headers or {}),
                "Accept": "application/json",
            }  # or it never ends
        answer = case.call(base_url=f"http://127.0.0.1:{PORT}", timeout=DEADLINE)
        case.validate_response(answer, checks=CHECKS)

    send()


def test_a_script_that_failed_and_a_bad_path_are_no_500(
    served: Daemon, client: httpx.Client
) -> None:
    """Names with quotes, slashes, nulls and other alphabets are not found, and nothing worse."""
    for name in ("%00", "%2F", "..%2Fx", "%FF", "a%22b", "\u200d", "%E2%80%AE", "x" * 900):
        answer = client.get(f"http://localhost/api/v1/interfaces/{name}")
        assert answer.status_code in {400, 404}, (name, answer.status_code)
    with connect(served) as other:
        wait_for(lambda: ask(other, "/health")["status"] == "healthy" or None, "health")
