"""Named random streams: each part draws from its own, so adding a draw in one place changes nothing elsewhere."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for a named stream; the same on every machine."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of a named stream."""
    return np.random.Generator(np.random.PCG64(derive(seed, *names)))


def unit_interval(*names: str | int) -> float:
    """Hash names to a number in [0, 1): the basis of splits that do not depend on the order of rows."""
    return derive(0, *names) / 2.0**63
