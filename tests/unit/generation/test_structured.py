"""Constrained decoding: whatever the logits are, the answer fits; and what fits is not touched."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from luthier.core.errors import CompatibilityError, ConfigError, GuardError, LuthierError
from luthier.core.types import Constraint, Decoding
from luthier.generation.sequences import Turns
from luthier.generation.structured import Grammars, Matcher, _penalized, _penalized_on_device, mask_rows
from luthier.models.builtin import BUILTIN, builtin_folder, is_converted
from luthier.testing.tiny import byte_tokenizer

STOPS = frozenset({1, 2})
"""Of the byte-level tokenizer: the ids 0-2 are special, then one id a byte."""
BYTES_VOCABULARY = 300
"""Wider than the tokenizer (259), as a padded embedding is, and no multiple of 32."""
SMOLLM2 = "smollm2-135m-instruct"

TICKET = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "city": {"enum": ["Bern", "Berlin", 'the "Hague"', "Zürich"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 3},
        "open": {"type": ["boolean", "null"]},
    },
    "required": ["name", "age", "city", "tags"],
    "additionalProperties": False,
}
NESTED = {
    "type": "array",
    "minItems": 1,
    "maxItems": 2,
    "items": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
            "price": {"type": "number"},
            "of": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/size"}]},
        },
        "required": ["id", "of"],
        "additionalProperties": False,
    },
    "$defs": {
        "size": {
            "type": "object",
            "properties": {"cm": {"type": "integer", "maximum": 9, "minimum": 1}},
            "required": ["cm"],
            "additionalProperties": False,
        }
    },
}
SCHEMAS = {"ticket": TICKET, "nested": NESTED, "text": {"type": "string", "maxLength": 40}, "any": {}}


# ------------------------------------------------------------------------------------------------- tokenizers, helpers


class Model:
    """What the engine has of a model: a tokenizer, the width of the logits, the stop ids."""

    def __init__(self, tokenizer: Any, vocabulary: int, stops: frozenset[int]) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.stops = stops
        self.grammars = Grammars(tokenizer, vocabulary, stops)

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def schema(self, schema: Any) -> Matcher:
        return self.grammars.matcher(Constraint(schema=json.dumps(schema, ensure_ascii=False)))

    def choices(self, *choices: str) -> Matcher:
        return self.grammars.matcher(Constraint(choices=choices))

    def allowed(self, matcher: Matcher) -> set[int]:
        return set(torch.isfinite(matcher.mask(torch.zeros(self.vocabulary))).nonzero().flatten().tolist())

    def characters(self, matcher: Matcher) -> str:
        """What is allowed next, one character a token (of the byte-level tokenizer), `.` for a stop id."""
        return "".join(sorted("." if token in self.stops else self.text([token]) for token in self.allowed(matcher)))

    def random(self, matcher: Matcher, generator: torch.Generator, most: int = 150) -> str | None:
        """Write an answer from random logits; None if it did not end."""
        ids: list[int] = []
        for _ in range(most):
            logits = torch.randn(self.vocabulary, generator=generator) * 3
            logits[len(self.tokenizer) :] += 100  # ids that no token has
            token = int(matcher.mask(logits).argmax())
            assert token < len(self.tokenizer)
            if token in self.stops:
                return self.text(ids)
            matcher.accept(token)
            ids.append(token)
        return None

    def follow(self, matcher: Matcher, text: str) -> None:
        """Accept the tokens of a text; each has to be allowed."""
        for token in self.ids(text):
            assert token in self.allowed(matcher), self.text([token])
            matcher.accept(token)


@pytest.fixture(scope="module")
def tiny_bytes() -> Model:
    return Model(byte_tokenizer(), BYTES_VOCABULARY, STOPS)


@pytest.fixture(scope="module")
def smollm2() -> Model:
    if not is_converted(BUILTIN[SMOLLM2]):
        pytest.skip("the built-in model is not in the cache")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(builtin_folder(SMOLLM2))
    return Model(tokenizer, len(tokenizer), frozenset(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])))


@pytest.fixture(params=["tiny_bytes", pytest.param("smollm2", marks=pytest.mark.real_model)])
def model(request: pytest.FixtureRequest) -> Model:
    model: Model = request.getfixturevalue(request.param)
    return model


def llama_like() -> Any:
    """A tokenizer with byte fallback that marks words by what stands before them and drops the first space."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": byte + 3 for byte in range(256)}
    merges = [("▁", "h"), ("h", "a"), ("ha", "m"), ("▁", "ham")]
    for piece in [*'▁abcdehimst{}":,0123', *("".join(pair) for pair in merges)]:
        vocabulary.setdefault(piece, len(vocabulary))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(parts)
    return fast(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def fast(backend: Any, **special: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> list[str]:
    """Return what of a value does not fit a schema; knows the keywords that the schemas of this file use."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema:
        return [] if any(not problems(value, option, root) for option in schema["anyOf"]) else [f"{value!r}: anyOf"]
    found = [f"{value!r}: enum"] if "enum" in schema and value not in schema["enum"] else []
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    wanted = schema.get("type", list(kinds))
    names = [wanted] if isinstance(wanted, str) else wanted
    fits = any(isinstance(value, kinds[n]) and (n == "boolean" or not isinstance(value, bool)) for n in names)
    if not fits:
        found.append(f"{value!r} is not {wanted}")
    elif isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{key} is missing" for key in schema.get("required", []) if key not in value]
        found += [f"{key} is unknown" for key in value if known and key not in known]
        found += [problem for key in value if key in known for problem in problems(value[key], known[key], root)]
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", np.inf):
            found.append(f"{len(value)} items")
        found += [problem for part in value for problem in problems(part, schema.get("items", {}), root)]
    elif isinstance(value, str):
        if len(value) > schema.get("maxLength", np.inf) or not re.search(schema.get("pattern", ""), value):
            found.append(f"{value!r}: length or pattern")
    elif not schema.get("minimum", -np.inf) <= (value or 0) <= schema.get("maximum", np.inf):
        found.append(f"{value} is out of bounds")
    return found


# ---------------------------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize("name", SCHEMAS)
def test_random_logits_write_json_that_fits(model: Model, name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    most = 40 if name == "any" else 200
    answers = [model.random(model.schema(SCHEMAS[name]), generator, most) for _ in range(60)]
    ended = [answer for answer in answers if answer is not None]
    assert len(ended) >= (20 if name == "any" else 60)
    for answer in ended:
        assert problems(json.loads(answer), SCHEMAS[name], SCHEMAS[name]) == [], answer  # refuses control characters
        assert "\ufffd" not in answer  # no character was left unfinished
    assert len(set(ended)) >= 15


def test_the_checker_of_this_file_finds_faults() -> None:
    good = {"name": "x", "age": 3, "city": "Bern", "tags": [], "open": None}
    assert problems(good, TICKET, TICKET) == []
    for change in ({"name": "x" * 9}, {"age": 151}, {"age": True}, {"city": "Rom"}, {"tags": [1]}, {"more": 1}):
        assert len(problems(good | change, TICKET, TICKET)) == 1, change
    assert len(problems([{"id": "AB-12", "of": {"cm": 0}}], NESTED, NESTED)) == 2
    assert len(problems([], NESTED, NESTED)) == 1


def test_json_has_the_form_of_json_dumps(model: Model) -> None:
    schema = {
        "type": "object",
        "properties": {
            "a b": {"type": "boolean"},
            "é": {"type": "array", "items": {"enum": ["x", 'a "b"']}, "maxItems": 3},
        },
        "required": ["a b", "é"],
        "additionalProperties": False,
    }
    generator = torch.Generator().manual_seed(1)
    answers = [model.random(model.schema(schema), generator) for _ in range(20)]
    assert len({answer for answer in answers if answer}) >= 5
    for answer in answers:
        assert answer is not None
        assert answer == json.dumps(json.loads(answer), ensure_ascii=False)


def test_what_is_allowed_at_each_place(tiny_bytes: Model) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string"}}, "required": ["n"]}
    matcher = tiny_bytes.schema(schema | {"additionalProperties": False})
    for written, wanted in (
        ("", "{"),
        ("{", '"'),
        ('"', "n"),
        ('n"', ":"),
        (":", " "),
        (" ", "-0123456789"),
        ("0", ",}"),
        (", ", '"'),
        ('"s": "', None),
        ("\\", '"\\bfnrtu'),  # of \u only the control characters: lone surrogates are no text
        ("u00", "017"),
        ('1f"', "}"),
        ("}", ".."),
    ):
        for character in written:
            matcher.accept(tiny_bytes.ids(character)[0])
        if wanted is not None:
            assert tiny_bytes.characters(matcher) == wanted, written


def test_control_characters_do_not_stand_in_strings(tiny_bytes: Model) -> None:
    matcher = tiny_bytes.schema({"type": "string"})
    tiny_bytes.follow(matcher, '"')
    shown = tiny_bytes.allowed(matcher)
    assert {tiny_bytes.ids(chr(code))[0] for code in range(32)} & shown == set()
    assert {tiny_bytes.ids(chr(code))[0] for code in range(32, 127)} <= shown


def test_strings_are_as_long_as_the_schema_lets_them_be(tiny_bytes: Model) -> None:
    free, limited = tiny_bytes.schema({"type": "string"}), tiny_bytes.schema({"type": "string", "maxLength": 3})
    tiny_bytes.follow(free, '"' + "a" * 2000)
    tiny_bytes.follow(limited, '"aaa')
    assert "a" in tiny_bytes.characters(free)
    assert tiny_bytes.characters(limited) == '"'


def test_true_allows_any_json(tiny_bytes: Model) -> None:
    matcher = tiny_bytes.grammars.matcher(Constraint(schema="true"))
    assert tiny_bytes.characters(matcher) == '"-0123456789[fnt{'


# -------------------------------------------------------------------------------------------------------------- choices


def test_random_logits_write_one_of_the_choices(model: Model) -> None:
    choices = ("ham", "hamster", " lead", 'say "hi"', "Zürich", "日本 😀", "a/b\\c", "two\nlines", "")
    generator = torch.Generator().manual_seed(0)
    answers = [model.random(model.choices(*choices), generator) for _ in range(300)]
    assert set(answers) == set(choices)


def test_a_choice_may_begin_another(tiny_bytes: Model) -> None:
    matcher = tiny_bytes.choices("ham", "hamster", "ham")
    seen = []
    for character in "hamster":
        seen.append((tiny_bytes.characters(matcher), matcher.finished))
        matcher.accept(tiny_bytes.ids(character)[0])
    assert seen == [("h", False), ("a", False), ("m", False), ("..s", False), ("t", False), ("e", False), ("r", False)]
    assert (tiny_bytes.characters(matcher), matcher.finished) == ("..", True)


@pytest.mark.parametrize(
    "choice", ["a(b|c)*", "\x00\x7f", "<|end|>", "</s>", "x <|im_end|>", "e\u0301", "\ufffd", "🏳️‍🌈"]
)
def test_choices_are_texts_and_nothing_else(model: Model, choice: str) -> None:
    """Neither patterns nor, where they hold its name, a special token."""
    generator = torch.Generator().manual_seed(0)
    assert {model.random(model.choices(choice, "other"), generator) for _ in range(30)} == {choice, "other"}
    assert model.random(model.choices(choice), generator) == choice


@pytest.mark.parametrize("text", ["<|end|>", "e\u0301", "HaM"])
@pytest.mark.parametrize("normalizer", ["NFC", "Lowercase", None])
def test_text_that_the_tokenizer_would_change_is_written_as_it_is(text: str, normalizer: str | None) -> None:
    from tokenizers import normalizers

    tokenizer = byte_tokenizer()
    if normalizer:
        tokenizer.backend_tokenizer.normalizer = getattr(normalizers, normalizer)()
    model = Model(tokenizer, BYTES_VOCABULARY, STOPS)
    generator = torch.Generator().manual_seed(0)
    assert model.random(model.choices(text), generator) == text
    assert model.random(model.schema({"const": {text: [text]}}), generator) == json.dumps(
        {text: [text]}, ensure_ascii=False
    )


# ----------------------------------------------------------------------------------------------------------- stop, mask


def test_an_answer_stops_where_it_may_end_and_nowhere_else(model: Model) -> None:
    matcher = model.schema({"type": "array", "items": {"type": "integer"}})
    for token in model.ids("[1, 22]"):
        assert not matcher.finished
        assert model.allowed(matcher) & model.stops == set()
        matcher.accept(token)
    assert matcher.finished
    assert model.allowed(matcher) == set(model.stops)  # the end of turn and the end of text: either may come


@pytest.mark.parametrize("stop", sorted(STOPS))
def test_where_an_answer_may_go_on_it_may_also_stop(tiny_bytes: Model, stop: int) -> None:
    matcher = tiny_bytes.schema({"type": "integer"})
    tiny_bytes.follow(matcher, "12")
    assert tiny_bytes.allowed(matcher) == STOPS | {tiny_bytes.ids(digit)[0] for digit in "0123456789"}
    assert not matcher.finished
    matcher.accept(stop)
    assert matcher.finished


@pytest.mark.parametrize("token", [2, 0, 5, 280])
def test_a_token_that_was_not_allowed_is_refused(tiny_bytes: Model, token: int) -> None:
    matcher = tiny_bytes.choices("ham", "egg")
    with pytest.raises(GuardError, match=f"cannot go on with token {token}: .* chosen from masked logits"):
        matcher.accept(token)
    with pytest.raises(GuardError, match=r"^A constrained answer cannot go on: "):  # and does not just stop
        matcher.mask(torch.zeros(tiny_bytes.vocabulary))


def test_the_mask_changes_no_allowed_logit_and_not_its_input(model: Model) -> None:
    logits = torch.randn(model.vocabulary, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    matcher = model.schema({"type": "object"})
    model.follow(matcher, '{"a": "')
    masked = matcher.mask(logits)
    assert torch.equal(logits, before)
    assert masked.dtype == torch.float32
    assert masked.shape == logits.shape
    keep = torch.isfinite(masked)
    assert 0 < int(keep.sum()) < model.vocabulary
    assert torch.equal(masked[keep], logits[keep])
    assert torch.equal(masked[~keep], torch.full_like(masked[~keep], float("-inf")))


def test_special_tokens_and_ids_without_a_token_are_never_allowed(tiny_bytes: Model) -> None:
    matcher = tiny_bytes.schema({"type": "string"})
    assert tiny_bytes.allowed(matcher) == {tiny_bytes.ids('"')[0]}
    matcher.accept(tiny_bytes.ids('"')[0])
    assert tiny_bytes.allowed(matcher) <= set(range(3, len(tiny_bytes.tokenizer)))
    assert len(tiny_bytes.allowed(matcher)) > 100


def test_logits_may_be_narrower_than_the_tokenizer() -> None:
    narrow = Model(byte_tokenizer(), 100, STOPS)
    logits = torch.randn(100)
    assert torch.isfinite(narrow.choices("!").mask(logits)).nonzero().tolist() == [[3]]


def test_text_that_fits_anyway_is_written_as_without_the_constraint(model: Model) -> None:
    """Logits that peak at the tokens of a fitting text: all are allowed, also where text is forced."""
    draw = np.random.default_rng(0)
    words = [
        "",
        "Anna",
        " two",
        'a "b"',
        "né",
        "日本",
        "x, y",
        "new\nline",
        "c\\d",
        "12",
        "{}",
        "😀 hi",
        " ",
        "]",
        "<|x|>",
    ]
    schema = TICKET | {"properties": TICKET["properties"] | {"name": {"type": "string"}}}  # type: ignore[operator]
    for _ in range(40):
        value = (
            {
                "name": str(draw.choice(words)) + str(draw.choice(words)),
                "age": int(draw.integers(150)),
                "city": str(draw.choice(TICKET["properties"]["city"]["enum"])),  # type: ignore[index]
                "tags": [str(word)[:3] for word in draw.choice(words, int(draw.integers(4)))],
            }
            | ({"open": None} if draw.random() < 0.5 else {})
        )
        matcher = model.schema(schema)
        for token in model.ids(json.dumps(value, ensure_ascii=False)):
            logits = torch.randn(model.vocabulary)
            logits[token] = 20.0
            assert int(matcher.mask(logits).argmax()) == token
            matcher.accept(token)
        assert matcher.finished


def test_sequences_of_one_constraint_do_not_disturb_each_other(tiny_bytes: Model) -> None:
    first, second = tiny_bytes.choices("ab", "cd"), tiny_bytes.choices("ab", "cd")
    tiny_bytes.follow(first, "a")
    tiny_bytes.follow(second, "c")
    assert (tiny_bytes.characters(first), tiny_bytes.characters(second)) == ("b", "d")
    assert tiny_bytes.characters(tiny_bytes.choices("ab", "cd")) == "ac"


def test_constraints_are_kept_in_bounds_and_compiled_again(tiny_bytes: Model) -> None:
    first = tiny_bytes.choices("first")
    for number in range(300):
        tiny_bytes.choices(f"choice {number}")
    assert len(tiny_bytes.grammars._compiled) == 128
    assert tiny_bytes.characters(first) == tiny_bytes.characters(tiny_bytes.choices("first")) == "f"


# -------------------------------------------------------------------------------------------------------- forced tokens


def test_forced_tokens_are_the_tokenizers_own(model: Model) -> None:
    value = {"order number": "LK-31337", "city": "Zürich", "n": [1, 2]}
    text = json.dumps(value, ensure_ascii=False)
    matcher = model.schema({"const": value})
    written: list[int] = []
    while not matcher.finished:
        forced = matcher.forced() or sorted(model.allowed(matcher))[:1]
        for token in forced:
            assert model.allowed(matcher) == {token}
            matcher.accept(token)
        written += forced
    assert written == model.ids(text)
    assert matcher.forced() == []


def test_forced_tokens_leave_out_what_may_join_with_what_follows(smollm2: Model) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    matcher = smollm2.schema(schema)
    forced = matcher.forced()
    assert smollm2.text(forced) == '{"name":'  # ` "` may join: ` ""` is one token
    assert forced == smollm2.ids('{"name": "Anna"}')[: len(forced)] == smollm2.ids('{"name": ""}')[: len(forced)]


# ----------------------------------------------------------------------------------------------------------------- rows


def test_rows_are_masked_as_each_alone(model: Model) -> None:
    matchers = [model.choices("ham", "hamster"), None, model.schema(TICKET), model.schema({"type": "integer"}), None]
    logits = torch.randn(5, model.vocabulary, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    masked = mask_rows([None if matcher is None else matcher.allowed() for matcher in matchers], logits)
    assert torch.equal(logits, before)
    assert (masked.dtype, masked.shape) == (logits.dtype, logits.shape)
    for row, matcher in enumerate(matchers):
        assert torch.equal(masked[row], logits[row] if matcher is None else matcher.mask(logits[row])), row


def test_rows_without_a_constraint_stay_as_they_are(tiny_bytes: Model) -> None:
    logits = torch.randn(2, tiny_bytes.vocabulary)
    assert torch.equal(mask_rows([None, None], logits), logits)


def test_other_devices_give_the_same() -> None:
    bits = np.array([[0b00000101, 0xFF], [0, 0b10000000]], np.uint8)
    logits = torch.tensor([[1.5] * 10, [-2.0] * 10])
    ninf = float("-inf")
    wanted = [[1.5, ninf, 1.5, ninf, ninf, ninf, ninf, ninf, 1.5, 1.5], [ninf] * 10]
    assert _penalized(bits, logits).tolist() == _penalized_on_device(bits, logits).tolist() == wanted
    assert _penalized_on_device(bits[0], logits[0]).tolist() == wanted[0]
    elsewhere = _penalized(bits, logits.to("meta"))
    assert (elsewhere.device.type, elsewhere.shape, elsewhere.dtype) == ("meta", (2, 10), torch.float32)


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"allOf": [{"type": "string"}, {"type": "number"}]}, "incompatible types"),
        ({"enum": []}, "anyOf is empty"),
        (
            {"type": "object", "required": ["a"], "additionalProperties": False},
            "required property 'a' is unsatisfiable",
        ),
        ({"type": "array", "minItems": 3, "maxItems": 2}, r"minItems \(3\) is greater than maxItems \(2\)"),
        (False, "it is false"),
    ],
)
def test_a_schema_that_no_answer_fits_is_refused(tiny_bytes: Model, schema: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"^The schema allows no answer: {reason}\."):
        tiny_bytes.schema(schema)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"not": {"type": "string"}}, r'Unimplemented keys: \["not"\]'),
        ({"type": "array", "uniqueItems": True}, r'Unimplemented keys: \["uniqueItems"\]'),
        ({"type": "text"}, "Invalid type: text"),
        ({"type": "string", "format": "phone"}, "Unknown format: phone"),
        ({"type": "string", "pattern": "(?=a)b"}, ".*look-around, .* is not supported"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "oneOf constraints are not supported"),
        ({"$ref": "#/$defs/none"}, "Pointer '/\\$defs/none' does not exist"),
    ],
)
def test_a_schema_that_cannot_constrain_is_refused(tiny_bytes: Model, schema: Any, reason: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^The schema cannot constrain an answer: {reason}\. Allowed are type,"
    ) as error:
        tiny_bytes.schema(schema)
    assert "Not allowed are not, if," in str(error.value)
    assert "write anyOf" in str(error.value)
    assert "start:" not in str(error.value)  # llguidance's grammar is none of the user's business


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{'type': 1}", "The schema is not JSON: Expecting property name .* It begins with: \"{'type': 1}\""),
        ("[1]", r"A JSON schema is an object such as \{\"type\": \"object\"\}, not '\[1\]'"),
        ('{"x-guidance": {"lenient": true}}', "The schema has the key x-guidance.* remove the key"),
    ],
)
def test_what_is_no_schema_is_refused(tiny_bytes: Model, text: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        tiny_bytes.grammars.matcher(Constraint(schema=text))


def test_a_choice_that_is_no_text_is_refused(tiny_bytes: Model) -> None:
    with pytest.raises(ConfigError, match=r"These choices cannot constrain an answer: .* must be a Unicode text"):
        tiny_bytes.choices("a", "\ud800")


HUGE = {"type": "object", "properties": {f"k{i}": {"type": "null"} for i in range(520)}}
"""More than the grammar's limit, which is only met once the object has begun."""


def test_a_schema_that_is_too_large_is_told() -> None:
    model = Model(byte_tokenizer(), BYTES_VOCABULARY, STOPS)
    with pytest.raises(GuardError, match=r"max is 2000.* the schema is too large: write a smaller one"):
        model.follow(model.schema(HUGE), '{"k1": null')


def test_a_sequence_whose_constraint_cannot_go_on_fails_alone() -> None:
    model = Model(byte_tokenizer(), BYTES_VOCABULARY, STOPS)
    turns = Turns(STOPS, lambda ids: "", model.grammars)
    held = turns.begin([1], Decoding(20, constraint=Constraint(schema=json.dumps(HUGE))), 0)
    free = turns.begin([1], Decoding(20), 1)
    while held.finish is None:
        token = model.ids('{"k1": null')[len(held.tokens)]
        logits = torch.zeros(2, model.vocabulary)
        logits[:, token] = 1.0
        turns.advance([held, free], logits)
    assert held.finish == "failed"
    assert "the schema is too large: write a smaller one" in held.problem
    assert (free.finish, free.tokens) == (None, held.tokens)


# ----------------------------------------------------------------------------------------------------------- tokenizers


def test_tokenizers_with_byte_fallback_are_taken() -> None:
    model = Model(llama_like(), 310, frozenset({2}))
    generator = torch.Generator().manual_seed(0)
    answers = [model.random(model.schema(TICKET), generator) for _ in range(20)]
    assert all(answer and problems(json.loads(answer), TICKET, TICKET) == [] for answer in answers)
    assert {model.random(model.choices("ham", "Zürich ham"), generator) for _ in range(20)} == {"ham", "Zürich ham"}


def test_a_choice_that_the_tokenizer_reads_back_otherwise_is_refused() -> None:
    model = Model(llama_like(), 310, frozenset({2}))
    with pytest.raises(CompatibilityError, match=r"The choice ' ham' would be read back as 'ham' .* without spaces"):
        model.choices("ham", " ham")


def unigram() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), ("▁", -1.0), ("a", -1.0)], unk_id=0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return fast(backend, eos_token="</s>", unk_token="<unk>")


def word_pieces() -> Any:
    from tokenizers import Tokenizer, decoders, models

    backend = Tokenizer(models.WordPiece({"<unk>": 0, "</s>": 1, "a": 2, "##b": 3}, unk_token="<unk>"))
    backend.decoder = decoders.WordPiece()
    return fast(backend, eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (unigram, r"\(Unigram, 4 ids\): can't determine decoder type: .*Metaspace"),
        (word_pieces, r"\(WordPiece, 4 ids\): can't determine decoder type: .*WordPiece"),
    ],
)
def test_a_tokenizer_that_is_not_of_bytes_is_refused(make: Any, named: str) -> None:
    with pytest.raises(CompatibilityError, match=rf"does not take its tokenizer \w+ {named}") as error:
        Model(make(), 4, frozenset({1})).choices("a")
    assert "byte fallback, as Llama, Qwen, Gemma and SmolLM have. Leave the constraint out" in str(error.value)


def test_a_tokenizer_that_llguidance_reads_otherwise_is_refused() -> None:
    from tokenizers import decoders

    tokenizer = llama_like()
    parts = [decoders.Replace("▁", " "), decoders.Replace("a", "e"), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(parts)
    with pytest.raises(CompatibilityError, match=r'reads .* back as .*{"neïve"'):
        Model(tokenizer, 310, frozenset({2})).choices("a")


def test_a_model_without_a_stop_id_is_refused() -> None:
    with pytest.raises(CompatibilityError, match="eos_token list must not be empty"):
        Model(byte_tokenizer(), BYTES_VOCABULARY, frozenset()).choices("a")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(LuthierError, match=r"needs the package 'llguidance', .* pip install llguidance$"):
        Model(byte_tokenizer(), BYTES_VOCABULARY, STOPS).choices("a")
