from luthier.reporting.differences import differing
from luthier.reporting.inline import Paragraph, clean, escape, paragraphs, spans, without_markup


def test_bold_and_code_are_the_only_markup() -> None:
    assert spans("a **b** `c d` [e](f) *g*") == [
        ("a ", "plain"),
        ("b", "bold"),
        (" ", "plain"),
        ("c d", "code"),
        (" [e](f) *g*", "plain"),
    ]


def test_escaped_data_comes_out_as_it_is() -> None:
    for data in ("**not bold**", "`not code`", r"C:\runs\*", "2 ** 3 ** 4", r"\`"):
        assert spans(escape(data)) == [(data, "plain")]
    assert spans(f"**{escape('a*b')}**") == [("a*b", "bold")]
    assert without_markup("**a** `b`") == "a b"


def test_paragraphs_and_lists() -> None:
    text = "one\ntwo\n\n- a\n- b\n  more\n\nthree"
    expected = [Paragraph(("one two",)), Paragraph(("a", "b more"), is_list=True), Paragraph(("three",))]
    assert paragraphs(text) == expected


def test_control_characters_and_lone_surrogates_are_replaced() -> None:
    assert clean("a\x1b[31m\r\nb\tc\x00\ud800") == "a\ufffd[31m\nb\tc\ufffd\ufffd"


def test_differences_word_by_word() -> None:
    assert differing("urgency low today", "urgency high today") == [
        ("urgency ", False),
        ("low", True),
        (" today", False),
    ]
    assert differing("same", "same") == [("same", False)]


def test_white_space_around_a_difference_is_not_marked() -> None:
    pieces = differing("a b c Sure thing, d e f", "a b c d e f")
    assert [piece for piece, differs in pieces if differs] == ["Sure thing,"]
    assert "".join(piece for piece, _ in pieces) == "a b c Sure thing, d e f"


def test_texts_without_much_in_common_or_very_long_are_left_alone() -> None:
    assert differing("one two three", "quite another answer") == [("one two three", False)]
    long = "word " * 2000
    assert differing(long + "end", long) == [(long + "end", False)]
