"""Terms of use of built-in models: shown and accepted once, remembered in the cache folder."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from luthier.core.errors import ModelError
from luthier.core.files import cache_folder, read_json, write_json
from luthier.core.listener import Listener
from luthier.models.builtin_table import BuiltinModel, Terms

ENVIRONMENT = "LUTHIER_ACCEPT_TERMS"
"""Environment variable with the names of accepted terms, separated by commas: LUTHIER_ACCEPT_TERMS=gemma."""


def require_terms(model: BuiltinModel, listener: Listener, accept: bool = False) -> None:
    """Make sure that a person has accepted a model's terms, if it has any.

    Accepted by `accept`, by the environment variable, by a yes at the keyboard, or earlier.

    Raises:
        ModelError: if they are not accepted; the text names the terms and how to accept them.
    """
    terms = model.terms
    if terms is None or terms.name in _remembered():
        return
    listener.say(terms.text)
    if accept:
        how = "flag"
    elif terms.name in _in_environment():
        how = "environment"
    elif _asked(terms):
        how = "keyboard"
    else:
        raise ModelError(
            f"The model '{model.name}' is under {terms.title} ({terms.url}), which were not accepted here yet. Read "
            f"them, then say so once: luthier --accept-terms {terms.name} … (or set {ENVIRONMENT}={terms.name})."
        )
    _remember(terms, how)


def accepted(name: str) -> bool:
    """Return whether the terms of this name (such as "gemma") were accepted earlier or are by the environment."""
    return name in _remembered() or name in _in_environment()


def _in_environment() -> list[str]:
    return os.environ.get(ENVIRONMENT, "").replace(",", " ").split()


def _file() -> Path:
    return cache_folder() / "accepted_terms.json"


def _remembered() -> dict[str, Any]:
    """Return what was accepted earlier; a file that cannot be read counts as nothing accepted."""
    try:
        found = read_json(_file())
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(terms: Terms, how: str) -> None:
    entry = {"url": terms.url, "how": how, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    # In a cache that only others may write to, the terms are accepted for this time and asked for again the next.
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_json(_file(), _remembered() | {terms.name: entry})


def _asked(terms: Terms) -> bool:
    """Ask at the keyboard; no where there is none. Standard output is for results, so the question goes elsewhere."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"Do you accept {terms.title}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
