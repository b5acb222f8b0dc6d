"""Each rule of cleaning by itself, with counts derived by hand."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from luthier.core.errors import ConfigError, MissingExtraError
from luthier.core.types import Example, user
from luthier.data.cleaning import DEFAULT_RULES, RULES, Row, build_rules, clean, rows_of
from luthier.data.cleaning.personal_data import PersonalDataConfig, mask
from luthier.data.cleaning.repetition import shares
from luthier.data.mapping import RowMapping


def row(line: int, asked: str, answer: str = "", **fields: Any) -> Row:
    references = (answer,) if answer else ()
    example = Example(
        f"r{line}", user(asked), references, fields={"text": asked, "answer": answer, **fields}, line=line
    )
    return Row(example, asked, answer, frozenset({"id"}))


def rows(*texts: tuple[str, str]) -> list[Row]:
    return [row(line, *text) for line, text in enumerate(texts, start=1)]


def found(name: str, given: list[Row], **settings: Any) -> dict[int, str]:
    """Return the reasons of one rule by line."""
    (rule,) = build_rules([name], {name: settings})
    return {given[finding.row].example.line: finding.reason for finding in rule.find(given)}


# --------------------------------------------------------------------------------------------------------- duplicates


def test_exact_duplicates_differ_in_spacing_at_most() -> None:
    given = rows(("a  b", "x"), ("A b", "x"), (" a b\n", "x "), ("a b", "y"), ("a b", "x"))
    assert found("exact_duplicates", given) == {3: "the same as line 1", 5: "the same as line 1"}


BASE = "please tell me where the blue parcel is that i ordered on a cold morning in the old town"
ONE_CHANGED = BASE.replace("cold", "warm")
SUMMARY = "the customer asks where the blue parcel is that was ordered in the old town on a cold morning"


def test_near_duplicates_need_like_questions_and_like_answers() -> None:
    given = rows(
        (BASE, "shipping"),
        (ONE_CHANGED, "Shipping "),  # the same label
        (ONE_CHANGED, "billing"),  # a contradiction: stays
        (BASE.upper() + "!", "billing"),  # repeats the contradiction
        ("what does this lamp cost", "shipping"),
    )
    reasons = {2: "nearly the same as line 1", 4: "nearly the same as line 3"}
    assert found("near_duplicates", given) == reasons


def test_long_answers_are_alike_from_the_same_similarity_on() -> None:
    like, unlike = SUMMARY.replace("cold", "warm"), "the parcel is " + SUMMARY[-40:]
    given = rows((BASE, SUMMARY), (ONE_CHANGED, like), (BASE + " ", unlike), (ONE_CHANGED, like + " 2"))
    assert found("near_duplicates", given) == {2: "nearly the same as line 1"}


def test_short_answers_must_be_equal() -> None:
    labels = ("the customer complains, of category number a", "the customer complains, of category number b")
    assert found("near_duplicates", rows(*((BASE, label) for label in labels))) == {}


def test_numbers_count_in_answers_but_not_in_questions() -> None:
    first, second = (f"{BASE} number {n}" for n in (4711, 4712))
    assert found("near_duplicates", rows((first, '{"order": 4711}'), (second, '{"order": 4712}'))) == {}
    assert found("near_duplicates", rows((first, "late"), (second, "late"))) == {2: "nearly the same as line 1"}


def test_a_row_is_compared_with_rows_that_stay() -> None:
    """Each step is near the one before, the third is not near the first: it stays."""
    words = BASE.split()
    steps = [" ".join(["cobalt"] * k + words[k:]) for k in (0, 1, 4)]
    assert found("near_duplicates", rows(*((step, "x") for step in steps))) == {2: "nearly the same as line 1"}


# -------------------------------------------------------------------------------------------------------------- length


def test_length_counts_words_of_question_and_answer() -> None:
    given = rows(("?!", "x"), ("one two", "yes"), ("one two three", "four five"), ("我喜欢喝茶", "x"), ("hello", "👍"))
    assert found("length", given) == {1: "0 words in the question, fewer than 1"}
    assert found("length", given, fewest_words=3, fewest_answer_words=1, most_words=5) == {
        1: "0 words in the question, fewer than 3",
        2: "2 words in the question, fewer than 3",
        4: "6 words, more than 5",
        5: "1 word in the question, fewer than 3",
    }
    assert found("length", given[4:], fewest_answer_words=1) == {5: "0 words in the answer, fewer than 1"}


def test_length_by_default_removes_what_no_model_takes() -> None:
    given = rows(("word " * 7999, "x"), ("word " * 8000, "x"))
    assert found("length", given) == {2: "8,001 words, more than 8,000"}


# ---------------------------------------------------------------------------------------------------------- repetition


def test_shares_of_repeated_lines_and_paragraphs() -> None:
    """Three lines of two characters, of which one repeats; four paragraphs of 1, 1, 2, 1 characters, two repeat."""
    by_lines = [share for share, _, _ in shares("a b\n a  b\nc d\n")]
    assert by_lines[:4] == pytest.approx([1 / 3, 2 / 6, 0, 0])
    by_paragraphs = [share for share, _, _ in shares("a\n\na\n \nb\nc\n\na")]
    assert by_paragraphs[2:4] == pytest.approx([2 / 4, 2 / 5])
    assert by_paragraphs[:2] == pytest.approx([2 / 5, 2 / 5])


def test_shares_of_phrases() -> None:
    """39 letters: "one two three four five" (19) stands twice, around an x; "three four" (9) is the longest pair."""
    of_text = [share for share, _, _ in shares("One two three, four five! X one two three four five.")]
    three, four = 13, 16  # three four five; one two three four (15) is shorter than two three four five (16)
    assert of_text[4:7] == pytest.approx([2 * 9 / 39, 2 * three / 39, 2 * four / 39])
    assert of_text[7:] == pytest.approx([19 / 39, 0, 0, 0, 0, 0])


def test_overlapping_phrases_count_once() -> None:
    of_text = [share for share, _, _ in shares("go " * 12)]
    assert of_text[4:7] == [1, 1, 1]
    assert of_text[7:] == pytest.approx([11 / 12] * 6)  # the last phrases start at the second word


def test_limits_are_those_of_gopher() -> None:
    limits = [limit for _, limit, _ in shares("")]
    assert limits == [0.30, 0.20, 0.30, 0.20, 0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10]


def some_words(count: int, seed: int = 0) -> str:
    """Words that nothing repeats."""
    return " ".join(f"w{seed}x{number}" for number in range(count))


def test_repetition_judges_question_and_answer_from_50_words_on() -> None:
    looping, shorter = "i am sorry " * 17, "i am sorry " * 16  # 51 and 48 words; "am sorry" has 7 of 8 letters
    given = rows((some_words(60), "x"), (looping, "x"), ("why", looping), ("why", shorter))
    assert found("repetition", given) == {
        2: "88 % of the question's characters are in one phrase of 2 words, more than 20 %",
        3: "88 % of the answer's characters are in one phrase of 2 words, more than 20 %",
    }
    assert set(found("repetition", given, fewest_words=48)) == {2, 3, 4}


def test_repetition_is_above_the_limit_and_not_at_it() -> None:
    """20 lines of 5 words: 6 that repeat are 30 % of lines; their characters are few."""
    long = [some_words(5, seed) for seed in range(10, 23)]
    short = ["a b c d e"]
    at_limit = "\n".join([*long, *short * 7])
    assert len(at_limit.split("\n")) == 20
    by_lines = next(shares(at_limit))
    assert by_lines[0] == pytest.approx(0.3)
    (finding,) = found("repetition", rows((at_limit + "\na b c d e", "x")), fewest_words=50).values()
    assert finding == "33 % of the question's lines repeat earlier ones, more than 30 %"
    assert found("repetition", rows((at_limit, "x"))) == {}
    assert found("repetition", rows((at_limit + "\na b c d e", "x")), tolerance=2) == {}


def test_keys_of_json_answers_may_repeat() -> None:
    items = ", ".join('{"name": "a", "price": 1, "colour": "red"}' for _ in range(12))
    assert found("repetition", rows(("list them", f'{{"items": [{items}]}}'))) == {}
    assert set(found("repetition", rows(("list them", items.replace("{", "(").replace("}", ")"))))) == {1}


# ------------------------------------------------------------------------------------------------------------ language

ENGLISH = ["Where is the parcel that I ordered last week?", "The lamp flickers whenever somebody opens the door."]
GERMAN = "Wo bleibt das Paket, das ich in der letzten Woche bestellt habe?"
FRENCH = "Où est le colis que j'ai commandé la semaine dernière ?"


def test_language_keeps_the_most_frequent_one_and_what_is_not_sure() -> None:
    given = rows(*((text, "x") for text in (*ENGLISH, GERMAN, FRENCH, "ok", "12 + 7")))
    reasons = found("language", given)
    assert set(reasons) == {3, 4}
    assert reasons[3].startswith("its language is de (")
    assert reasons[3].endswith("%), kept: en")
    assert set(found("language", given, keep=["de", "en"])) == {4}
    assert set(found("language", given, keep=["fr"])) == {1, 2, 3}


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Unknown language 'eng'. Known: .*Did you mean 'en'?"):
        found("language", rows(("x", "y")), keep=["eng"])


# ------------------------------------------------------------------------------------------------------- personal data


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Mail ann.o'hara+x@mail.example.co.uk or (b-b@example.com).", "Mail <EMAIL> or (<EMAIL>)."),
        ("müller@bücher.example wrote", "<EMAIL> wrote"),
        ("Call +49 30 901820 or +1 (415) 555-2671.", "Call <PHONE> or <PHONE>."),
        ("to DE89 3704 0044 0532 0130 00 BIC COBADEFF", "to <IBAN> BIC COBADEFF"),
        ("to GB82WEST12345698765432.", "to <IBAN>."),
        ("card 4111 1111 1111 1111, 5500-0055-5555-5559; 371449635398431", "card <CARD>, <CARD>; <CARD>"),
        ("from 192.168.0.17 and 2001:db8::8a2e:370:7334.", "from <IP> and <IP>."),
    ],
)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    assert mask(text)[0] == masked


@pytest.mark.parametrize(
    "text",
    [
        "order 4711-2024-0001 of 2024-05-03 at 12:30:45, 1,234.56 EUR",
        "card 4111 1111 1111 1112",  # the check digit is wrong
        "to DE88 3704 0044 0532 0130 00",  # the check digits are wrong
        "1700000000000 and version 1.2.3, address 999.1.1.1",
        "std::vector a::b @everyone user@host",
        "call 030 901820",  # no country
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert mask(text) == (text, {})


def test_national_numbers_of_regions() -> None:
    config = PersonalDataConfig(regions=["DE", "US"])
    assert mask("030 901820, (415) 555-2671, +44 20 7031 3000", config)[0] == "<PHONE>, <PHONE>, <PHONE>"
    with pytest.raises(ConfigError, match="Unknown region 'GER'"):
        mask("x", PersonalDataConfig(regions=["GER"]))


def test_every_text_of_a_row_is_masked_but_not_its_name() -> None:
    turns = [{"role": "user", "content": "I am a@example.com"}]
    given = [row(1, "x", id="a@example.com", messages=turns, note="a@example.com, b@example.com", n=4111111111111111)]
    (rule,) = build_rules(["personal_data"])
    (finding,) = rule.find(given)
    assert finding.reason == "3 e-mail addresses"
    assert finding.changed == {
        "messages": [{"role": "user", "content": "I am <EMAIL>"}],
        "note": "<EMAIL>, <EMAIL>",
    }


def test_only_some_kinds() -> None:
    text = "a@example.com, +49 30 901820"
    assert mask(text, PersonalDataConfig(kinds=["phone"]))[0] == "a@example.com, <PHONE>"


@pytest.mark.parametrize(
    ("rule", "module", "package"),
    [
        ("language", "py3langid.langid", "py3langid"),
        ("personal_data", "stdnum", "python-stdnum"),
        ("personal_data", "phonenumbers", "phonenumbers"),
    ],
)
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, rule: str, module: str, package: str) -> None:
    from luthier.data.cleaning import language

    language._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        found(rule, rows(("text", "x")))
    assert str(caught.value) == (
        f"The rule '{rule}' needs the package '{package}'. Install it with: pip install 'luthier[cleaning]'"
    )


# ------------------------------------------------------------------------------------------------------- rules together


def test_a_removed_row_is_not_seen_by_later_rules() -> None:
    cleaned = clean(rows(("?!", "x"), ("?!", "x"), ("a b", "x"), ("c@example.com", "x")), build_rules())
    assert [(r.rule, r.rows, r.removed) for r in cleaned.reports] == [
        ("exact_duplicates", 4, 1),
        ("near_duplicates", 3, 0),
        ("length", 3, 1),
        ("repetition", 2, 0),
    ]
    assert [example.line for example in cleaned.kept] == [3, 4]
    assert [(t.line, t.rule, t.effect) for t in cleaned.touched] == [
        (1, "length", "removed"),
        (2, "exact_duplicates", "removed"),
    ]
    assert cleaned.removed == 2
    assert cleaned.changed == {}


def test_changed_rows_stay_with_new_fields_and_samples_show_them() -> None:
    cleaned = clean(rows(*((f"{n}@example.com", "x") for n in "abcde")), build_rules(["personal_data"]))
    assert [example.fields["text"] for example in cleaned.kept] == ["<EMAIL>"] * 5
    assert cleaned.changed == {f"r{line}": {"text": "<EMAIL>"} for line in range(1, 6)}
    (report,) = cleaned.reports
    assert (report.removed, report.changed) == (0, 5)
    assert [(s.line, s.id, s.reason, s.text) for s in report.samples] == [
        (line, f"r{line}", "1 e-mail address", "<EMAIL>") for line in (1, 2, 3)
    ]


def test_of_duplicates_in_two_parts_the_one_to_learn_from_goes() -> None:
    given = rows(("same", "x"), ("other", "x"), ("same", "x"))
    cleaned = clean(given, build_rules(), {"r1": "tune", "r2": "tune", "r3": "confirm"})
    assert [example.line for example in cleaned.kept] == [2, 3]
    assert cleaned.touched[0].reason == "the same as line 3"


def test_without_a_known_answer_rows_with_other_columns_differ() -> None:
    examples = [
        Example(f"r{n}", user("same"), fields={"question": "same", "a": value, "id": str(n)}, line=n)
        for n, value in enumerate(("x", "y", "x"), start=1)
    ]
    mapping = RowMapping(prompt="{question}", columns=("question", "a", "id"), id="id")
    assert found("exact_duplicates", rows_of(examples, mapping)) == {3: "the same as line 1"}


def test_rules_are_asked_in_the_order_of_the_table() -> None:
    assert [rule.name for rule in build_rules(["length", "default", "personal_data"])] == [
        *DEFAULT_RULES,
        "personal_data",
    ]
    assert [rule.name for rule in build_rules()] == list(DEFAULT_RULES) == list(RULES)[:4]
    assert all(RULES.get(name).name == name for name in RULES)


@pytest.mark.parametrize(
    ("names", "settings", "text"),
    [
        (["lenght"], {}, "Unknown rule 'lenght'. Known: .* Did you mean 'length'?"),
        ([], {"lenght": {}}, "Unknown rule 'lenght'."),
        (["length"], {"language": {"keep": ["en"]}}, "'language' is not applied, .*: --rules default,language."),
        (["length"], {"length": 3}, "'length=3' is no setting. Write length.fewest_words=value."),
        (
            ["length"],
            {"length": {"most": 3}},
            "the rule 'length' has 1 mistake.*\n.*most: unknown key. Known here: few",
        ),
        (["length"], {"length": {"most_words": 0}}, "most_words: Input should be greater than or equal to 1"),
    ],
)
def test_mistakes_in_rules_and_settings(names: list[str], settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        build_rules(names, settings)


def test_rules_do_not_depend_on_how_many_rows_share_a_question() -> None:
    """One question with 300 different answers, and each again: only the repetitions go."""
    draw = random.Random(0)
    answers = [" ".join(draw.choices(BASE.split(), k=12)) + f" {n}" for n in range(300)]
    given = rows(*((BASE, answer) for answer in (*answers, *answers)))
    assert len(found("exact_duplicates", given)) == 300
    assert set(found("near_duplicates", given)) == set(range(301, 601))
