"""A decoder's forward for generation, written out: the same weights, less dispatch.

A forward of a transformers model with one new token costs 10 to 15 ms of Python before any arithmetic, which is as much
as the arithmetic itself. Here a layer is some twenty calls of torch. It reads the parameters of the loaded model and
holds none of its own, attends through the same `Attend`, and is checked against the ordinary forward before it is used.
"""

from luthier.generation.lean.decoder import Decoder
from luthier.generation.lean.families import NotDescribedError, Source, describe
from luthier.generation.lean.opening import decoding_dtype, open_decoder

__all__ = ["Decoder", "Source", "NotDescribedError", "decoding_dtype", "describe", "open_decoder"]
