"""Corpora: documents of plain text, read piece by piece, never as a whole.

    corpus = find_corpus("corpus/")                  # files, which of them are parts, what is not read
    for section in corpus.sections(found):           # found counts empty documents, and what cannot be used
        ...

One text file (.txt, .md) is one document; one row of a JSON Lines, CSV or Parquet file is one, its column `text`. What
is read is tokenised once (`luthier.data.store`), divided into parts (`luthier.data.corpus.parts`) and cut into windows
(`luthier.data.corpus.windows`).
"""

from luthier.data.corpus.files import Corpus, find_corpus
from luthier.data.corpus.sections import SECTION_CHARACTERS, Found, Section, Unusable, cut_into_sections

__all__ = ["SECTION_CHARACTERS", "Corpus", "Found", "Section", "Unusable", "cut_into_sections", "find_corpus"]
