"""From an example to tokens and targets, token by token, with the byte-level tokenizer of the tiny models.

Its ids by hand: <|pad|> 0, <|start|> 1, <|end|> 2, then the byte alphabet in order of its characters: "!" is 3, so a
printable ASCII character c is ord(c) - 30; the newline is 201 and the space 223.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from luthier.core.errors import DataError, GuardError, ModelError
from luthier.core.types import Example, Message, user
from luthier.data.render import Renderer
from luthier.models.load import PLAIN_TEMPLATE, load_tokenizer
from luthier.models.source import ModelSource
from luthier.testing.tiny import CHAT_TEMPLATE, byte_tokenizer

START, END, NEWLINE, SPACE = 1, 2, 201, 223


def code(text: str) -> list[int]:
    return [{"\n": NEWLINE, " ": SPACE}.get(c, ord(c) - 30) for c in text]


def turn(role: str, text: str) -> list[int]:
    return [START, *code(role), NEWLINE, *code(text), END, NEWLINE]


ASK = [START, *code("assistant"), NEWLINE]


def tokenizer(template: str = CHAT_TEMPLATE, **options: Any) -> Any:
    made = byte_tokenizer()
    made.chat_template = template
    for name, value in options.items():
        setattr(made, name, value)
    return made


def renderer(context: int = 512, template: str = CHAT_TEMPLATE, **options: Any) -> Renderer:
    return Renderer(tokenizer(template, **options), context)


def example(answer: str = "Yes.", *messages: Message, line: int = 0) -> Example:
    return Example("e1", messages or user("Is it?"), (answer,), line=line)


def test_one_turn_token_by_token() -> None:
    found = renderer().render(example())
    prompt = turn("user", "Is it?") + ASK
    assert found.tokens.tolist() == prompt + code("Yes.") + [END]
    assert found.weights.tolist() == [0] * len(prompt) + [1] * 5
    assert (found.prompt_length, found.trained, found.boundary_moved) == (len(prompt), 5, False)
    batch = found.batch()
    assert batch.targets.token.tolist() == [*code("Yes."), END]
    assert batch.targets.read_at.tolist() == list(range(len(prompt) - 1, len(prompt) + 4))


def test_the_end_of_turn_is_a_target_by_position_where_padding_has_its_id() -> None:
    padding_is_end = renderer(pad_token="<|end|>")
    assert padding_is_end.tokenizer.pad_token_id == END
    found = padding_is_end.render(example())
    assert found.tokens[-1] == END
    assert found.weights[-1] == 1
    # The same id in the prompt is context.
    assert [w for t, w in zip(found.tokens, found.weights, strict=True) if t == END] == [0, 1]


TALK = (Message("system", "Be brief."), Message("user", "One?"), Message("assistant", "1"), Message("user", "Two?"))


def test_of_several_turns_every_answer_is_trained() -> None:
    (found,) = renderer().render_turns(example("2", *TALK))
    before = turn("system", "Be brief.") + turn("user", "One?") + ASK
    between = [NEWLINE, *turn("user", "Two?"), *ASK]
    assert found.tokens.tolist() == [*before, *code("1"), END, *between, *code("2"), END]
    assert found.weights.tolist() == [0] * len(before) + [1, 1] + [0] * len(between) + [1, 1]
    assert found.prompt_length == len(before)


@pytest.mark.parametrize(("weight", "trained"), [(0.0, 0.0), (0.25, 0.25), (None, 1.0)])
def test_a_turn_has_the_weight_that_its_message_gives(weight: float | None, trained: float) -> None:
    talk = (*TALK[:2], Message("assistant", "1", weight), TALK[3])
    (found,) = renderer().render_turns(example("2", *talk))
    place = len(turn("system", "Be brief.") + turn("user", "One?") + ASK)
    assert found.weights[place : place + 2].tolist() == [trained] * 2
    assert found.weights[-2:].tolist() == [1, 1]


def test_what_the_assistant_says_before_it_is_asked_is_not_trained() -> None:
    (found,) = renderer().render_turns(example("2", Message("assistant", "Hello."), Message("user", "Two?")))
    assert found.trained == 2


def test_a_template_that_shortens_earlier_turns_makes_a_sequence_a_turn() -> None:
    """As thinking models do: what is remembered of an answer is another text than what was said."""
    shortening = CHAT_TEMPLATE.replace(
        "message['content']", "(message['content'] if loop.last else message['content'].split('/')[-1])"
    )
    first, second = renderer(template=shortening).render_turns(
        example("b/2", Message("user", "One?"), Message("assistant", "a/1"), Message("user", "Two?"))
    )
    before = turn("user", "One?") + ASK
    assert first.tokens.tolist() == [*before, *code("a/1"), END]
    again = turn("user", "One?") + turn("assistant", "1") + turn("user", "Two?") + ASK
    assert second.tokens.tolist() == [*again, *code("b/2"), END]
    assert second.weights.tolist() == [0] * len(again) + [1] * 4


def test_thoughts_may_be_left_out_of_the_loss() -> None:
    answer = "<think>Hm.</think>\n\n2"
    row = example(answer)
    assert renderer().render(row).trained == len(answer) + 1
    found = Renderer(tokenizer(), 512, train_thoughts=False).render(row)
    assert found.tokens.tolist() == renderer().render(row).tokens.tolist()
    assert found.weights[found.prompt_length :].tolist() == [0] * (len(answer) - 1) + [1, 1]  # "2" and the end
    assert Renderer(tokenizer(), 512, train_thoughts=False).render(example("No.")).trained == 4


def test_thoughts_that_a_template_rewrites_cannot_be_left_out() -> None:
    rewriting = CHAT_TEMPLATE.replace("message['content']", "message['content'].replace('Hm', 'Ah')")
    with pytest.raises(GuardError, match=r"rewrites answers with thoughts.*data\.thoughts=train"):
        Renderer(tokenizer(rewriting), 512, train_thoughts=False).render(example("<think>Hm.</think>2"))


def test_training_begins_with_the_prompt_of_inference() -> None:
    writer, row = renderer(), example("An answer\nof two lines  ")
    found = writer.render(row)
    assert found.tokens[: found.prompt_length].tolist() == writer.prompt_ids(row.messages)
    assert found.tokens[found.prompt_length :].tolist() == [*writer.answer_ids(row.reference), END]


def test_a_token_across_the_border_is_split_there_and_counted() -> None:
    # "\nY" becomes one token: tokenised as a whole, the prompt of training would not be that of inference.
    merged = Tokenizer.from_str(
        byte_tokenizer()
        .backend_tokenizer.to_str()
        .replace('"merges":[]', '"merges":[["Ċ","Y"]]')
        .replace('"vocab":{', '"vocab":{"ĊY":259,')
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=merged, eos_token="<|end|>", pad_token="<|pad|>", chat_template=CHAT_TEMPLATE
    )
    assert fast("a\nYes")["input_ids"] == [*code("a"), 259, *code("es")]
    found = Renderer(fast, 512).render(example("Yes.\nYes."))
    prompt = turn("user", "Is it?") + ASK
    assert found.boundary_moved
    assert found.tokens.tolist() == [*prompt, *code("Yes."), 259, *code("es."), END]
    assert found.prompt_length == len(prompt)
    assert not Renderer(fast, 512).render(example("No.")).boundary_moved


def test_a_base_model_gets_the_plain_template_and_its_end_token() -> None:
    found = renderer(template=PLAIN_TEMPLATE).render(example())
    prompt = code("Is it?\n\n")
    assert found.tokens.tolist() == prompt + code("Yes.") + [END]
    assert found.weights.tolist() == [0] * len(prompt) + [1] * 5


@pytest.mark.parametrize("begins", [True, False])
def test_the_plain_template_begins_as_the_tokenizer_does(tmp_path: Path, begins: bool) -> None:
    made = tokenizer()
    made.add_special_tokens({"bos_token": "<|bos|>"})
    if begins:
        made.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|bos|> $A", special_tokens=[("<|bos|>", made.bos_token_id)]
        )
    made.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    found = Renderer(load_tokenizer(ModelSource("base", "base", tmp_path)), 512).render(example())
    wanted = [*code("Is it?\n\n"), *code("Yes."), END]
    assert found.tokens.tolist() == ([made.bos_token_id, *wanted] if begins else wanted)


def test_a_template_that_ends_no_turn_gets_the_end_token_added() -> None:
    bare = "{% for m in messages %}{{ m['content'] }}{% if not loop.last %} {% endif %}{% endfor %}"
    bare += "{% if add_generation_prompt %} {% endif %}"
    found = renderer(template=bare).render(example())
    assert found.tokens.tolist() == code("Is it? ") + code("Yes.") + [END]


def test_what_the_template_writes_after_the_end_is_no_target() -> None:
    # The template's newline after <|end|> is not what the model has to learn: it stops at <|end|>.
    found = renderer().render(example())
    assert found.tokens[-1] == END
    assert NEWLINE not in found.tokens[found.prompt_length :]


@pytest.mark.parametrize("special", ["<|end|>", "<|start|>", "<|pad|>"])
def test_a_special_token_in_the_data_is_refused(special: str) -> None:
    with pytest.raises(
        DataError, match=rf"line 7: the answer contains the model's special token '{special}'".replace("|", r"\|")
    ):
        renderer().render(example(f"x{special}y", line=7))
    with pytest.raises(DataError, match="a user message contains the model's special token"):
        renderer().render(example("x", *user(f"Is {special} it?")))


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(DataError, match="example e1 has an empty answer; give it one"):
        renderer().render(example(""))


def test_nothing_is_cut() -> None:
    length = len(renderer().render(example()))
    assert len(renderer(context=length).render(example())) == length
    with pytest.raises(DataError, match=f"line 3 has {length} tokens, the model takes {length - 1}.*does not cut"):
        renderer(context=length - 1).render(example(line=3))


def test_a_template_that_writes_the_prompt_otherwise_before_an_answer_is_refused() -> None:
    unstable = "{% if add_generation_prompt %}ask{% else %}done{% endif %}" + CHAT_TEMPLATE
    with pytest.raises(GuardError, match="would not be the prompt of inference"):
        renderer(template=unstable).render(example())


def test_a_template_that_rewrites_answers_is_refused() -> None:
    trimmed = CHAT_TEMPLATE.replace("message['content']", "message['content'] | upper")
    with pytest.raises(ModelError, match="does not write answers as they are"):
        renderer(template=trimmed).render(example())


@pytest.mark.parametrize(
    ("template", "places"),
    [
        ("{{ '<|bos|>' }}{{ '<|bos|>' }}", r"\[0, 1\]"),
        ("{{ 'x' }}{{ '<|bos|>' }}", r"\[1\]"),
        ("{{ '<|bos|>' }}", None),
    ],
)
def test_a_doubled_or_misplaced_beginning_is_stopped(template: str, places: str | None) -> None:
    made = tokenizer(template + CHAT_TEMPLATE)
    made.add_special_tokens({"bos_token": "<|bos|>"})
    writer = Renderer(made, 512)
    if places is None:
        assert writer.render(example()).tokens[0] == made.bos_token_id
    else:
        with pytest.raises(GuardError, match=f"beginning-of-sequence token at positions {places}; only 0 is right"):
            writer.render(example())


def test_chatml_opens_every_turn_with_its_beginning() -> None:
    assert renderer(bos_token="<|start|>").render(example()).tokens.tolist().count(START) == 2


def test_stop_ids_are_the_end_of_turn_and_the_end_token() -> None:
    assert renderer().template.stop_ids == {END}
    assert renderer(eos_token="<|pad|>").template.stop_ids == {END, 0}


def test_pieces_show_what_is_trained() -> None:
    writer = renderer()
    pieces = writer.pieces(writer.render(example("Ja")))
    assert pieces[-3:] == [("J", 1.0), ("a", 1.0), ("<|end|>", 1.0)]
    assert "".join(text for text, _ in pieces[:-3]) == "<|start|>user\nIs it?<|end|>\n<|start|>assistant\n"
