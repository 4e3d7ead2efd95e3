#!/usr/bin/env python3
"""A file as a C array: embed.py NAME INPUT OUTPUT. JSON is written without blanks. Run by meson."""
import json
import sys

name, source, target = sys.argv[1:]
data = json.dumps(json.load(open(source, encoding="utf-8")), separators=(",", ":"), ensure_ascii=False).encode()
lines = [",".join(str(b) for b in data[i:i + 24]) + "," for i in range(0, len(data), 24)]
with open(target, "w", encoding="ascii") as out:
    out.write(f"/* Made by data/openapi/embed.py; a NUL follows the text. */\n"
              f"extern const char {name}[];\nconst char {name}[] = {{\n" + "\n".join(lines) + "0};\n")
