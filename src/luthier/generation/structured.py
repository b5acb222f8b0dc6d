"""Constrained decoding: the answer is JSON that fits a schema, or one of some choices.

Willard and Louf 2023, "Efficient Guided Generation for Large Language Models", arXiv:2307.09702: before a token t is
chosen, every token is ruled out after which the answer so far, y, could not become one that fits.

    p'(t | y) = p(t | y) / Z  if some answer that fits begins with y t, else 0

Differences from the paper: llguidance keeps an Earley parser above the regular expressions, so that JSON nests, and
walks the vocabulary as a trie of bytes at each step in place of an index made beforehand. Where only one text can
follow, the tokens that the tokenizer makes of it are the only ones allowed.

Use it when a program reads the answer, and for a fair rival: a model that is held to the format. Leave it out when free
text is wanted, or when it should be seen whether the model keeps the format by itself. It makes answers valid, not
right. A mask costs about 0.03 ms with a vocabulary of 49,000 and 0.1 ms with 262,000 (64 at a time up to 0.1 and 0.6 ms
each: the memory's speed), a schema of five fields 1 ms once, the tokenizer 0.5 and 5 s once.

JSON has one form, so that a small model cannot lose itself in white space: one line, separated as `json.dumps` does it,
properties in the order of the schema. Strings have no limit of length but the schema's `maxLength`: a text cut at a
length that nobody asked for would look like a whole answer, whereas the output limit is seen in `finish`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luthier.core.errors import CompatibilityError, ConfigError, GuardError, LuthierError
from luthier.core.types import Constraint

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_FORM = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""The separators are regular expressions that match themselves."""
_ALLOWED = (
    "Allowed are type, enum, const, properties, required, additionalProperties, items, prefixItems, anyOf, allOf, $ref "
    "within the schema, and limits (minLength, maxLength, pattern, format, minimum, maximum, multipleOf, minItems, "
    "maxItems). Not allowed are not, if, contains, uniqueItems, propertyNames, look-around in a pattern, and oneOf "
    "with options that overlap (write anyOf)."
)
_KEPT = 128
"""Compiled grammars that are kept; rows that each bring choices of their own would fill the memory."""
_PROBE = '{"naïve": "日本 😀", "n": [1.5, true]}\n\t x  Y'

_BIT_VALUES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")  # [256, 8]
_PENALTIES = np.where(_BIT_VALUES == 1, np.float32(0), np.float32(-np.inf))
"""What is added to the logits of eight tokens, by the byte of the mask that says which of them are allowed."""


class Grammars:
    """The constraints of one model, compiled.

    Args:
        tokenizer: A fast transformers tokenizer that works on bytes (byte-level, or with byte fallback).
        vocabulary: Width of the logits; ids that the tokenizer does not have are never allowed.
        stop_ids: Ids that end a turn; they are allowed where an answer may end, and nowhere else.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._stop_ids = stop_ids
        self._compiled: dict[Constraint, LLMatcher] = {}

    def matcher(self, constraint: Constraint) -> Matcher:
        """Return a matcher at the beginning of an answer; each sequence needs one of its own.

        Raises:
            ConfigError: if the schema is not one, asks for what cannot be constrained, or allows no answer.
            CompatibilityError: if the model's tokenizer cannot be constrained, or cannot write one of the choices.
        """
        if constraint not in self._compiled:
            if len(self._compiled) >= _KEPT:
                del self._compiled[next(iter(self._compiled))]  # the oldest
            self._compiled[constraint] = self._compile(constraint)
        return Matcher(self._compiled[constraint].deep_copy())  # copies share what the lexer learns

    def _compile(self, constraint: Constraint) -> LLMatcher:
        if constraint.schema:
            schema = _read_schema(constraint.schema)
            rule = "%json " + json.dumps(schema | {"x-guidance": _FORM})
            written = json.dumps(schema, ensure_ascii=False)
        else:
            rule = f"/{'|'.join(_escaped(choice) for choice in dict.fromkeys(constraint.choices))}/"
            written = "\n".join(constraint.choices)
        compiled = self._build(rule)
        if compiled.is_error():
            raise _refused(constraint, _reason(compiled.get_error()))
        self._check_choices(constraint.choices)
        return compiled if self._is_plain(written) else self._build(rule, forcing=False)

    def _build(self, rule: str, forcing: bool = True) -> LLMatcher:
        """Compile a rule. With forcing, text that must come is allowed only as the tokens that the tokenizer makes."""
        reading = self._reading
        from llguidance import LLMatcher, LLParserLimits

        options = "" if forcing else '%llguidance {"no_forcing": true}\n'
        grammar = LLMatcher.grammar_from_lark(f"{options}start: {rule}")
        compiled = LLMatcher(reading, grammar, log_level=0, limits=LLParserLimits(verbose_errors=False))
        compiled.compute_bitmask()  # some limits are only met here
        return compiled

    @cached_property
    def _reading(self) -> LLTokenizer:
        """The vocabulary as llguidance reads it."""
        try:
            from llguidance import LLTokenizer
        except ImportError:
            raise LuthierError(
                "Constrained decoding needs the package 'llguidance', which a full installation of Luthier contains. "
                "Install it with: pip install llguidance"
            ) from None
        backend = copy(getattr(self._tokenizer, "backend_tokenizer", None))
        if backend is None:
            raise self._unreadable("only fast tokenizers are supported")
        backend.no_padding()
        backend.no_truncation()
        width = max(self._vocabulary, len(self._tokenizer))  # logits may also be narrower than the tokenizer
        try:
            reading = LLTokenizer(backend.to_str(), n_vocab=width, eos_token=sorted(self._stop_ids))
        except ValueError as error:
            raise self._unreadable(_reason(str(error))) from None
        ids = reading.tokenize_str(_PROBE)
        if (text := self._decoded(ids)) != reading.decode_str(ids):
            raise self._unreadable(f"it reads {_PROBE!r} back as {text!r}")
        return reading

    def _unreadable(self, reason: str) -> CompatibilityError:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        kind = "no fast tokenizer" if backend is None else f"{type(backend.model).__name__}, {len(self._tokenizer)} ids"
        return CompatibilityError(
            f"Answers of this model cannot be constrained: llguidance does not take its tokenizer "
            f"{type(self._tokenizer).__name__} ({kind}): {reason}. It takes byte-level tokenizers and those with byte "
            "fallback, as Llama, Qwen, Gemma and SmolLM have. Leave the constraint out, or choose such a model."
        )

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _check_choices(self, choices: Sequence[str]) -> None:
        """Refuse choices that are not read back as they are: some tokenizers drop a leading space."""
        for choice in choices:
            text = self._decoded(self._reading.greedy_tokenize(choice))
            if text != choice:
                raise CompatibilityError(
                    f"The choice {choice!r} would be read back as {text!r} with this model's tokenizer. Write the "
                    "choices without spaces at their beginning, or choose another model."
                )

    def _is_plain(self, text: str) -> bool:
        """Whether the tokenizer writes a text as it is.

        It does not where its normalizer changes the text, or the text holds the name of a special token. Forced text
        would then be allowed only as tokens that say something else.
        """
        ids = self._reading.tokenize_str(text)
        return self._reading.decode_str(ids) == text and not any(map(self._reading.is_special_token, ids))


class Matcher:
    """How far one answer has come in its grammar. `Grammars.matcher` makes it."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def finished(self) -> bool:
        """Whether the answer is complete and nothing may follow it but a stop id."""
        return self._matcher.is_stopped()

    def mask(self, logits: Tensor) -> Tensor:
        """Return logits `[V]` (fp32) with minus infinity at the tokens that are not allowed next; others unchanged.

        Raises:
            GuardError: if the grammar grew too large, or a token was accepted that was not allowed.
        """
        return _penalized(self.allowed(), logits)

    def allowed(self) -> NDArray[np.uint8]:
        """Return which tokens are allowed next, a bit each, lowest bit first, in whole bytes (V / 8 or a few more)."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():  # the mask would allow the stop ids
            raise self._stuck("")
        return bits

    def accept(self, token: int) -> None:
        """Go on by one token.

        Raises:
            GuardError: if the token was not allowed, or the grammar grew too large.
        """
        if not self._matcher.consume_token(token):
            raise self._stuck(f" with token {token}")

    def _stuck(self, at: str) -> GuardError:
        return GuardError(
            f"A constrained answer cannot go on{at}: {_reason(self._matcher.get_error())}. Each token has to be chosen "
            "from masked logits. If it was, the schema is too large: write a smaller one, with fewer optional "
            "properties and shorter patterns."
        )

    def forced(self) -> list[int]:
        """Return the tokens that must come next, as the tokenizer writes their text; often none, never a stop id.

        They may be accepted one by one without asking the model. What follows could join with the last forced
        characters to another token; those are left out.
        """
        return self._matcher.compute_ff_tokens()


def mask_rows(allowed: Sequence[NDArray[np.uint8] | None], logits: Tensor) -> Tensor:
    """Mask logits `[N, V]` (fp32) by what `Matcher.allowed` says of each row; None constrains nothing.

    llguidance can compute the masks of many rows in parallel; that was not faster (64 rows, 2 cores) and is not used.
    """
    width = next((len(bits) for bits in allowed if bits is not None), 0)
    if not width:
        return logits
    bits = np.full((len(allowed), width), 0xFF, np.uint8)
    for row, held in enumerate(allowed):
        if held is not None:
            bits[row] = held
    return _penalized(bits, logits)


def _penalized(bits: NDArray[np.uint8], logits: Tensor) -> Tensor:
    """Add minus infinity to the logits `[..., V]` whose bit in `[..., bytes]` is not set.

    A table instead of a condition for each token: 2 to 12 times as fast, and the same for all masks.
    """
    if logits.device.type != "cpu":
        return _penalized_on_device(bits, logits)
    # By numpy: twice as fast as torch's indexing, and without threads that wait for each other on a busy machine.
    masked = _PENALTIES.take(bits, axis=0).reshape(*bits.shape[:-1], -1)[..., : logits.shape[-1]]
    masked += logits.detach().numpy()
    return torch.from_numpy(masked)


def _penalized_on_device(bits: NDArray[np.uint8], logits: Tensor) -> Tensor:
    """The same where the logits are: a bit a token travels there, not four bytes."""
    table = torch.from_numpy(_PENALTIES).to(logits.device)
    penalty = table[torch.from_numpy(bits.copy()).to(logits.device).long()]  # [..., bytes, 8]
    return penalty.view(*bits.shape[:-1], -1)[..., : logits.shape[-1]].add_(logits)


def _read_schema(text: str) -> dict[str, Any]:
    """Parse a schema.

    Raises:
        ConfigError: if it is no JSON object, or brings settings of llguidance.
    """
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The schema is not JSON: {error}. It begins with: {text[:60]!r}") from None
    if schema is False:
        raise ConfigError("The schema allows no answer: it is false.")
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise ConfigError(f'A JSON schema is an object such as {{"type": "object"}}, not {text[:60]!r}.')
    if "x-guidance" in schema:
        raise ConfigError(
            "The schema has the key x-guidance. Luthier sets the form of JSON itself (one line, separated as "
            "json.dumps does it); remove the key."
        )
    return schema


def _refused(constraint: Constraint, reason: str) -> ConfigError:
    """Build the error for a schema or choices that llguidance does not take."""
    if constraint.choices:
        return ConfigError(f"These choices cannot constrain an answer: {reason}. Each must be a Unicode text.")
    _, unsatisfiable, contradiction = reason.partition("Unsatisfiable schema: ")
    if unsatisfiable:
        return ConfigError(f"The schema allows no answer: {contradiction}. Correct what contradicts itself.")
    reason = reason.partition(" Enable 'coerce")[0].rstrip(".")  # llguidance's option, which Luthier does not offer
    return ConfigError(f"The schema cannot constrain an answer: {reason}. {_ALLOWED}")


def _reason(error: str) -> str:
    """Return what is wrong, without the place in a grammar that the user has not written."""
    message = error.partition("failed to compile JSON schema: ")[2] or error
    message = message.partition("\n   1 | ")[0].removesuffix("<non-verbose/>")
    return " ".join(message.split()).rstrip(".")


def _escaped(choice: str) -> str:
    """Return a regular expression (of Rust) that matches a text only."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in choice)
