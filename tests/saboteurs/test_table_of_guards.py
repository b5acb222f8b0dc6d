"""The table of guards, the list of faults and the saboteurs hold together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import done

from luthier.core.guard_table import GUARDS
from luthier.core.guards import Guard

FAULTS = [*range(1, 14), *range(21, 25), *range(30, 35), 37, 38, 41, 45, 47, 48, 49]
"""Numbers of the faults that what exists so far could have."""
SABOTEURS = sorted(Path(__file__).parent.glob("test_faults_*.py"))


def planted() -> set[int]:
    """Return the numbers in the names of the saboteurs' tests."""
    return {
        int(n) for file in SABOTEURS for n in re.findall(r"^def test_(\d\d)_", file.read_text("utf-8"), re.MULTILINE)
    }


def test_every_fault_has_a_guard_and_a_saboteur() -> None:
    assert sorted({guard.number for guard in GUARDS}) == FAULTS
    assert [guard.number for guard in GUARDS] == sorted(guard.number for guard in GUARDS)
    assert len(SABOTEURS) >= 4
    assert sorted(planted()) == FAULTS


def test_every_saboteur_bears_the_number_of_its_fault() -> None:
    names = [n for file in SABOTEURS for n in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)]
    assert len(names) >= 50
    assert all(re.match(r"test_\d\d_", name) for name in names)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.number}-{guard.name}")
def test_a_guard_is_where_the_table_says(guard: Guard) -> None:
    assert callable(guard.code())
    assert guard.when in ("impossible", "before the start", "during", "after")
    assert all((guard.name, guard.fault, guard.does))
    assert not guard.advice or guard.advice.endswith(".")


def test_names_are_given_once() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS) >= 30


def test_the_list_is_printed(place: Path) -> None:
    entries = done("list", "guards", "--json").json
    assert [int(entry["fault"]) for entry in entries] == [guard.number for guard in GUARDS]
    assert "tokens that mean something" in done("list", "guards").said
