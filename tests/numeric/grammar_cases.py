"""Random schemas with values that meet them, and a plain matcher of GBNF, for grammar-oracle.py."""
import json
import math
import re

PATTERNS = {"^[a-z]{2,5}$": "abcde", "^\\d{3}-\\d{2,4}$": "123-4567", "^(foo|bar)+$": "foobarfoo", "^[^\"\\\\]{1,9}$": "é{}~",
            "end$": "the end", "^x?y*z$": "yyz", "^[A-Z][a-z]+( [A-Z][a-z]+)*$": "Ada Lovelace", "a.c": "xxabcxx"}
FORMATS = {"date": "2024-02-29", "time": "23:59:58.5Z", "date-time": "2026-11-21T01:02:03+02:00", "ipv4": "10.0.255.1",
           "uuid": "01234567-89ab-4cde-8f01-23456789abcd", "ipv6": "2001:db8::1", "email": "a.b+c@mail.example.org",
           "hostname": "a-b.example.com", "uri": "https://example.com/a/b?c=d#e"}
TEXTS = ["", "a", "naïve", "日本語", "line\nbreak", "quote\"back\\slash", "😀 and text", "tab\t", "\u0001", "</tag>", "0123456789" * 3]


def schema(r, depth=0):
    """(schema, a function that makes a value which meets it)"""
    kinds = ["string", "length", "pattern", "format", "enum", "integer", "range", "number", "step", "boolean", "null", "const"]
    if depth < 3:
        kinds += ["array", "object", "object", "anyOf", "map", "tuple"]
    kind = r.choice(kinds)
    if kind == "string":
        return {"type": "string"}, lambda: r.choice(TEXTS)
    if kind == "length":
        low, more = r.choice([0, 1, 3, 20]), r.choice([0, 1, 7, 300])
        return ({"type": "string", "minLength": low, "maxLength": low + more},
                lambda: "".join(r.choice("abé日😀\"\\ \n") for _ in range(r.randint(low, low + more))))
    if kind == "pattern":
        pattern = r.choice(list(PATTERNS))
        return {"type": "string", "pattern": pattern}, lambda: PATTERNS[pattern]
    if kind == "format":
        name = r.choice(list(FORMATS))
        return {"type": "string", "format": name}, lambda: FORMATS[name]
    if kind == "enum":
        values = r.sample(["red", "green", "blue", "bl", 1, 2.5, -3, None, True, [1, 2], {"a": "b"}, "é\""], r.randint(1, 6))
        return {"enum": values}, lambda: r.choice(values)
    if kind == "const":
        value = r.choice(["x", 17, None, {"k": [1, None]}])
        return {"const": value}, lambda: value
    if kind == "integer":
        return {"type": "integer"}, lambda: r.choice([0, 1, -1, 17, -(10 ** 15), 2 ** 53, 10 ** 19])
    if kind == "range":
        low = r.choice([-(10 ** 6), -137, -9, 0, 1, 98, 1005])
        high = low + r.choice([0, 1, 9, 350, 10 ** 7])
        return {"type": "integer", "minimum": low, "maximum": high}, lambda: r.randint(low, high)
    if kind == "number":
        low, high = sorted(r.sample([-1000.5, -3, -0.25, 0, 0.5, 1, 12.75, 99, 100000], 2))
        return ({"type": "number", "minimum": low, "maximum": high},
                lambda: min(high, max(low, round(r.uniform(low, high), r.choice([0, 1, 3])) + 0)) or 0)
    if kind == "step":  # parts of two: jsonschema divides doubles
        step, low = r.choice([0.5, 0.25, 0.125, 1.5, 2.5]), r.choice([-100, -2.75, 0, 3.3, 40])
        first = math.ceil(low / step)
        return ({"type": "number", "multipleOf": step, "minimum": low, "maximum": low + 50},
                lambda: r.randint(first, first + int(49 / step) - 1) * step or 0)
    if kind in ("boolean", "null"):
        return {"type": kind}, lambda: r.choice([True, False]) if kind == "boolean" else None
    if kind == "array":
        item, make = schema(r, depth + 1)
        low = r.choice([0, 0, 1, 3])
        high = low + r.choice([0, 1, 4])
        out = {"type": "array", "items": item, "minItems": low}
        if r.random() < 0.7:
            out["maxItems"] = high
        return out, lambda: [make() for _ in range(r.randint(low, high))]
    if kind == "tuple":
        items = [schema(r, depth + 1) for _ in range(r.randint(1, 3))]
        return ({"type": "array", "prefixItems": [i[0] for i in items], "items": False, "minItems": len(items)},
                lambda: [i[1]() for i in items])
    if kind == "map":
        item, make = schema(r, depth + 1)
        return ({"type": "object", "additionalProperties": item},
                lambda: {k: make() for k in r.sample(["a", "é", "some key", "x\"y"], r.randint(0, 3))})
    if kind == "anyOf":
        ways = [schema(r, depth + 1) for _ in range(r.randint(1, 4))]
        return {"anyOf": [w[0] for w in ways]}, lambda: r.choice(ways)[1]()
    members = {name: schema(r, depth + 1) for name in r.sample(["a", "ab", "name", "Wert", "größe", "x y", "q\"", "list"],
                                                               r.randint(0, 5))}
    required = [m for m in members if r.random() < 0.6]
    out = {"type": "object", "properties": {m: s for m, (s, _) in members.items()}, "required": required}
    if r.random() < 0.8:
        out["additionalProperties"] = False
    return out, lambda: {m: make() for m, (_, make) in members.items() if m in required or r.random() < 0.5}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Gbnf:
    """Matches a text by trying everything: rules as trees, ends of matches as sets of places."""
    TOKEN = re.compile(r'\s+|#[^\n]*|(?P<name>[a-zA-Z][\w-]*)(?P<is>\s*::=)?|(?P<text>"(?:\\.|[^"\\])*")'
                       r'|(?P<set>\[(?:\\.|[^\]\\])*\])|(?P<op>[|()*+?.]|\{\d*,?\d*\})')

    def __init__(self, text):
        self.rules, self.tokens = {}, [(m.lastgroup if m.lastgroup != "is" else "rule", m[0]) for m in self.TOKEN.finditer(text)
                                       if m.lastgroup]
        while self.tokens:
            name = self.tokens.pop(0)[1].split(":")[0].strip()
            self.rules[name] = self.choice()

    def choice(self):
        ways = [self.sequence()]
        while self.tokens and self.tokens[0][1] == "|":
            self.tokens.pop(0)
            ways.append(self.sequence())
        return ("choice", ways)

    def sequence(self):
        parts = []
        while self.tokens and self.tokens[0][0] != "rule" and self.tokens[0][1] not in ("|", ")"):
            kind, text = self.tokens.pop(0)
            if kind == "op" and text == "(":
                parts.append(self.choice())
                self.tokens.pop(0)
            elif kind == "op" and text != ".":
                low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(text) or self.bounds(text)
                parts[-1] = ("repeat", parts[-1], low, high)
            elif kind == "text":
                parts.append(("text", json.loads(text)))
            elif kind in ("set", "op"):
                parts.append(("set", re.compile(text, re.DOTALL)))
            else:
                parts.append(("name", text))
        return ("sequence", parts)

    @staticmethod
    def bounds(text):
        low, comma, high = text[1:-1].partition(",")
        return int(low or 0), int(high) if high else None if comma else int(low)

    def ends(self, node, text, at):
        kind = node[0]
        if kind == "text":
            return {at + len(node[1])} if text.startswith(node[1], at) else set()
        if kind == "set":
            return {at + 1} if at < len(text) and node[1].match(text[at]) else set()
        if kind == "choice":
            return set().union(*(self.ends(w, text, at) for w in node[1]))
        if kind == "name":
            key = (node[1], at)
            if key not in self.memo:
                self.memo[key] = self.ends(self.rules[node[1]], text, at)
            return self.memo[key]
        if kind == "sequence":
            places = {at}
            for part in node[1]:
                places = set().union(*(self.ends(part, text, p) for p in places))
            return places
        _, part, low, high = node
        found, places, done = set(), {at}, 0
        while places and (high is None or done <= high):
            if done >= low:
                if high is None and places <= found:
                    break
                found |= places
            places = set().union(*(self.ends(part, text, p) for p in places))
            done += 1
        return found

    def matches(self, text):
        self.memo = {}
        return len(text) in self.ends(self.rules["root"], text, 0)
