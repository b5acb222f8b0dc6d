"""A local model's completions: generated, scored, streamed, failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from luthier.core.errors import ConfigError
from luthier.core.types import Constraint, Decoding, Message, Request, user
from luthier.data.render import Renderer
from luthier.generation.local import LocalModel
from luthier.generation.scoring import Options, score, scoring_batch
from luthier.models.device import has_bf16
from luthier.models.readout_model import ReadoutModel
from luthier.models.readouts import TokenLogps
from luthier.segments import sequence_batch


def local(model: Any, context: int = 512) -> LocalModel:
    return LocalModel(ReadoutModel(model), Renderer(model.tokenizer, context), None)


def ask(text: str, max_tokens: int = 12, **options: Any) -> Request:
    return Request(user(text), Decoding(max_tokens, **options))


def test_an_answer_is_what_greedy_decoding_gives(tiny: Callable[..., Any]) -> None:
    model = local(tiny())
    found = model.complete([ask("one"), ask("two?", 7)])
    for request, completion in zip((ask("one"), ask("two?", 7)), found, strict=True):
        ids = model.renderer.prompt_ids(request.messages)
        tokens: list[int] = []
        for _ in range(request.decoding.max_tokens):
            with torch.no_grad(), model.loaded.attention("sdpa"):
                logits = model.loaded.module(input_ids=torch.tensor([ids + tokens]), use_cache=False).logits
            tokens.append(int(logits[0, -1].argmax()))
            if tokens[-1] == 2:
                break
        stopped = tokens[-1] == 2
        assert completion.text == model.renderer.tokenizer.decode(tokens, skip_special_tokens=True)
        assert completion.finish == ("stop" if stopped else "length")
        assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (len(ids), len(tokens))


def test_an_answer_ends_at_its_end_of_turn_and_not_at_padding(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = local(tiny())
    end, padding = model.renderer.template.end_of_turn, model.renderer.tokenizer.pad_token_id
    assert (end, padding) == (2, 0)
    letters = model.renderer.answer_ids("abc")
    written = iter([letters[0], padding, letters[1], end, letters[2]])
    monkeypatch.setattr(
        model.engine.reader,
        "logits",
        lambda *_: torch.nn.functional.one_hot(torch.tensor([next(written)]), 259).float(),
    )
    (found,) = model.complete([ask("one")])
    assert (found.text, found.finish, found.usage.completion_tokens) == ("ab", "stop", 4)


def test_a_stop_string_ends_the_text_before_it(tiny: Callable[..., Any]) -> None:
    model = local(tiny("llama_untied"))
    whole = model.complete([ask("count", 20)])[0].text
    stop = whole[5:7]
    found = model.complete([ask("count", 20, stop=(stop,))])[0]
    assert found.text == whole.split(stop)[0]
    assert found.finish == "stop"
    assert found.usage.completion_tokens < 20


def test_a_stream_gives_the_same_text_and_never_the_beginning_of_a_stop(tiny: Callable[..., Any]) -> None:
    model = local(tiny("llama_untied"))
    whole = model.complete([ask("count", 20)])[0].text
    assert "".join(model.stream(ask("count", 20))) == whole
    assert len(list(model.stream(ask("count", 20)))) > 3
    for stop in (whole[5:8], whole[4:6], whole[-1]):
        request = ask("count", 20, stop=(stop, "never written"))
        assert "".join(model.stream(request)) == model.complete([request])[0].text == whole.split(stop)[0]


def test_a_stream_never_ends_inside_a_character(tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = local(tiny())
    tokens = model.renderer.tokenizer("aöb")["input_ids"]
    assert len(tokens) == 4

    class Scripted:
        def stream(self, prompt: Any, decoding: Any) -> Any:
            from luthier.generation.sequences import Turns

            turns = Turns(frozenset(), lambda ids: "")
            job = turns.begin(prompt, decoding, 0)
            for token in tokens:
                turns.advance([job], torch.nn.functional.one_hot(torch.tensor([token]), 300).float())
                yield job

    monkeypatch.setattr(model, "engine", Scripted())
    assert list(model.stream(ask("x", 9))) == ["a", "ö", "b"]


def test_options_are_scored_as_if_each_stood_alone(tiny: Callable[..., Any]) -> None:
    model = local(tiny())
    options = ("yes", "no", "perhaps not", "n")
    (found,) = model.complete([Request(user("Is it?"), continuations=options)])
    prompt = model.renderer.prompt_ids(user("Is it?"))
    wanted = []
    for option in options:
        ids = np.array(prompt + model.renderer.answer_ids(option))
        weights = np.r_[np.zeros(len(prompt)), np.ones(len(ids) - len(prompt))].astype(np.float32)
        alone = ReadoutModel(model.loaded, layout="rows").read(sequence_batch(ids, weights), [TokenLogps()], None)
        wanted.append(float(alone["logps"].sum()))
    assert found.logps == pytest.approx(wanted, rel=1e-5)
    assert found.text == options[int(np.argmax(wanted))]
    assert found.usage.prompt_tokens == len(prompt)


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this machine has no bf16")
def test_options_are_scored_in_fp32_where_the_model_is_in_bf16(tiny: Callable[..., Any]) -> None:
    model, asked = ReadoutModel(tiny(precision="bf16")), [Options([10, 11, 12], [[20, 21, 22], [30]])]
    (found,) = score(model, None, asked)
    exact, rough = (
        model.read(scoring_batch(asked), [TokenLogps()], None, exact=exact)["logps"] for exact in (True, False)
    )
    assert found == pytest.approx([float(exact[:3].sum()), float(exact[3])], rel=1e-6)
    assert found != pytest.approx([float(rough[:3].sum()), float(rough[3])], rel=1e-6)


def test_the_forest_of_prompts_and_their_options_by_hand() -> None:
    batch = scoring_batch([Options([10, 11, 12], [[20, 21], [30], [40, 41]]), Options([50], [[60]])], least=1)
    assert [(s.tokens.tolist(), s.parent) for s in batch.segments] == [
        ([50, 60], -1), ([10, 11, 12], -1), ([20, 21], 1), ([30], 1), ([40, 41], 1),
    ]  # fmt: skip
    assert batch.targets.read_at.tolist() == [4, 5, 4, 4, 8, 0]
    assert batch.targets.token.tolist() == [20, 21, 30, 40, 41, 60]
    assert batch.targets.weight.tolist() == [1.0] * 6
    assert batch.targets.sequence.tolist() == [0, 0, 1, 2, 2, 3]
    assert batch.targets.group.tolist() == [0, 0, 0, 1]


def test_what_cannot_be_done_fails_alone(tiny: Callable[..., Any]) -> None:
    model = local(tiny(), context=60)
    requests = [
        ask("short"),
        ask("long" * 20),
        ask("a <|end|> inside"),
        Request(user("Is it?"), continuations=("yes", "")),
        Request(user("Is it?"), continuations=("y" * 60,)),
        Request(user("Is it?"), continuations=("yes", "no")),
    ]
    found = model.complete(requests)
    assert [c.finish == "failed" for c in found] == [False, True, True, True, True, False]
    assert "with an answer of up to 12 the model takes 48" in found[1].text
    assert "special token '<|end|>'" in found[2].text
    assert found[3].text == "A continuation to be scored is empty."
    assert "the model takes 60" in found[4].text
    assert found[0].text == model.complete([ask("short")])[0].text


@pytest.mark.parametrize("family", ["bloom", "llama"])
def test_a_model_that_cannot_pack_answers_through_transformers(tiny: Callable[..., Any], family: str) -> None:
    loaded = tiny(family)
    if family == "llama":  # packs, but its output layer would not be its own
        wanted = local(tiny()).complete([ask("one"), ask("two")])
        loaded.output = replace(loaded.output, scale=0.1, verified=False)
        assert [c.text for c in local(loaded).complete([ask("one"), ask("two")])] == [c.text for c in wanted]
    model = local(loaded)
    request = ask("one", 8)
    (found,) = model.complete([request])
    assert "".join(model.stream(request)) == found.text
    (scored,) = model.complete([Request(user("Is it?"), continuations=("yes", "no"))])
    assert scored.logps is not None
    assert len(scored.logps) == 2


def test_its_identity_covers_weights_adapter_template_and_precision(tiny: Callable[..., Any]) -> None:
    loaded = tiny()
    renderer = Renderer(loaded.tokenizer, 512)
    one = LocalModel(ReadoutModel(loaded), renderer, None)
    names = {one.identity, LocalModel(ReadoutModel(loaded), renderer, None, "adapter").identity}
    names.add(local(tiny("llama_untied")).identity)
    names.add(local(replace(loaded, precision="bf16")).identity)
    loaded.tokenizer.chat_template += "{# a comment #}"
    names.add(local(loaded).identity)
    assert len(names) == 5
    assert local(tiny()).identity == one.identity


def test_a_constraint_holds_in_a_batch_beside_free_answers(tiny: Callable[..., Any]) -> None:
    model = local(tiny())
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "yes"]}, "b": {"type": "boolean"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    held = Decoding(60, constraint=Constraint(schema=json.dumps(schema)))
    chosen = Decoding(60, constraint=Constraint(choices=("ham", "hamster")))
    requests = [Request(user(f"Question {i}?"), d) for i in range(4) for d in (held, chosen, Decoding(12))]
    found = model.complete(requests)
    for i, completion in enumerate(found):
        if requests[i].decoding is held:
            value = json.loads(completion.text)
            assert (set(value), completion.finish) == ({"a", "b"}, "stop")
            assert completion.text == json.dumps(value)
            assert (value["a"] in ("x", "yes"), isinstance(value["b"], bool)) == (True, True)
        elif requests[i].decoding is chosen:
            assert (completion.text in ("ham", "hamster"), completion.finish) == (True, "stop")
        else:
            assert completion.text == model.complete([requests[i]])[0].text
    assert {completion.text for completion in found[1::3]} <= {"ham", "hamster"}


def test_a_schema_that_no_answer_fits_stops_before_anything_is_answered(tiny: Callable[..., Any]) -> None:
    model = local(tiny())
    impossible = Constraint(schema=json.dumps({"allOf": [{"type": "string"}, {"type": "number"}]}))
    with pytest.raises(ConfigError, match="The schema allows no answer"):
        model.complete([Request(user("Is it?"), Decoding(9, constraint=impossible))])


def test_many_questions_with_one_block_are_scored_as_alone(tiny: Callable[..., Any]) -> None:
    model = local(tiny())
    block = [
        Message("user", "first"),
        Message("assistant", "one"),
        Message("user", "second"),
        Message("assistant", "two"),
    ]
    requests = [
        Request((*block, Message("user", f"question {i}")), continuations=("yes", "no", "not now"[: 3 + i]))
        for i in range(5)
    ]
    together = model.complete(requests)
    for request, completion in zip(requests, together, strict=True):
        (alone,) = model.complete([request])
        assert completion.logps == pytest.approx(alone.logps, rel=1e-5)
        assert completion.text == alone.text
