#!/usr/bin/env python3
"""Prints a C program's text that prints the size of every public struct and the offset of every
member, read from the SDK's headers. test-abi.py compiles and runs it and compares the result with
the committed table: an ABI must not change by accident.

    python3 tests/abi/sizes.py sdk/include > /tmp/sizes.c
"""
import pathlib
import re
import sys


def structs(text):
    """(name, [members]) for each `struct weir_x { ... };` of a header."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    for match in re.finditer(r"^struct (weir_\w+) \{(.*?)^\};", text, re.S | re.M):
        body, members = match.group(2), []
        for declaration in body.split(";"):
            declaration = " ".join(declaration.split())
            if not declaration:
                continue
            function = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", declaration)
            if function:
                members.append(function.group(1))
                continue
            for part in declaration.split(","):
                name = re.search(r"(\w+)\s*(\[[^\]]*\])*\s*$", part)
                members.append(name.group(1))
        yield match.group(1), members


def main():
    root = pathlib.Path(sys.argv[1])
    headers = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.h"))
    print("/* Made by tests/abi/sizes.py from the SDK's headers. */")
    print("#include <stdio.h>")
    for header in headers:
        print(f"#include <{header}>")
    print("int main(void)\n{")
    for header in headers:
        for name, members in structs((root / header).read_text()):
            print(f'\tprintf("{name} %zu\\n", sizeof(struct {name}));')
            for member in members:
                print(f'\tprintf("{name}.{member} %zu\\n", offsetof(struct {name}, {member}));')
    print("\treturn 0;\n}")


if __name__ == "__main__":
    main()
