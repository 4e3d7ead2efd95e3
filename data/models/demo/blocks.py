"""GGUF's weight blocks in numpy: quantise and dequantise rows of 32-bit floats.

Each quantiser takes a float32 matrix whose rows are whole blocks and returns bytes [blocks, size];
each dequantiser takes those bytes and returns the floats. Layouts: ggml's block structures.
"""

import numpy as np


def _f16(values):
    return np.ascontiguousarray(values, dtype=np.float16).reshape(-1, 1).view(np.uint8)


def _read_f16(data):
    return np.ascontiguousarray(data).view(np.float16).astype(np.float32)


def _inverse(scale):
    return np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)


def quantise_f32(rows):
    return rows.astype(np.float32).reshape(-1, 1).view(np.uint8)


def dequantise_f32(data):
    return np.ascontiguousarray(data).view(np.float32)


def quantise_f16(rows):
    return rows.astype(np.float16).reshape(-1, 1).view(np.uint8)


def quantise_q8_0(rows):
    """Per 32 weights: a 16-bit scale, 32 signed bytes."""
    x = rows.reshape(-1, 32)
    scale = np.abs(x).max(axis=1, keepdims=True) / 127
    q = np.clip(np.rint(x * _inverse(scale)), -127, 127).astype(np.int8)
    return np.hstack([_f16(scale), q.view(np.uint8)])


def dequantise_q8_0(data):
    return _read_f16(data[:, :2]) * np.ascontiguousarray(data[:, 2:]).view(np.int8)


def quantise_q4_0(rows):
    """Per 32 weights: a 16-bit scale, 16 bytes of nibbles; low ones are the first half."""
    x = rows.reshape(-1, 32)
    extreme = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)
    scale = extreme / -8
    q = np.clip(np.rint(x * _inverse(scale)) + 8, 0, 15).astype(np.uint8)
    return np.hstack([_f16(scale), q[:, :16] | q[:, 16:] << 4])


def dequantise_q4_0(data):
    q = np.hstack([data[:, 2:] & 15, data[:, 2:] >> 4]).astype(np.float32) - 8
    return _read_f16(data[:, :2]) * q


def quantise_q4_k(rows):
    """Per 256 weights: two 16-bit scales, eight 6-bit (scale, minimum) pairs, 128 bytes of nibbles."""
    x = rows.reshape(-1, 8, 32)
    low = np.minimum(x.min(axis=2), 0)
    scale = (np.maximum(x.max(axis=2), 0) - low) / 15
    best = np.full(scale.shape, np.inf, dtype=np.float32)
    scales, minima = scale.copy(), -low
    # Try narrower ranges: clipping an outlier often costs less than a coarse step for the others.
    for shrink in np.arange(0.7, 1.05, 0.05, dtype=np.float32):
        q = np.clip(np.rint((x - low[..., None] * shrink) * _inverse(scale * shrink)[..., None]), 0, 15)
        error = ((q * (scale * shrink)[..., None] + low[..., None] * shrink - x) ** 2).sum(axis=2)
        better = error < best
        best = np.where(better, error, best)
        scales = np.where(better, scale * shrink, scales)
        minima = np.where(better, -low * shrink, minima)
    d = (scales.max(axis=1, keepdims=True) / 63).astype(np.float16).astype(np.float32)
    dmin = (minima.max(axis=1, keepdims=True) / 63).astype(np.float16).astype(np.float32)
    sc = np.clip(np.rint(scales * _inverse(d)), 0, 63).astype(np.uint8)
    mn = np.clip(np.rint(minima * _inverse(dmin)), 0, 63).astype(np.uint8)
    step = (d * sc)[..., None]
    q = np.clip(np.rint((x + (dmin * mn)[..., None]) * _inverse(step)), 0, 15).astype(np.uint8)
    packed = np.zeros((len(x), 12), dtype=np.uint8)
    packed[:, 0:4] = sc[:, :4] | (sc[:, 4:] >> 4) << 6
    packed[:, 4:8] = mn[:, :4] | (mn[:, 4:] >> 4) << 6
    packed[:, 8:12] = (sc[:, 4:] & 15) | (mn[:, 4:] & 15) << 4
    nibbles = (q[:, 0::2] | q[:, 1::2] << 4).reshape(-1, 128)
    return np.hstack([_f16(d), _f16(dmin), packed, nibbles])


def dequantise_q4_k(data):
    p = data[:, 4:16]
    sc = np.hstack([p[:, 0:4] & 63, (p[:, 8:12] & 15) | (p[:, 0:4] >> 6) << 4]).astype(np.float32)
    mn = np.hstack([p[:, 4:8] & 63, (p[:, 8:12] >> 4) | (p[:, 4:8] >> 6) << 4]).astype(np.float32)
    bytes_ = data[:, 16:].reshape(-1, 4, 1, 32)
    q = np.concatenate([bytes_ & 15, bytes_ >> 4], axis=2).reshape(-1, 8, 32).astype(np.float32)
    x = (_read_f16(data[:, 0:2]) * sc)[..., None] * q - (_read_f16(data[:, 2:4]) * mn)[..., None]
    return x.reshape(-1, 256)


def quantise_q6_k(rows):
    """Per 256 weights: 128 bytes of low nibbles, 64 of high pairs, sixteen scales, one 16-bit scale."""
    x = rows.reshape(-1, 16, 16)
    extreme = np.take_along_axis(x, np.abs(x).argmax(axis=2)[..., None], axis=2)[..., 0]
    scale = extreme / -32
    d = (np.abs(scale).max(axis=1, keepdims=True) / 127).astype(np.float16).astype(np.float32)
    sc = np.clip(np.rint(scale * _inverse(d)), -128, 127).astype(np.int8)
    q = np.clip(np.rint(x * _inverse(d * sc)[..., None]) + 32, 0, 63).astype(np.uint8)
    q = q.reshape(-1, 2, 4, 32)  # two halves, lanes l, l+32, l+64, l+96
    low = np.concatenate([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], axis=2)
    high = q[:, :, 0] >> 4 | q[:, :, 1] >> 4 << 2 | q[:, :, 2] >> 4 << 4 | q[:, :, 3] >> 4 << 6
    return np.hstack([low.reshape(-1, 128), high.reshape(-1, 64), sc.view(np.uint8), _f16(d)])


def dequantise_q6_k(data):
    low, high = data[:, :128].reshape(-1, 2, 2, 32), data[:, 128:192].reshape(-1, 2, 1, 32)
    nibbles = np.concatenate([low & 15, low >> 4], axis=2)
    pairs = np.concatenate([high >> shift & 3 for shift in (0, 2, 4, 6)], axis=2)
    q = (nibbles | pairs << 4).reshape(-1, 16, 16).astype(np.float32) - 32
    sc = np.ascontiguousarray(data[:, 192:208]).view(np.int8).astype(np.float32)
    return ((_read_f16(data[:, 208:]) * sc)[..., None] * q).reshape(-1, 256)


# name: (ggml type, general.file_type, weights and bytes per block, quantiser, dequantiser)
TYPES = {
    "F32": (0, 0, 1, 4, quantise_f32, dequantise_f32),
    "F16": (1, 1, 1, 2, quantise_f16, _read_f16),
    "Q4_0": (2, 2, 32, 18, quantise_q4_0, dequantise_q4_0),
    "Q8_0": (8, 7, 32, 34, quantise_q8_0, dequantise_q8_0),
    "Q4_K": (12, 14, 256, 144, quantise_q4_k, dequantise_q4_k),
    "Q6_K": (14, 18, 256, 210, quantise_q6_k, dequantise_q6_k),
}
