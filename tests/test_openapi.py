"""The OpenAPI description: operations, parameters and fields are described, with valid examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from answers import Answers
from conftest import EnvironmentOf, Render

PROGRAM = """
import json
from my_service.config import Settings
from my_service.main import create_app
print(json.dumps(create_app(Settings(environment="test", log_level="ERROR")).openapi()))
"""


@pytest.fixture(params=[{}, {"auth": "jwt"}], ids=["default", "jwt"])
def openapi(request: pytest.FixtureRequest, render: Render, environment: EnvironmentOf) -> dict[str, Any]:
    answers: Answers = request.param
    project = render(**answers)
    printed = environment(project).script(project, "-c", PROGRAM).stdout
    described: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return described


def test_everything_has_a_description_and_a_valid_example(openapi: dict[str, Any]) -> None:
    assert [problem for name, part in parts(openapi) for problem in problems(name, part, openapi)] == []


def test_missing_descriptions_and_wrong_examples_are_found(openapi: dict[str, Any]) -> None:
    operation = openapi["paths"]["/api/v1/items"]["get"]
    operation["description"] = ""
    limit, after = operation["parameters"][:2]
    limit["description"] = ""
    after["schema"] = {"type": "integer", "examples": ["one"]}
    found = [problem for name, part in parts(openapi) for problem in problems(name, part, openapi)]
    assert found == [
        "get /api/v1/items: no description",
        "get /api/v1/items limit: no description",
        "get /api/v1/items after: the example 'one' is not valid",
    ]


def parts(openapi: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            yield f"{method} {path}", {**operation, "examples": [], "example_elsewhere": True}
            for parameter in operation.get("parameters", []):
                yield f"{method} {path} {parameter['name']}", {**parameter["schema"], "description": "", **parameter}
    for name, schema in openapi["components"]["schemas"].items():
        yield name, {**schema, "example_elsewhere": True}
        for field, value in schema.get("properties", {}).items():
            yield f"{name}.{field}", value


def problems(name: str, part: dict[str, Any], openapi: dict[str, Any]) -> list[str]:
    found = [] if part.get("description") else [f"{name}: no description"]
    # Schemas have their examples in the fields. Constants, defaults and other schemas need none.
    needless = {"example_elsewhere", "const", "enum", "default", "$ref", "items", "anyOf"} & part.keys()
    examples = part.get("examples", [])
    if not examples and not needless:
        found.append(f"{name}: no example")
    schema = {**part.get("schema", part), "components": openapi["components"]}
    for example in examples:
        try:
            jsonschema.validate(example, schema)
        except jsonschema.ValidationError:
            found.append(f"{name}: the example {example!r} is not valid")
    return found
