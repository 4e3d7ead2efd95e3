"""Writes and reads GGUF files of the demo model (version 3, little endian).

write() makes the file that is shipped; read() is for evaluate.py and knows what write() makes, with
the checks that a wrong file needs to fail early. The server's own reader is a different one.
"""

import pathlib
import struct

import numpy as np

from .blocks import TYPES

ALIGN = 32
_TEMPLATE = pathlib.Path(__file__).with_name("template.jinja")
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
CONTROL, NORMAL = 3, 1


def _string(text):
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _value(kind, value):
    return _string(value) if kind == _STRING else struct.pack("<" + _SCALARS[kind], value)


def _entry(key, kind, value):
    if isinstance(value, list):
        body = struct.pack("<IIQ", _ARRAY, kind, len(value)) + b"".join(_value(kind, item) for item in value)
    else:
        body = struct.pack("<I", kind) + _value(kind, value)
    return _string(key) + body


def _metadata(shape, vocabulary, file_type):
    special = vocabulary.special
    types = [CONTROL if token in special else NORMAL for token in vocabulary.tokens]
    return [
        ("general.architecture", _STRING, "llama"),
        ("general.type", _STRING, "model"),
        ("general.name", _STRING, "weir-demo"),
        ("general.description", _STRING, "The demo model of the Weir inference server"),
        ("general.license", _STRING, "MIT"),
        ("general.file_type", _U32, file_type),
        ("general.quantization_version", _U32, 2),
        ("general.alignment", _U32, ALIGN),
        ("llama.context_length", _U32, shape.context),
        ("llama.embedding_length", _U32, shape.width),
        ("llama.block_count", _U32, shape.layers),
        ("llama.feed_forward_length", _U32, shape.feed_forward),
        ("llama.vocab_size", _U32, shape.vocabulary),
        ("llama.attention.head_count", _U32, shape.heads),
        ("llama.attention.head_count_kv", _U32, shape.kv_heads),
        ("llama.attention.key_length", _U32, shape.head_width),
        ("llama.attention.value_length", _U32, shape.head_width),
        ("llama.attention.layer_norm_rms_epsilon", _F32, shape.epsilon),
        ("llama.rope.dimension_count", _U32, shape.head_width),
        ("llama.rope.freq_base", _F32, shape.rope_base),
        ("tokenizer.ggml.model", _STRING, "gpt2"),
        ("tokenizer.ggml.pre", _STRING, "gpt-2"),
        ("tokenizer.ggml.tokens", _STRING, vocabulary.tokens),
        ("tokenizer.ggml.token_type", _I32, types),
        ("tokenizer.ggml.merges", _STRING, vocabulary.merges),
        ("tokenizer.ggml.bos_token_id", _U32, special["<|endoftext|>"]),
        ("tokenizer.ggml.eos_token_id", _U32, special["<|im_end|>"]),
        ("tokenizer.ggml.eot_token_id", _U32, special["<|im_end|>"]),
        ("tokenizer.ggml.padding_token_id", _U32, special["<|endoftext|>"]),
        ("tokenizer.ggml.add_bos_token", _BOOL, False),
        ("tokenizer.ggml.add_eos_token", _BOOL, False),
        ("tokenizer.chat_template", _STRING, _TEMPLATE.read_text(encoding="utf-8")),
    ]


def write(path, shape, vocabulary, tensors, type_name):
    """Write the model; matrices as `type_name`, norms as F32. tensors: GGUF name to float32."""
    entries = _metadata(shape, vocabulary, TYPES[type_name][1])
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries))
    head += b"".join(_entry(*entry) for entry in entries)
    data, infos = b"", b""
    for name, weights in tensors.items():
        ggml_type, _, _, _, quantise, _ = TYPES[type_name if weights.ndim == 2 else "F32"]
        data += bytes(-len(data) % ALIGN)
        infos += _string(name) + struct.pack("<I", weights.ndim)
        infos += b"".join(struct.pack("<Q", size) for size in reversed(weights.shape))
        infos += struct.pack("<IQ", ggml_type, len(data))
        data += quantise(weights).tobytes()
    head += infos
    head += bytes(-len(head) % ALIGN)
    pathlib.Path(path).write_bytes(head + data + bytes(-len(data) % ALIGN))


class _Cursor:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def string(self):
        size = self.take("Q")
        self.at += size
        return self.raw[self.at - size : self.at].decode("utf-8")

    def value(self, kind):
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            of, count = self.take("IQ")
            return [self.value(of) for _ in range(count)]
        return self.take(_SCALARS[kind])


def read(path):
    """The file's metadata, and its tensors as float32 in the shape that the network uses."""
    raw = pathlib.Path(path).read_bytes()
    cursor = _Cursor(raw)
    magic, version, n_tensors, n_entries = cursor.take("4sIQQ")
    if magic != b"GGUF" or version != 3:
        raise ValueError(f"{path}: not a GGUF file of version 3")
    metadata = {}
    for _ in range(n_entries):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.take("I"))
    infos = []
    for _ in range(n_tensors):
        name, dims = cursor.string(), cursor.take("I")
        sizes = [cursor.take("Q") for _ in range(dims)]
        infos.append((name, sizes, *cursor.take("IQ")))
    start = cursor.at + -cursor.at % metadata.get("general.alignment", 32)
    by_number = {entry[0]: entry for entry in TYPES.values()}
    tensors = {}
    for name, sizes, ggml_type, offset in infos:
        _, _, per_block, block_bytes, _, dequantise = by_number[ggml_type]
        blocks = int(np.prod(sizes)) // per_block
        data = np.frombuffer(raw, np.uint8, blocks * block_bytes, start + offset)
        tensors[name] = dequantise(data.reshape(blocks, block_bytes)).reshape(sizes[::-1])
    return metadata, tensors
