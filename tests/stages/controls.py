"""Negative controls: a test that sees a protection at work, run with that protection taken away, must fail.

A test that passes without its protection proves nothing of it. Controls are kept in tables (`test_without_*.py`), with
the place of the protection, what stands there instead, and what the failure must say: that the fault passed unnoticed,
not that something broke on the way.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

PASSED_UNNOTICED = r"the run went on|Called\(code=0|DID NOT RAISE"
"""What a test says that waited for a refusal in vain."""


def nothing(*_: Any, **__: Any) -> None:
    """Stand for a check that is not made."""


def fine(*_: Any, **__: Any) -> str:
    """Stand for a check that finds no problem."""
    return ""


def went_on(*_: Any, **__: Any) -> None:
    """Stand behind a protection: whoever comes here has passed it, and the rest of the run would tell no more."""
    pytest.fail("the run went on")


@dataclass(frozen=True)
class Control:
    """One test without its protection.

    Attributes:
        test: The test.
        without: The place of each protection, as "module.attribute", and what stands there instead.
        says: A regular expression that the failure must fit.
        arguments: Of a parametrised test; a callable gets pytest's request and makes one in place of a fixture.
        fails: Other exceptions than a failed assertion that show the fault.
    """

    test: Callable[..., None]
    without: Mapping[str, Any]
    says: str = PASSED_UNNOTICED
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fails: tuple[type[BaseException], ...] = ()

    @property
    def name(self) -> str:
        """The test's name, and the first protection's."""
        first = next(iter(self.without), "")
        return f"{self.test.__name__}-{'.'.join(first.split('.')[-2:])}"


def require_failure(control: Control, request: pytest.FixtureRequest) -> None:
    """Run a test without its protection, and expect the failure that the fault causes."""
    values = {}
    for name in inspect.signature(control.test).parameters:
        given = control.arguments.get(name)
        values[name] = given(request) if callable(given) else given
        if name not in control.arguments:
            values[name] = request.getfixturevalue(name)
    unnoticed = (AssertionError, pytest.fail.Exception, *control.fails)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request.config.option, "verbose", 2)  # else long values are cut, and `says` may be what is cut
        for place, instead in control.without.items():
            patch.setattr(place, instead)
        with pytest.raises(unnoticed) as caught:
            control.test(**values)
    assert re.search(control.says, str(caught.value)), f"it failed, but for another reason: {caught.value}"


def require_all_controlled(
    modules: Iterable[ModuleType], controls: Iterable[Control], others: Mapping[str, str]
) -> int:
    """Make sure that every test has a control, or a reason why none stands in the table; returns how many there are."""
    tests = {name for module in modules for name in vars(module) if name.startswith("test_")}
    controlled = {control.test.__name__ for control in controls}
    assert not tests - controlled - others.keys(), "tests without a negative control"
    assert not (controlled | others.keys()) - tests, "controls of tests that are not there"
    assert not controlled & others.keys(), "controlled, and excused as well"
    return len(tests)
