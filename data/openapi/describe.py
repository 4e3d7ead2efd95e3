#!/usr/bin/env python3
"""docs/http-api.md from the OpenAPI document of a running server:

    weir serve echo &
    python3 data/openapi/describe.py http://127.0.0.1:8000 > docs/http-api.md

tests/e2e/openapi.py checks that the page is current.
"""
import json
import sys
import urllib.request

HEAD = """# The HTTP API

Made from `/openapi.json` by data/openapi/describe.py; the ranges are those that the validator works by
(frontends/api/param-table.c). OpenAI's clients work unchanged with this server's address and `/v1` behind
it. Members of a request that are not listed are ignored; `null` is the same as leaving a member out.

WebSockets are at `/v1/ws` ([protocol](websocket-protocol.md)). With `admin = true` in the frontend's section
this machine may also load and unload models, record [profiles](profiling.md), and reload the server's
profile by `POST /admin/reload`. That is answered under `localhost`, loopback addresses, the names of `listen` and those
of the option `admin_hosts` only (403 under others), and not to pages of other sites.

Each event of a stream has an id, `ANSWER:NUMBER`. With the header `X-Weir-Resume: true` the answer outlives its
connection: `GET /v1/stream/ANSWER` with `Last-Event-ID: ANSWER:NUMBER` sends the events behind that one, until
the option `resume_grace` has passed without a client.
"""


def kind(schema):
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[1]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(f"`{v}`" for v in schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            parts = [kind(s) for s in schema[word] if s.get("type") != "null"]
            return " or ".join(dict.fromkeys(parts))
    types = schema.get("type", "any")
    types = [t for t in (types if isinstance(types, list) else [types]) if t != "null"]
    if types == ["array"]:
        return f"array of {kind(schema.get('items', {}))}"
    return " or ".join(types)


def bounds(schema):
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f"above {schema['exclusiveMinimum']}, at most {high}"
    if low is None:
        return ""
    return f"{low} to {high}"


def requests(doc):
    """name of the request schema -> (schema, its paths)"""
    found = {}
    for path, item in doc["paths"].items():
        body = item.get("post", {}).get("requestBody")
        if body:
            name = body["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
            found.setdefault(name, []).append(path)
    return found


def table(doc, name):
    schema = doc["components"]["schemas"][name]
    yield "| field | type | range | default | meaning |"
    yield "|---|---|---|---|---|"
    for field, rule in schema["properties"].items():
        default = json.dumps(rule["default"]) if "default" in rule else ""
        mark = " (required)" if field in schema.get("required", ()) else ""
        yield f"| `{field}`{mark} | {kind(rule)} | {bounds(rule)} | {default} | {rule.get('description', '')} |"


def markdown(doc):
    lines = [HEAD, "| method and path | what |", "|---|---|"]
    for path, item in sorted(doc["paths"].items()):
        for method, op in item.items():
            lines.append(f"| `{method.upper()} {path}` | {op['summary']} |")
    for name, paths in requests(doc).items():
        lines += ["", "## " + ", ".join(f"`POST {p}`" for p in paths), "", *table(doc, name)]
        post = doc["paths"][paths[0]]["post"]
        answers = [f"{code}: {answer['description']}" for code, answer in post["responses"].items()]
        lines += ["", "Answers: " + "; ".join(answers) + "."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with urllib.request.urlopen(sys.argv[1].rstrip("/") + "/openapi.json") as answer:
        sys.stdout.write(markdown(json.load(answer)))
