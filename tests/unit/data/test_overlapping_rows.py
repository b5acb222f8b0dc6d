from __future__ import annotations

import random
import time

import pytest
from data_samples import example, examples, sentence

from luthier.core.types import Example, Message, user
from luthier.data.overlap import gram_sets, groups, normalized, remove_overlap


def grouped(*texts: str) -> list[int]:
    return groups([example(n, text) for n, text in enumerate(texts)])


def test_normalization_masks_numbers_and_punctuation() -> None:
    assert normalized(["My ORDER #4711, from 3.5.2024,   has not\narrived!"]) == ["my order 0 from 0 has not arrived"]


def test_numbers_stay_where_they_are_the_content() -> None:
    assert normalized(["12 + 7", "3 3 5 12", "What is 12 - 7?"]) == ["12 + 7", "3 3 5 12", "what is 12 - 7?"]
    assert grouped("1 1 4 6", "1 1 4 8", "1 1 4 6") == [0, 1, 0]


def test_texts_of_punctuation_alone_stay_apart() -> None:
    assert grouped("?!", "...", "😀", "😢", "?!") == [0, 1, 2, 3, 0]


def test_the_instruction_that_nearly_all_rows_share_does_not_count() -> None:
    prompts = [f"Classify the mood of this sentence as good or bad:\n\n{sentence(n, 3)}\n\nMood:" for n in range(40)]
    prompts += ["Something else entirely", "and one more"]
    assert normalized(prompts)[0] == sentence(0, 3)
    assert len(set(grouped(*prompts))) == len({sentence(n, 3) for n in range(40)}) + 2
    few = prompts[:19]  # with fewer than 20 texts nothing can be told
    assert normalized(few)[0].startswith("classify the mood")


def test_near_duplicates_and_others() -> None:
    base = sentence(1, 20)
    words = base.split()
    one_changed = " ".join([*words[:10], "cobalt", *words[11:]])
    half_changed = " ".join([*words[:10], *sentence(2, 10).split()])
    assert grouped(base, one_changed, half_changed, sentence(3, 20), base.upper() + "!!") == [0, 0, 1, 2, 0]


def test_groups_are_closed_under_steps() -> None:
    words = sentence(5, 24).split()
    steps = [" ".join(["cobalt"] * k + words[k:]) for k in range(7)]
    assert grouped(*steps) == [0] * 7
    assert grouped(steps[0], steps[6]) == [0, 1]


def test_short_texts_in_other_scripts() -> None:
    assert grouped(
        "今天的天气非常好我们去公园散步吧朋友", "今天的天气非常好我们去公园散步吧朋友们", "明天我要去北京开会请准备文件"
    ) == [0, 0, 1]


def test_clusters_stay_together_also_through_near_duplicates() -> None:
    rows = [
        example(0, sentence(0), cluster="a"),
        example(1, sentence(1)),
        example(2, sentence(2), cluster="a"),
        example(3, sentence(2) + "!", cluster="b"),
        example(4, sentence(4), cluster="b"),
        example(5, sentence(1).title()),
    ]
    assert groups(rows) == [0, 1, 0, 0, 0, 1]


def test_all_turns_are_compared() -> None:
    one = Example("a", (Message("system", sentence(1)), Message("user", "Go on.")))
    two = Example("b", (Message("system", sentence(2)), Message("user", "Go on.")))
    assert groups([one, two]) == [0, 1]


def brute_force(texts: list[str]) -> set[tuple[int, int]]:
    grams = [{t[i : i + 6] for i in range(max(1, len(t) - 5))} for t in texts]
    pairs = [(a, b) for a in range(len(texts)) for b in range(a)]
    return {(a, b) for a, b in pairs if len(grams[a] & grams[b]) >= 0.75 * len(grams[a] | grams[b])}


@pytest.mark.parametrize("seed", range(5))
def test_search_finds_what_comparing_all_pairs_finds(seed: int) -> None:
    rng = random.Random(seed)
    texts = [sentence(seed * 1000 + n, rng.choice([2, 8, 30, 60])) for n in range(60)]
    for _ in range(90):
        words = rng.choice(texts).split()
        for _ in range(rng.randint(1, max(1, len(words) // 8))):
            words[rng.randrange(len(words))] = rng.choice(["cobalt", "x", "river stone"])
        texts.append(" ".join(words))
    linked = {n: n for n in range(len(texts))}
    pairs = brute_force(normalized(texts))
    for a, b in pairs:
        low, high = sorted((linked[a], linked[b]))
        linked = {k: low if v == high else v for k, v in linked.items()}
    numbers: dict[int, int] = {}
    assert len(pairs) > 30
    assert grouped(*texts) == [numbers.setdefault(linked[n], len(numbers)) for n in range(len(texts))]


def test_gram_sets_share_what_texts_share() -> None:
    sets, sketches, unshared = gram_sets(["abcdefg", "abcdefg", "abcdefh", "abc"])
    assert [len(s) for s in sets] == [2, 2, 2, 1]
    assert set(sets[0]) == set(sets[1])
    assert len(set(sets[0]) & set(sets[2])) == 1
    assert unshared == 2  # bcdefh, and the padded abc
    assert (sketches[0] == sketches[1]).all()
    assert gram_sets([])[0] == []


def test_overlap_is_removed_from_training_and_named() -> None:
    against = examples(30)
    tune = [example(100, sentence(3).upper()), *examples(30, start=200), example(101, sentence(7) + " indeed")]
    found = remove_overlap(tune, against)
    assert [(a.id, b.id) for a, b in found.removed] == [("e100", "e3"), ("e101", "e7")]
    assert [e.id for e in found.kept] == [f"e{n}" for n in range(200, 230)]


def test_repeats_within_training_are_no_overlap_but_each_repeat_of_a_repeat_is() -> None:
    same = [example(n, sentence(1)) for n in range(3)]
    assert remove_overlap(same, [example(9, sentence(2))]).kept == tuple(same)
    near = sentence(1) + " indeed"
    found = remove_overlap([*same, example(4, sentence(4))], [example(9, near)])
    assert [(a.id, b.id) for a, b in found.removed] == [("e0", "e9"), ("e1", "e9"), ("e2", "e9")]
    both = [example(8, near), example(9, sentence(1))]
    assert [b.id for _, b in remove_overlap([example(0, sentence(1))], both).removed] == [
        "e9"
    ]  # the equal one is named
    assert remove_overlap([], same).kept == ()
    assert remove_overlap(same, []).kept == tuple(same)


def test_twenty_thousand_rows_are_fast() -> None:
    rows = [Example(str(n), user(sentence(n, 10))) for n in range(20_000)]
    start = time.process_time()
    found = groups(rows)
    assert len(set(found)) > 19_000
    assert time.process_time() - start < 30  # about 8 s on a busy laptop core; comparing all pairs takes many minutes
