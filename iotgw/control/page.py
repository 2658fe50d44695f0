"""The OpenAPI document as a page for people: what there is, what to give, what is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

CONTENT_TYPE = "text/html; charset=utf-8"
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --muted: #777; }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 20px } h2 { font-size: 16px; margin: 0 } p { margin: .25rem 0 }
code, pre { font: 13px ui-monospace, monospace } pre { overflow-x: auto; margin: .5rem 0 }
section { border-top: 1px solid var(--line); padding: 1rem 0 }
h2 code b { display: inline-block; min-width: 4rem }
table { border-collapse: collapse; margin: .5rem 0; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .15rem .75rem .15rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 400; color: var(--muted) } td:first-child { width: 12rem } td:nth-child(2) { width: 14rem }
details > summary { cursor: pointer; color: var(--muted) }
"""


def page(document: Mapping[str, Any]) -> str:
    """HTML without scripts and without anything from elsewhere."""
    info = document["info"]
    sections = "".join(
        _section(document, method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        "Send the token as <code>Authorization: Bearer &lt;token&gt;</code>. "
        'For programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f"{sections}</html>"
    )


def _section(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    schemas = document["components"]["schemas"]
    parts = [f"<section><h2><code><b>{method.upper()}</b> {escape(path)}</code></h2><p>{escape(operation['summary'])}"]
    parts.append(" · without token</p>" if operation.get("security") == [] else "</p>")
    if "description" in operation:
        parts.append(f"<p>{escape(operation['description'])}</p>")
    given = [_row(schemas, one["name"], one["schema"], one.get("description", "")) for one in operation["parameters"]]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    given += _rows(schemas, body)
    if given:
        parts.append(f"<table><tr><th>given<th><th></tr>{''.join(given)}</table>")
    told = "".join(
        f"<tr><td>{status}<td colspan=2>{escape(one['description'])}</tr>" for status, one in operation["responses"].items()
    )
    good = next(iter(operation["responses"].values()))
    fields = "".join(_rows(schemas, next(iter(good["content"].values()))["schema"]))
    parts.append(f"<details><summary>what is told</summary><table>{fields}</table><table>{told}</table></details></section>")
    return "".join(parts)


def _rows(schemas: Mapping[str, Any], schema: Mapping[str, Any] | None, within: str = "") -> Iterator[str]:
    """The properties of an object, and of the objects in it."""
    if not schema or "$ref" not in schema:
        return
    for name, of in schemas[_name(schema)].get("properties", {}).items():
        yield _row(schemas, within + name, of, "")
        inner = _inner(of)
        if inner is not None:
            yield from _rows(schemas, inner, f"{within}{name}{'[]' if 'items' in of else ''}.")


def _row(schemas: Mapping[str, Any], name: str, schema: Mapping[str, Any], text: str) -> str:
    told = " ".join(filter(None, (text or schema.get("description", ""), _default(schema))))
    return f"<tr><td><code>{escape(name)}</code><td>{escape(_type(schema))}<td>{escape(told)}</tr>"


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "$ref" in schema:
        return "object"
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return ", ".join([schema.get("format", "") or schema.get("type", "anything"), *bounds])


_BOUNDS = {"exclusiveMinimum": "above", "minimum": "from", "maximum": "to", "maxLength": "up to"}


def _default(schema: Mapping[str, Any]) -> str:
    return f"Default: {schema['default']}." if schema.get("default") not in (None, [], {}) else ""


def _inner(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object that a value is, may be, or is a list of."""
    for one in (schema, schema.get("items", {}), *schema.get("anyOf", ())):
        if "$ref" in one:
            return dict(one)
    return None


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]
