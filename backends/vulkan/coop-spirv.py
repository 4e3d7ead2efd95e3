#!/usr/bin/env python3
"""Cooperative matrices of SPV_NV_cooperative_matrix as those of SPV_KHR_cooperative_matrix.

coop-spirv.py IN.spv OUT.inc - reads a SPIR-V module, writes its words as glslc -mfmt=num does. Run by
meson.build: Debian 12's glslc compiles GL_NV_cooperative_matrix only, drivers of all vendors have KHR.

The two differ in four places (the extensions' specifications, SPIRV-Registry):
- A KHR type says what it is used for: matrix A, B or accumulator. Here the operands of a
  multiplication tell. They must have types of their own, which they have where the sizes are
  different specialisation constants, whatever their values.
- Loads and stores take a layout (a constant, 0 rows, 1 columns) before the stride, not a bool after it.
- A multiplication says which of its matrices are signed; NV takes that from the component's type.
- The capability and the extension's name.
"""
import struct
import sys

MAGIC, HEADER_WORDS = 0x07230203, 5
OP_EXTENSION, OP_CAPABILITY, OP_TYPE_INT, OP_TRUE, OP_FALSE, OP_CONSTANT = 10, 17, 21, 41, 42, 43
NV_TYPE, NV_LOAD, NV_STORE, NV_MUL_ADD, NV_LENGTH, NV_CAPABILITY = 5358, 5359, 5360, 5361, 5362, 5357
KHR_TYPE, KHR_LOAD, KHR_STORE, KHR_MUL_ADD, KHR_LENGTH, KHR_CAPABILITY = 4456, 4457, 4458, 4459, 4460, 6022
NV_NAME, KHR_NAME = b"SPV_NV_cooperative_matrix", b"SPV_KHR_cooperative_matrix"
USES = ("A", "B", "accumulator")


def instructions(words):
    """Every (opcode, operands) of a module."""
    at = HEADER_WORDS
    while at < len(words):
        length = words[at] >> 16
        if length == 0 or at + length > len(words):
            raise ValueError(f"the instruction at word {at} has {length} words")
        yield words[at] & 0xffff, words[at + 1:at + length]
        at += length


def text_words(text):
    padded = text + b"\0" * (4 - len(text) % 4)
    return list(struct.unpack(f"<{len(padded) // 4}I", padded))


def survey(words):
    """The types of values, the use of each NV type, signed integer types, bool constants, uint."""
    type_of, components, uses, signed, bools, uint = {}, {}, {}, set(), {}, None
    products = []
    for op, args in instructions(words):
        if op == OP_TYPE_INT:
            if args[2]:
                signed.add(args[0])
            elif args[1] == 32:
                uint = args[0]
        elif op == NV_TYPE:
            components[args[0]] = args[1]
        elif op in (OP_TRUE, OP_FALSE):
            bools[args[1]] = int(op == OP_TRUE)
        elif op == NV_MUL_ADD:
            products.append(args)
        # Of what has a result, all that can be a matrix begins with its type and its own id.
        if len(args) >= 2 and args[0] in components and op != NV_TYPE:
            type_of[args[1]] = args[0]
    for result, _, *operands in products:
        for use, matrix in enumerate([type_of[i] for i in operands[:3]] + [result]):
            if uses.setdefault(matrix, min(use, 2)) != min(use, 2):
                raise ValueError(f"type %{matrix} is used as {USES[uses[matrix]]} and as {USES[min(use, 2)]}; "
                                 "give them sizes by constants of their own")
    unused = [t for t in components if t not in uses]
    if unused or uint is None:
        raise ValueError(f"types {unused} are in no product" if unused else "the module has no uint")
    return type_of, components, uses, signed, bools, uint


def rewrite(words):
    if len(words) < HEADER_WORDS or words[0] != MAGIC:
        raise ValueError("this is not SPIR-V")
    type_of, components, uses, signed, bools, uint = survey(words)
    bound = words[3]
    constants = [bound + value for value in range(3)]  # ids of 0, 1, 2
    out = words[:3] + [bound + 3, words[4]]

    def put(op, *args):
        out.extend([(len(args) + 1) << 16 | op, *args])

    for op, args in instructions(words):
        if op == OP_CAPABILITY and args[0] == NV_CAPABILITY:
            put(op, KHR_CAPABILITY)
        elif op == OP_EXTENSION and args == text_words(NV_NAME):
            put(op, *text_words(KHR_NAME))
        elif op == NV_TYPE:
            put(KHR_TYPE, *args, constants[uses[args[0]]])
        elif op == NV_LOAD:
            matrix, result, pointer, stride, by_columns, *access = args
            put(KHR_LOAD, matrix, result, pointer, constants[bools[by_columns]], stride, *access)
        elif op == NV_STORE:
            pointer, value, stride, by_columns, *access = args
            put(KHR_STORE, pointer, value, constants[bools[by_columns]], stride, *access)
        elif op == NV_MUL_ADD:
            matrices = [type_of[i] for i in args[2:5]] + [args[0]]
            put(KHR_MUL_ADD, *args, sum(1 << i for i, t in enumerate(matrices) if components[t] in signed))
        elif op == NV_LENGTH:
            put(KHR_LENGTH, *args)
        else:
            put(op, *args)
        if op == OP_TYPE_INT and args[0] == uint:
            for value, name in enumerate(constants):
                put(OP_CONSTANT, uint, name, value)
    return out


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    words = rewrite(list(struct.unpack(f"<{len(data) // 4}I", data)))
    with open(sys.argv[2], "w", encoding="ascii") as f:
        f.write(",\n".join(f"0x{word:08x}" for word in words) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, KeyError, struct.error) as error:
        sys.exit(f"coop-spirv.py: {sys.argv[1]}: {error!r}")
