"""Three parts of a corpus: learn on `tune`, choose on `choose`, claim on `confirm`.

Every document draws a number in [0, 1) from the hash of the seed and of its text: below 8/15 tune, below 12/15 choose,
else confirm, as rows of a table do. Copies draw the same number, so a document and its copy are never on both sides;
held-out parts keep the first copy only. Held-out parts need not grow with the corpus: what is beyond a number of tokens
is learned from instead, those with the numbers nearest to the border first.

With fewer documents than `FEWEST_DOCUMENTS` (one long book), the text is divided by position: the beginning is learned
from, the end confirms.

Files called train, validation and test are taken as they are; what is learned from and repeats a held-out document is
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from luthier.core.errors import DataError
from luthier.core.seeding import derive
from luthier.data.corpus.sections import SECTION_CHARACTERS
from luthier.data.mapping import PartName
from luthier.data.splits import FRACTIONS
from luthier.data.store import Integers, TokenStore

FEWEST_DOCUMENTS = 10
FEWEST_SECTIONS = 2
"""Sections that each held-out part has at least: one alone has no interval."""
_NAMES: tuple[PartName, ...] = ("tune", "choose", "confirm")
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CorpusParts:
    """The sections of each part, by index in the store, and what was done to get them.

    Attributes:
        tune, choose, confirm: `[s]` sections, in their order.
        documents: Number of documents in each part.
        notes: What to tell the user, in sentences.
    """

    tune: Integers
    choose: Integers
    confirm: Integers
    documents: Mapping[PartName, int]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: PartName) -> Integers:
        part: Integers = getattr(self, name)
        return part


def divide(
    store: TokenStore, seed: int = 0, held_out_tokens: int = 100_000, given: Mapping[int, PartName] | None = None
) -> CorpusParts:
    """Divide a corpus.

    Args:
        store: Its store.
        seed: Other seeds give other divisions.
        held_out_tokens: Most tokens of choose and of confirm, each; documents stay whole, given parts as they are.
        given: The part of each file by index, where files are parts.

    Raises:
        DataError: if there is too little text for three parts.
    """
    if given:
        division = _given(store, seed, given)
    elif store.documents < FEWEST_DOCUMENTS:
        return _by_position(store, held_out_tokens)
    else:
        division = _drawn(store, seed, held_out_tokens)
    return division.parts(store)


@dataclass
class _Division:
    """Which documents are in which part, as `[N]` masks."""

    masks: dict[PartName, Booleans]
    notes: list[str] = field(default_factory=list)

    def parts(self, store: TokenStore) -> CorpusParts:
        of = np.asarray(store.sections["document"])
        sections = {name: np.flatnonzero(self.masks[name][of]) for name in _NAMES}
        for name in _NAMES:
            _require_filled(len(sections[name]), store)
        documents = {name: int(self.masks[name].sum()) for name in _NAMES}
        return CorpusParts(**sections, documents=documents, notes=tuple(self.notes))


def _drawn(store: TokenStore, seed: int, most: int) -> _Division:
    draws = _draws(store, seed)
    first = _first_copies(store)
    held, division = _held_out(store, draws, first, most)
    copies = _copies_of(store, held) & ~held  # of held-out documents: on neither side
    division.masks["tune"] = ~held & ~copies
    if again := store.documents - int(first.sum()):
        left = int(copies.sum())
        division.notes.append(
            f"{again:,} document(s) repeat an earlier one word for word: none stands on both sides, and {left:,} of "
            "them are left out because the first is held out."
        )
    return division


def _held_out(
    store: TokenStore, draws: npt.NDArray[np.float64], fit: Booleans, most: int
) -> tuple[Booleans, _Division]:
    """Return the held-out documents, and the division of them; a part too small takes those next to its border."""
    order = np.argsort(draws, kind="stable")
    order = order[fit[order]]
    second, third = (int(np.searchsorted(draws[order], sum(FRACTIONS[:k]))) for k in (1, 2))
    third = min(third, len(order) - 2)
    second = max(1, min(second, third - 2))
    choose, confirm = order[second:third], order[third:]
    notes = []
    kept = {}
    for name, part in (("choose", choose[::-1]), ("confirm", confirm[::-1])):
        within = np.cumsum(store.document_tokens[part]) <= most
        within[:FEWEST_SECTIONS] = True
        if beyond := int((~within).sum()):
            notes.append(
                f"{beyond:,} documents beyond {most:,} tokens of {name} are learned from (corpus.held_out_tokens)."
            )
        kept[name] = _mask(store.documents, part[within])
    division = _Division({"tune": kept["choose"], "choose": kept["choose"], "confirm": kept["confirm"]}, notes)
    return kept["choose"] | kept["confirm"], division


def _given(store: TokenStore, seed: int, given: Mapping[int, PartName]) -> _Division:
    files = np.asarray(store.sections["file"])[store.document_starts[:-1]]
    masks = {name: np.isin(files, [f for f, part in given.items() if part == name]) for name in _NAMES}
    if not masks["tune"].any():
        raise DataError(
            "The corpus comes in parts, but none of them is there to learn from. Add a file of the part 'train', or "
            "read the validation or test file alone."
        )
    division = _Division(masks)
    if not masks["confirm"].any():  # the one part that is held out is what the claim is made on
        masks["confirm"], masks["choose"] = masks["choose"], masks["confirm"]
    if not masks["choose"].any():
        fit = _first_copies(store) & masks["tune"]
        draws = np.where(fit, _draws(store, seed) * sum(FRACTIONS[:2]), 2.0)
        order = np.argsort(draws, kind="stable")
        cut = max(1, int(np.searchsorted(draws[order], FRACTIONS[0])))
        masks["choose"] = _mask(store.documents, order[cut : int(fit.sum())])
        masks["tune"] = masks["tune"] & ~masks["choose"]
        division.notes.append("There is one held-out part, which confirms; documents to choose on come out of train.")
    held_out: tuple[PartName, ...] = ("choose", "confirm")
    for name in held_out:
        first = _first_copies(store, masks[name])
        if again := int(masks[name].sum() - first.sum()):
            division.notes.append(f"{again:,} document(s) of {name} repeat another of it and are left out.")
        masks[name] = first
    others = {"choose": masks["confirm"], "tune": masks["choose"] | masks["confirm"]}
    for name in _NAMES[:2]:
        repeated = masks[name] & _copies_of(store, others[name])
        if count := int(repeated.sum()):
            division.notes.append(f"{count:,} document(s) of {name} repeat a held-out one and are left out.")
        masks[name] = masks[name] & ~repeated
    return division


def _by_position(store: TokenStore, most: int) -> CorpusParts:
    """Divide few documents by position: the beginning to learn from, then choose, confirm at the end."""
    first = _first_copies(store)
    of = np.asarray(store.sections["document"])
    sections = np.flatnonzero(first[of])
    sizes = np.diff(store.starts)[sections]
    total = int(sizes.sum())
    ends = np.cumsum(sizes)
    confirm_tokens, choose_tokens = (min(share * total, most) for share in (FRACTIONS[2], FRACTIONS[1]))
    third = min(int(np.searchsorted(ends, total - confirm_tokens)), len(sections) - FEWEST_SECTIONS)
    second = min(int(np.searchsorted(ends, total - confirm_tokens - choose_tokens)), third - FEWEST_SECTIONS)
    _require_filled(second, store)
    parts = {"tune": sections[:second], "choose": sections[second:third], "confirm": sections[third:]}
    notes = [
        f"With {store.documents} document(s) the text is divided by position: the first {second:,} sections are "
        f"learned from, then {third - second:,} choose, and the last {len(sections) - third:,} confirm. A section has "
        f"up to {SECTION_CHARACTERS:,} characters."
    ]
    if again := store.documents - int(first.sum()):
        notes.append(f"{again} document(s) repeat an earlier one word for word and are left out.")
    documents = {name: len(np.unique(of[part])) for name, part in parts.items()}
    return CorpusParts(**parts, documents=documents, notes=tuple(notes))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------- pieces


def _draws(store: TokenStore, seed: int) -> npt.NDArray[np.float64]:
    """Return each document's number in [0, 1), `[N]`, from its text and the seed (mixed as SplitMix64 does)."""
    mixed = store.document_digests ^ np.uint64(derive(seed, "documents"))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).astype(np.float64) / 2.0**64


def _first_copies(store: TokenStore, among: Booleans | None = None) -> Booleans:
    """Return which documents do not repeat an earlier one, `[N]`; of those `among` only, where that is given."""
    where = np.arange(store.documents) if among is None else np.flatnonzero(among)
    _, first = np.unique(store.document_digests[where], return_index=True)
    return _mask(store.documents, where[first])


def _copies_of(store: TokenStore, some: Booleans) -> Booleans:
    """Return which documents have the text of one of `some`, these themselves among them, `[N]`."""
    found: Booleans = np.isin(store.document_digests, store.document_digests[some])
    return found


def _mask(size: int, indices: Integers) -> Booleans:
    mask = np.zeros(size, dtype=bool)
    mask[indices] = True
    return mask


def _require_filled(sections: int, store: TokenStore) -> None:
    if sections < FEWEST_SECTIONS:
        raise DataError(
            f"{store.documents:,} document(s) with {len(store.tokens):,} tokens are too little text for three parts "
            f"(tune, choose, confirm) of {FEWEST_SECTIONS} sections of text each. Add text."
        )
