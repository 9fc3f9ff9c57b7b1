"""The OpenAPI description: operations, parameters and fields are described, with valid examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from answers import Answers
from conftest import EnvironmentOf, Render

PROGRAM = """
import json
from my_service.config import Settings
from my_service.main import create_app
print(json.dumps(create_app(Settings(environment="test", log_level="ERROR")).openapi()))
"""

Node = dict[str, Any]
"""A part of the description."""


@pytest.fixture(params=[{}, {"auth": "jwt"}], ids=["default", "jwt"])
def openapi(request: pytest.FixtureRequest, render: Render, environment: EnvironmentOf) -> Node:
    answers: Answers = request.param
    project = render(**answers)
    printed = environment(project).script(project, "-c", PROGRAM).stdout
    described: Node = json.loads(printed.splitlines()[-1])
    return described


def test_everything_has_a_description_and_a_valid_example(openapi: Node) -> None:
    assert list(problems(openapi)) == []


def test_missing_descriptions_and_wrong_examples_are_found(openapi: Node) -> None:
    operation = openapi["paths"]["/api/v1/items"]["get"]
    operation["description"] = ""
    operation["responses"]["422"]["content"]["application/problem+json"]["example"]["status"] = 409
    limit, after = operation["parameters"][:2]
    limit["description"] = ""
    after["schema"] = {"type": "integer", "examples": ["one"]}
    fields = openapi["components"]["schemas"]["ItemRead"]["properties"]
    fields["created_at"]["examples"] = ["yesterday"]
    del fields["name"]["examples"]
    assert list(problems(openapi)) == [
        "get /api/v1/items: no description",
        "get /api/v1/items limit: no description",
        "get /api/v1/items after: the example 'one' is not valid",
        "get /api/v1/items 422: no example with this status",
        "ItemRead.name: no example",
        "ItemRead.created_at: the example 'yesterday' is not valid",
    ]


def problems(openapi: Node) -> Iterator[str]:
    components = openapi["components"]
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            yield from missing_texts(name, operation, "summary", "description")
            for parameter in operation.get("parameters", []):
                yield from missing_texts(f"{name} {parameter['name']}", parameter, "description")
                yield from example_problems(f"{name} {parameter['name']}", parameter["schema"], components)
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    if content["schema"] == {"$ref": "#/components/schemas/Problem"}:
                        yield from error_problems(f"{name} {status}", int(status), content, components)
    for name, schema in components["schemas"].items():
        yield from missing_texts(name, schema, "description")
        for field, value in schema.get("properties", {}).items():
            yield from missing_texts(f"{name}.{field}", value, "description")
            yield from example_problems(f"{name}.{field}", value, components)
    for name, scheme in components.get("securitySchemes", {}).items():
        yield from missing_texts(name, scheme, "description")


def error_problems(name: str, status: int, content: Node, components: Node) -> Iterator[str]:
    example = content.get("example", {})
    if example.get("status") != status:
        yield f"{name}: no example with this status"
    yield from example_problems(name, {**content["schema"], "examples": [example]}, components)


def missing_texts(name: str, node: Node, *texts: str) -> Iterator[str]:
    yield from (f"{name}: no {text}" for text in texts if not node.get(text))


def example_problems(name: str, schema: Node, components: Node) -> Iterator[str]:
    examples = schema.get("examples", [])
    # Other schemas have examples in their fields. A constant or a choice shows its values.
    if not examples and not {"const", "enum"} & schema.keys() and "$ref" not in json.dumps(schema):
        yield f"{name}: no example"
    validator = Draft202012Validator({**schema, "components": components}, validate_formats=True)
    yield from (
        f"{name}: the example {example!r} is not valid" for example in examples if not validator.is_valid(example)
    )
