"""Which column is what: guessed from names, said in words, never guessed between equals.

Where two columns could be the answer, or none is known, the error shows the columns and the flag to write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luthier.core.errors import ConfigError, DataError, nearest
from luthier.data.columns import Columns
from luthier.data.conversations import CALLS, has_turn_pairs, is_message_list
from luthier.data.dialects import DIALECTS, Dialect, recognise
from luthier.data.mapping import RowMapping, part_named, wants_json
from luthier.data.options import ReadOptions
from luthier.data.squad import is_squad_answer
from luthier.data.templates import Template
from luthier.data.values import RowError, as_list, as_text, shorten

_HEADLINES = ("title", "subject", "headline")
_INSTRUCTIONS = ("instruction", "instructions")
_QUESTIONS = ("question", "query", "utterance")
_PASSAGES = ("context", "contexts", "passage", "paragraph", "background", "source_text")
_BODIES = (
    "text", "sentence", "review", "message", "dialogue", "dialog", "document", "article", "input", "inputs", "content",
    "body", "email", "tweet", "post", "comment", "description", "abstract", "transcript", "ticket", "conversation",
    "source", "problem", "request", "complaint", "note", "feedback",
)  # fmt: skip
_TEXTS = (*_HEADLINES, *_INSTRUCTIONS, *_QUESTIONS, *_PASSAGES, *_BODIES)
_PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text1", "text2"))
_ANSWERS = (
    "label", "labels", "answer", "answers", "output", "outputs", "summary", "summaries", "completion", "target",
    "targets", "response", "json", "label_text", "label_name", "answer_text", "expected", "expected_output",
    "reference", "references",
)  # fmt: skip
# Names that also occur as plain attributes: taken only where no clear name is there.
_PERHAPS_ANSWERS = (
    "reply", "class", "category", "sentiment", "intent", "emotion", "topic", "tag", "rating", "stars", "highlights",
    "translation", "result", "solution", "extraction", "entities", "gold",
)  # fmt: skip
ALL_COLUMNS = "{*}"
"""In a prompt: every column that is nothing else, a line each. Only on request: one may tell the answer."""
_PASSAGE_IDS = ("passage_id",)
_IDS = ("id", "example_id", "row_id", "uid", "uuid", "guid", "_id")


def guess_mapping(
    source: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    options: ReadOptions,
    *,
    need_answers: bool = True,
    more_follow: bool = False,
) -> RowMapping:
    """Find out which columns make the prompt and the answer; what `options` says is taken.

    Args:
        source: The file or folder, for error texts.
        columns: All its columns.
        rows: All its raw rows.
        options: What the user said.
        need_answers: Whether it is an error to find no answer.
        more_follow: Whether these are only the first rows: then no column is taken for an id unasked, since a later row
            may repeat it, and a column `split` may hold the name of one part alone.

    Raises:
        ConfigError: if an option names a column that is not there.
        DataError: if several columns, or none, could be meant.
    """
    table = Columns(source, tuple(columns), rows)
    shared: dict[str, Any] = {
        "system": _given_text(table, "system", options.system) or _first(table.named(("system", "system_prompt"))),
        "cluster": _given_column(table, "cluster", options.cluster) or _passage_column(table),
        "id": _given_column(table, "id", options.id) or (None if more_follow else _unique_id(table)),
        "split": _given_column(table, "split", options.split) or _split_column(table, 1 if more_follow else 2),
        "columns": table.columns,
    }
    if options.prompt is None and options.answer is None and (found := recognise(table)):
        return _conversation_mapping(table, *found, shared)
    answer = _answer(table, options, shared, need_answers)
    history = _history_column(table, options)
    used = [c for c in (*_columns_of(answer, table), shared["id"], shared["split"], shared["cluster"], history) if c]
    if options.prompt is not None:
        prompt = _given_prompt(table, options.prompt.replace(ALL_COLUMNS, _written_out(table, used, shared)))
    else:
        prompt = _prompt(table, used, shared)
    if not Template.compile(prompt, table.columns).placeholders:
        raise DataError(f"{source}: column names with braces cannot stand in a prompt. Rename: {_listed(table)}.")
    _check_no_leak(table, prompt, answer)
    mapping = RowMapping.parse({**shared, "prompt": prompt, "answer": answer, "history": history})
    return mapping.model_copy(update={"answer_format": "json"}) if _answers_are_json(mapping, table) else mapping


# --------------------------------------------------------------------------------------------- what the user said


def _given_column(table: Columns, flag: str, column: str | None) -> str | None:
    if column is not None and column not in table.columns:
        raise _unknown_column(table, flag, column)
    return column


def _given_text(table: Columns, flag: str, text: str | None) -> str | None:
    """Check a column's name, a template of columns, or a plain text of several words."""
    if text is None or text in table.columns:
        return text
    template = Template.compile(text, table.columns)
    for column in template.columns:
        _given_column(table, flag, column)
    if not template.placeholders and not re.search(r"\s", text.strip()):
        raise _unknown_column(table, flag, text)
    return text


def _written_out(table: Columns, used: Sequence[str], shared: Mapping[str, Any]) -> str:
    """Return a template for a row of a table as text: a line for each column that is nothing else."""
    names = [c for c in table.columns if c not in used and c != shared["system"]]
    return "\n".join(f"{name}: {{{name}?}}" for name in names)


def _given_prompt(table: Columns, prompt: str) -> str:
    if prompt in table.columns:
        return "{" + prompt + "}"
    template = Template.compile(prompt, table.columns)
    for column in template.columns:
        _given_column(table, "prompt", column)
    if not template.placeholders:
        raise ConfigError(
            f"--prompt '{shorten(prompt, 60)}' names no column, so every row would ask the same. "
            f"Write a column in braces, such as --prompt '{shorten(prompt, 60)} {{{table.columns[0]}}}'. "
            f"Columns of {table.source}: {_listed(table)}."
        )
    return prompt


def _unknown_column(table: Columns, flag: str, column: str) -> ConfigError:
    hint = nearest(column, table.columns)
    braces = " (Braces that are meant as text are doubled: {{…}}.)" if flag == "prompt" else ""
    return ConfigError(
        f"--{flag} names the column '{shorten(column, 60)}', which {table.source} does not have. "
        f"It has: {_listed(table)}.{hint} Name one of these.{braces}"
    )


def _check_no_leak(table: Columns, prompt: str, answer: str | None) -> None:
    shown = set(Template.compile(prompt, table.columns).columns) & set(_columns_of(answer, table))
    if shown:
        raise ConfigError(
            f"The prompt contains the column '{min(shown)}', which is also the answer: the model would be told what to "
            f"say. Take it out of --prompt, or choose another --answer. Columns of {table.source}: {_listed(table)}."
        )


# -------------------------------------------------------------------------------------------------- conversations


def _conversation_mapping(table: Columns, dialect: str, column: str, shared: Mapping[str, Any]) -> RowMapping:
    mapping = RowMapping.parse({**shared, "dialect": dialect, "prompt": column})
    answers = list(_answers_of(DIALECTS.get(dialect), table, column))
    calls = any(answer.startswith(CALLS) for answer in answers)  # beside them, plain text is as good an answer
    return mapping.model_copy(update={"answer_format": "json"}) if wants_json(answers) and not calls else mapping


def _answers_of(dialect: Dialect, table: Columns, column: str) -> Iterator[str]:
    for row in table.rows:
        try:
            last = dialect.messages(row, column)[-1]
        except RowError:  # reported when the rows are read
            continue
        if last.role == "assistant":
            yield last.content


# ---------------------------------------------------------------------------------------------------- the answer


def _answer(table: Columns, options: ReadOptions, shared: Mapping[str, Any], need_answers: bool) -> str | None:
    if options.answer is not None:
        if "{" not in options.answer or options.answer in table.columns:
            return _given_column(table, "answer", options.answer)
        for column in Template.compile(options.answer, table.columns).columns:
            _given_column(table, "answer", column)
        return options.answer
    in_prompt = Template.compile(options.prompt, table.columns).columns if options.prompt else ()
    taken = [*in_prompt, *([options.prompt] if options.prompt else []), shared["id"], shared["split"], shared["system"]]
    for names in (_ANSWERS, _PERHAPS_ANSWERS):
        found = table.named(names, without=taken)
        if len(found) == 1:
            return found[0]
        if found and need_answers:
            raise DataError(
                f"{table.source}: several columns could be the answer: {', '.join(found)}. Say which, for example "
                f"--answer {_quoted(found[0])}. All columns: {_listed(table)}."
            )
        if found:
            return None
    free = [c for c in table.columns if c not in taken]
    if len(free) == 2 and (repeated := _repeated_column(table, free)):
        return repeated
    if not need_answers:
        return None
    candidates = [c for c in free if c not in table.named((*_TEXTS, "prompt"))]
    if not candidates:
        raise DataError(
            f"{table.source}: there is no column with the right answer. Columns: {_listed(table)}. Add one, for "
            "example 'label' or 'answer'; rows without answers can only be answered (luthier answer)."
        )
    raise DataError(
        f"{table.source}: no column is known to be the answer. Columns: {_listed(table)}. Say which, for example "
        f"--answer {_quoted(candidates[0])}. If these columns are a row of data, put a header row above it."
    )


def _repeated_column(table: Columns, pair: Sequence[str]) -> str | None:
    """Return the one of two columns with foreign names whose few short values repeat, beside a column of texts."""
    if len(table.rows) < 10 or table.named((*_TEXTS, "prompt")):
        return None
    distinct = [len(set(map(as_text, table.values(c)))) for c in pair]
    few, many = (0, 1) if distinct[0] < distinct[1] else (1, 0)
    if pair[few] in table.values(pair[few]):  # one of its values: the header is missing, and this is a row
        return None
    if distinct[few] <= len(table.rows) / 5 and distinct[many] > len(table.rows) / 2:
        return pair[few]
    return None


def _answers_are_json(mapping: RowMapping, table: Columns) -> bool:
    if mapping.answer is None or mapping.answer_template is not None:
        return False
    values = table.values(mapping.answer)
    texts = [as_text(part) for v in values for part in (v if isinstance(v, list) and not is_message_list(v) else [v])]
    others = any(is_message_list(value) or is_squad_answer(as_list(value)) for value in values)
    return wants_json(texts) and not others


# ---------------------------------------------------------------------------------------------------- the prompt


def _prompt(table: Columns, used: Sequence[str], shared: Mapping[str, Any]) -> str:
    """Return a template for the columns that make the prompt, joined in the order in which people read them."""

    def find(names: Sequence[str]) -> list[str]:
        return table.texts(names, without=used)

    if prompts := find(("prompt",)):
        return _joined(prompts[0])
    for first, second in _PAIRS:
        if len(pair := find((first, second))) == 2:
            return f"{first}: {{{pair[0]}}}\n{second}: {{{pair[1]}}}"
    headlines, instructions, questions = find(_HEADLINES), find(_INSTRUCTIONS), find(_QUESTIONS)
    passages, bodies = find(_PASSAGES), find(_BODIES)
    if len(instructions) == 1 and len(questions) == 0:
        extra = find(("input", "inputs", "context"))
        return _joined(instructions[0], *(f"{column}?" for column in extra[:1]))
    if len(questions) == 1 and not instructions and len(passages) + len(bodies) < 2:
        return _joined(*passages, *bodies, questions[0])
    if not questions and not instructions:
        if len(bodies) == 1 and len(headlines) < 2:
            return _joined(*(f"{column}?" for column in headlines), bodies[0])
        if len(bodies) == 0 and len(headlines) + len(passages) == 1:
            return _joined(*headlines, *passages)
    known = [*headlines, *instructions, *questions, *passages, *bodies]
    if known:
        raise _ambiguous(table, known)
    rest = [c for c in table.columns if c not in used and c != shared["system"]]
    if len(rest) == 1:
        return _joined(rest[0])
    raise _ambiguous(table, rest)


def _ambiguous(table: Columns, candidates: Sequence[str]) -> DataError:
    if not candidates:
        return DataError(
            f"{table.source}: no column is left to make the prompt of. Columns: {_listed(table)}. "
            "A data file needs a column with the text and, for training, one with the answer."
        )
    one = "{" + candidates[0] + "}"
    both = f" or --prompt '{one}\\n\\n{{{candidates[1]}}}'" if len(candidates) > 1 else ""
    return DataError(
        f"{table.source}: it is not clear which columns make the prompt. Columns: {_listed(table)}. "
        f"Say which, for example --prompt '{one}'{both}, or all but the answer: --prompt '{ALL_COLUMNS}'."
    )


def _joined(*columns: str) -> str:
    return "\n\n".join("{" + column + "}" for column in columns)


# ----------------------------------------------------------------------------------------------------- the others


def _unique_id(table: Columns) -> str | None:
    """Return a column called id, if every row has another value there."""
    for column in table.named(_IDS):
        values = [as_text(value).strip() for value in table.values(column)]
        if len(values) == len(table.rows) == len(set(values)):
            return column
    return None


def _split_column(table: Columns, fewest: int) -> str | None:
    """Return the column called split, if all its values are names of parts, and of so many parts."""
    for column in table.named(("split",)):
        parts = {part_named(as_text(value)) for value in table.values(column)}
        if len(parts) >= fewest and None not in parts:
            return column
    return None


def _columns_of(answer: str | None, table: Columns) -> tuple[str, ...]:
    if answer is None:
        return ()
    return (answer,) if answer in table.columns else Template.compile(answer, table.columns).columns


def _passage_column(table: Columns) -> str | None:
    """Return the column that names the passages that questions are on (SQuAD), if every row has one."""
    found = table.named(_PASSAGE_IDS)
    return found[0] if found and len(table.values(found[0])) == len(table.rows) else None


def _history_column(table: Columns, options: ReadOptions) -> str | None:
    """Return the column of earlier turns (Alpaca), unless the user's prompt has a place for it."""
    placed = Template.compile(options.prompt, table.columns).columns if options.prompt else ()
    found = table.named(("history",), without=placed)
    return found[0] if found and has_turn_pairs(table.values(found[0])) else None


def _first(names: Sequence[str]) -> str | None:
    return names[0] if names else None


def _quoted(column: str) -> str:
    return column if re.fullmatch(r"[\w.\-]+", column) else f"'{column}'"


def _listed(table: Columns) -> str:
    shown = [shorten(column, 40) for column in table.columns[:20]]
    return ", ".join(shown) + (f" and {len(table.columns) - 20} more" if len(table.columns) > 20 else "")
