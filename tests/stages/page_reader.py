"""Reads a report as strictly as a browser does not."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Reader(HTMLParser):
    """Reads a page: every element is closed in order, no attribute stands twice."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.elements: list[tuple[str, dict[str, str], str]] = []  # tag, attributes, parent
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.descriptions: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._remember(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "desc":
            self.descriptions.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._remember(tag, attrs)

    def _remember(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        self.elements.append((tag, values, self.open[-1] if self.open else ""))
        self.attributes += values.items()

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "desc":
            self.descriptions[-1] += data
        elif self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        """What a reader sees, on one line."""
        return " ".join(" ".join(self.text).replace("\u00a0", " ").split())

    @property
    def drawn(self) -> list[str]:
        """What each drawing shows, in words; a drawing comes in two widths, its words once."""
        return list(dict.fromkeys(self.descriptions))

    def problems(self) -> list[str]:
        """Return what keeps people out, or lets something in: every page should give an empty list."""
        found = []
        if {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(self.tags):
            found.append("an element that loads or runs something")
        for name, value in self.attributes:
            if name in {"src", "srcset", "style", "xlink:href"} or name.startswith("on"):
                found.append(f"attribute {name}")
            if name == "href" and not value.startswith("#"):
                found.append(f"a link to {value}")
        levels = [int(tag[1]) for tag in self.tags if tag in ("h1", "h2", "h3", "h4", "h5", "h6")]
        skips = [f"h{b} after h{a}" for a, b in pairwise(levels) if b > a + 1]
        found += skips if levels[:1] == [1] and levels.count(1) == 1 else ["no single h1 at the top"]
        names = [values["id"] for _, values, _ in self.elements if "id" in values]
        found += ["an id twice"] * (len(names) != len(set(names)))
        found += [
            f"a link to #{v[1:]} that is not there" for n, v in self.attributes if n == "href" and v[1:] not in names
        ]
        for index, (tag, values, _) in enumerate(self.elements):
            if tag == "th" and values.get("scope") not in ("row", "col"):
                found.append("a th without scope")
            if tag == "svg" and values.get("role") == "img" and "aria-label" not in values:
                found += ["a drawing without a title"] * (self.elements[index + 1][0] != "title")
            if tag == "svg" and "role" not in values and values.get("aria-hidden") != "true":
                found.append("a drawing that is neither named nor hidden")
            if tag == "abbr" and values.get("tabindex") != "0":
                found.append("an explanation that no key reaches")
        return found
