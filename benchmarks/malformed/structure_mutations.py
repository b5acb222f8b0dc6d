"""Ways to break the structure of a data file: rows, columns, cells, dialects."""

from __future__ import annotations

import json
from random import Random

import bases
from bases import DIALECTS, ROWS
from mutations import Base, Broken, mutation, put, with_row


@mutation
def few_rows(base: Base, chance: Random) -> Broken:
    kept = chance.choice([1, 2, 3, 29])
    return Broken(bases.write(base.rows[:kept], base.format).data)


@mutation
def no_rows(base: Base, chance: Random) -> Broken | None:
    if base.format in ("csv", "tsv"):
        return Broken(base.data.split(b"\n")[0] + b"\n", wrong=True)
    return Broken(bases.write([], base.format).data, wrong=True) if base.format != "parquet" else None


@mutation
def columns_renamed(base: Base, chance: Random) -> Broken:
    names = chance.choice([("a", "b", "c", "d", "e"), ("x y", "", "é", "{q}", "None"), ("1", "2", "3", "4", "5")])
    rows = [dict(zip(names, row.values(), strict=False)) for row in base.rows]
    return Broken(bases.write(rows, base.format).data)


@mutation
def column_named_twice(base: Base, chance: Random) -> Broken | None:
    if base.format not in ("csv", "tsv"):
        return None
    header, rest = base.data.split(b"\n", 1)
    delimiter = b"\t" if base.format == "tsv" else b","
    names = header.split(delimiter)
    if len(names) < 2:
        return None
    return Broken(delimiter.join([names[0], names[0], *names[2:]]) + b"\n" + rest, wrong=True, line=1)


@mutation
def header_missing(base: Base, chance: Random) -> Broken | None:
    return Broken(base.data.split(b"\n", 1)[1], wrong=True) if base.format in ("csv", "tsv") else None


def _cells_changed(base: Base, chance: Random, change: int) -> Broken | None:
    if base.format not in ("csv", "tsv") or len(base.rows[0]) < 2:
        return None
    number = chance.randrange(ROWS)
    lines = base.data.decode().split("\n")
    at = base.lines[number] - 1
    delimiter = "\t" if base.format == "tsv" else ","
    lines[at] = lines[at] + f"{delimiter}extra" if change > 0 else lines[at].rpartition(delimiter)[0]
    whole = '"' not in lines[at]
    return Broken("\n".join(lines).encode(), wrong=whole, line=base.lines[number] if whole else None)


@mutation
def cell_too_many(base: Base, chance: Random) -> Broken | None:
    return _cells_changed(base, chance, 1)


@mutation
def row_of_another_dialect(base: Base, chance: Random) -> Broken:
    number = chance.randrange(ROWS)
    other = chance.choice([name for name in DIALECTS if name != base.dialect])
    return with_row(base, number, DIALECTS[other].row(number), wrong=False)


@mutation
def halves_of_two_dialects(base: Base, chance: Random) -> Broken:
    other = chance.choice([name for name in DIALECTS if name != base.dialect])
    rows = [DIALECTS[other].row(n) if n % 2 else base.rows[n] for n in range(ROWS)]
    return Broken(bases.write(rows, base.format).data)


@mutation
def wrapped(base: Base, chance: Random) -> Broken | None:
    if base.format != "json":
        return None
    value = chance.choice(
        [
            {"data": base.rows},
            {"a": base.rows, "b": base.rows},
            {"rows": {"x": base.rows}},
            [base.rows],
            {str(n): row for n, row in enumerate(base.rows)},
            [json.dumps(r) for r in base.rows],
        ]
    )
    return Broken(json.dumps(value).encode())


@mutation
def answers_all_equal(base: Base, chance: Random) -> Broken:
    dialect = DIALECTS[base.dialect]
    rows = [put(row, dialect.answer, "yes") for row in base.rows]
    return Broken(bases.write(rows, base.format).data)


@mutation
def cell_missing(base: Base, chance: Random) -> Broken | None:
    return _cells_changed(base, chance, -1)
