"""What many tests share: tiny models built once a test run, random batches, gradients of a step."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

# Before torch is imported: tiny models gain nothing from threads, and the workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:  # core's tests need no torch
    from luthier.models.loaded import LoadedModel
    from luthier.segments import Batch

_NUMBERS = itertools.count()
VOCABULARY = 259
"""Of the byte-level tokenizer that all tiny models have; ids 0-2 are special."""


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_counts() -> None:
    """Shells start background jobs with SIGINT ignored; tests of Ctrl-C need it to arrive."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _records_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remember digests, retention, tokens and opened models in a folder of the test run, not in the user's cache."""
    from luthier.data import store
    from luthier.evaluation.retention import base
    from luthier.generation.quick import kept
    from luthier.models import weights

    def folder() -> Path:
        return Path(os.environ.get("LUTHIER_CACHE") or tmp_path_factory.getbasetemp() / "cache")

    with pytest.MonkeyPatch.context() as patch:
        for module in (base, kept, weights, store):
            patch.setattr(module, "cache_folder", folder)
        yield


@pytest.fixture(autouse=True)
def _opened_here(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember opened models test by test: none goes round what another test put into the ordinary way of opening."""
    from luthier.generation.quick import kept

    here = tmp_path_factory.getbasetemp() / "opened" / str(next(_NUMBERS))
    monkeypatch.setattr(kept, "cache_folder", lambda: Path(os.environ.get("LUTHIER_CACHE") or here))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Fill a folder that all workers share: the first of them that asks does it; never written to again."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        path, filled = shared / name, shared / f"{name}.filled"
        with FileLock(shared / f"{name}.lock"):
            if not filled.exists():
                shutil.rmtree(path, ignore_errors=True)  # of a worker that failed half-way
                path.mkdir()
                fill(path)
                filled.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def tiny_folder(made_once: Callable[..., Path]) -> Callable[[str], Path]:
    """Return the folder of a family's tiny model; made once a test run, never written to again."""
    from luthier.testing import tiny_model

    def folder(family: str = "llama") -> Path:
        return made_once(f"tiny-{family}", lambda home: tiny_model(home / family, family)) / family

    return folder


@pytest.fixture
def tiny(tiny_folder: Callable[[str], Path]) -> Callable[..., LoadedModel]:
    """Load a family's tiny model afresh, in fp32 unless told otherwise."""
    from luthier.models.load import load_model
    from luthier.models.source import find_model

    def load(family: str = "llama", precision: str = "fp32", **options: Any) -> LoadedModel:
        return load_model(find_model(str(tiny_folder(family))), precision=precision, **options)

    return load


@pytest.fixture
def sequences() -> Callable[..., list[Batch]]:
    """Make random sequences with ragged lengths, ragged answers and a few uneven weights."""
    from luthier.segments import sequence_batch

    def make(count: int = 8, seed: int = 0, shortest: int = 3, longest: int = 30) -> list[Batch]:
        draw = np.random.default_rng(seed)
        batches = []
        for _ in range(count):
            n = int(draw.integers(shortest, longest + 1))
            prompt = int(draw.integers(1, n))
            weights = np.r_[np.zeros(prompt), draw.choice([1.0, 1.0, 1.0, 0.5], n - prompt)].astype(np.float32)
            batches.append(sequence_batch(draw.integers(3, VOCABULARY, n), weights))
        return batches

    return make


@pytest.fixture
def forest() -> Callable[..., Batch]:
    """Make a random forest from its segments' parents; every token that something stands before is a target."""
    import torch

    from luthier.segments import Batch, Segment, Targets

    def make(parents: Sequence[int], seed: int = 0, shortest: int = 1, longest: int = 9) -> Batch:
        draw = np.random.default_rng(seed)
        segments = [
            Segment(draw.integers(3, VOCABULARY, int(draw.integers(shortest, longest + 1))), p) for p in parents
        ]
        starts = np.cumsum([0, *(len(s.tokens) for s in segments)])
        read_at, token, sequence = [], [], []
        for index, segment in enumerate(segments):
            before = starts[segment.parent + 1] - 1 if segment.parent >= 0 else None
            for offset, ident in enumerate(segment.tokens):
                at = starts[index] + offset - 1 if offset else before
                if at is not None:
                    read_at.append(int(at))
                    token.append(int(ident))
                    sequence.append(index)
        weight = torch.from_numpy(draw.choice([1.0, 1.0, 0.5], len(token)).astype(np.float32))
        long = torch.long
        targets = Targets(
            torch.tensor(read_at, dtype=long),
            torch.tensor(token, dtype=long),
            weight,
            torch.tensor(sequence, dtype=long),
            torch.zeros(len(segments), dtype=long),
        )
        return Batch(tuple(segments), targets)

    return make
