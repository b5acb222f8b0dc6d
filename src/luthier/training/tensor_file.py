"""Tensors as a safetensors file, piece by piece.

The library writes a file by itself, where a write that was cut short is not noticed, or gives the whole file as one
object, which for full tuning is as much memory again as weights and moments take. The format is small enough to write:
eight bytes with the header's length, the header as JSON, the tensors one behind the other
(https://huggingface.co/docs/safetensors, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import torch

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def tensor_pieces(tensors: Mapping[str, torch.Tensor]) -> Iterator[bytes | memoryview]:
    """Yield the contents of a safetensors file; one tensor at a time is copied, if it is not contiguous or on a GPU.

    Raises:
        KeyError: for a type of number that the format does not have here.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # large numbers first: aligned
    header, end = {}, 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little")
    yield text
    for name in order:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            yield flat.view(torch.uint8).numpy().data
