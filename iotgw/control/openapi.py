"""The OpenAPI document, written from the routes that are served."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from iotgw.control.route import Route

PATH_PARAMETERS = {
    "protocol": "A protocol's name, such as jt808.",
    "identity": "The device's name within its protocol, percent-encoded.",
    "address": "An IP address; of IPv6 its whole /64 network is meant.",
    "id": "A command's number.",
    "task": "A task's name; /v1/tasks lists those that may be run.",
}
ERRORS = {
    400: "The query or the body is not as described.",
    401: "The token is missing or wrong.",
    403: "No control_token is set.",
    413: "The body is too long.",
    500: "A fault of the gateway's.",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "For programs: the same for the same cause."},
                "message": {"type": "string", "description": "For people."},
                "type": {"type": "string", "description": "Of a failed task: its error's type."},
                "traceback": {"type": "string", "description": "Of a failed task: where it failed, on the worker."},
            },
        }
    },
}
_REF = "#/components/schemas/{model}"


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Shape: OpenAPI 3.1."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for route in routes:
        models += [(model, "validation") for model in (route.query, route.body) if model]
        models += [(route.told, "serialization")] if not isinstance(route.told, str) else []
    _, schemas = models_json_schema(list(dict.fromkeys(models)), ref_template=_REF)
    definitions = schemas.get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, definitions)
    return {
        "openapi": "3.1.0",
        "info": {"title": "iotgw control", "version": _version(), "description": "Control of one gateway, on its own host."},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**definitions, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "control_token of the settings"}},
        },
    }


def _operation(route: Route, definitions: dict[str, Any]) -> dict[str, Any]:
    kind = route.told if isinstance(route.told, str) else "application/json"
    schema = {"type": "string"} if isinstance(route.told, str) else _ref(route.told.__name__)
    if route.told == "application/json":
        schema = {"type": "object"}
    common = {**ERRORS, **route.errors}
    if route.is_open:
        common = {status: common[status] for status in common if status not in (401, 403)}
    responses: dict[str, Any] = {str(route.status): {"description": route.summary, "content": {kind: {"schema": schema}}}}
    for status, text in sorted(common.items()):
        error = _ref("Error") if status not in route.tells else schema
        responses[str(status)] = {"description": text, "content": {"application/json": {"schema": error}}}
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "parameters": _parameters(route, definitions),
        "responses": responses,
    }
    if route.describe:
        operation["description"] = route.describe
    if route.is_open:
        operation["security"] = []
    if route.body:
        operation["requestBody"] = {"content": {"application/json": {"schema": _ref(route.body.__name__)}}}
    return operation


def _parameters(route: Route, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "description": PATH_PARAMETERS[name], "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.query:
        schema = definitions[route.query.__name__]
        required = schema.get("required", [])
        for name, of in schema["properties"].items():
            found.append({"name": name, "in": "query", "required": name in required, "schema": of})
    return found


def _ref(model: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=model)}


def _name(route: Route) -> str:
    words = re.sub(r"[^a-z0-9]+", " ", route.path.removeprefix("/v1")).split()
    return "_".join([route.method.lower(), *words])


def _version() -> str:
    try:
        return version("iotgw")
    except PackageNotFoundError:
        return "0"
