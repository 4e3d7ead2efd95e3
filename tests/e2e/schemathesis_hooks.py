"""What the OpenAPI document says in words only: fields that exclude or need each other, and token ids that exist.
Loaded by schemathesis (SCHEMATHESIS_HOOKS); cases that break these rules are not sent, since whether they are
valid is not for the schema to say. tests/unit/test-api-bodies.c has them all."""
import os

import schemathesis

# The echo backend has no tokens to tell of a prompt: such cases are for the demo model, and nothing else is there.
SCORED = bool(os.environ.get("WEIR_SCORED"))

FORMS = ("response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
         "grammar", "json_schema")


def is_form(name, value):
    return value is not None and not (name == "response_format" and value == {"type": "text"})


def consistent(body):
    if not isinstance(body, dict):
        return True
    forms = [name for name in FORMS if is_form(name, body.get(name))]
    structured = body.get("structured_outputs")
    ids = [t for name in ("tokens", "prompt", "input") for t in flat(body.get(name))]
    return not (len(forms) > 1
                or isinstance(structured, dict) and len(structured) > 1
                or body.get("stream_options") is not None and body.get("stream") is not True
                or body.get("top_logprobs") and body.get("logprobs") is not True
                or body.get("tool_choice") not in (None, "none", "auto")
                or (number(body.get("best_of"), 1) < number(body.get("n"), 1) and body.get("best_of") is not None)
                or number(body.get("best_of"), 1) > number(body.get("n"), 1) and body.get("stream")
                or body.get("suffix") and (body.get("echo") or ids)
                or body.get("max_tokens") == 0 and not body.get("echo") and body.get("prompt_logprobs") is None
                or body.get("prompt_logprobs") is not None and body.get("stream")
                or is_scored(body, ids) != SCORED
                or any(isinstance(t, (int, float)) and t > 200 for t in ids)
                or SCORED and (forms or structured or body.get("suffix") or body.get("lora") or not renderable(body)
                             or "" in (body.get("prompt"), *(body.get("prompt") or [])))
                or "guided_json" in forms and isinstance(body["guided_json"], str)
                or isinstance(structured, dict) and isinstance(structured.get("json"), str))


def is_scored(body, ids):
    return body.get("prompt_logprobs") is not None or bool(body.get("echo") and (body.get("logprobs") is not None or ids))


def renderable(body):
    """What a chat template does not know it may refuse: plain messages are enough there."""
    messages = body.get("messages") if isinstance(body, dict) else None
    return not messages or (not body.get("tools") and isinstance(messages, list)
                            and all(isinstance(m, dict) and not m.get("tool_calls") for m in messages))


def number(value, otherwise):
    return value if isinstance(value, (int, float)) else otherwise


def flat(value):
    if isinstance(value, list):
        return [t for part in value for t in (flat(part) if isinstance(part, list) else [part])
                if not isinstance(t, str)]
    return []


@schemathesis.hook
def map_body(context, body):
    """A real model writes as long as it may."""
    for name in ("max_tokens", "max_completion_tokens") if SCORED and isinstance(body, dict) else ():
        if body.get(name) is None and name == "max_tokens" or 2 < number(body.get(name), 0) <= 2000000:
            body = {**body, name: 2}
    return body


@schemathesis.hook
def filter_case(context, case):
    return consistent(case.body) and (case.operation.path not in ("/tokenize", "/apply-template")
                                      or renderable(case.body))
