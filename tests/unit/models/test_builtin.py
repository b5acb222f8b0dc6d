"""Built-in models without a network: fake wheels, fake conversions, and a real conversion of a tiny GGUF file."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import venv
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from luthier.core.errors import ModelError
from luthier.core.listener import SilentListener
from luthier.models import builtin, builtin_download
from luthier.models.builtin import builtin_folder, is_converted, list_builtin, prepare, problem_of
from luthier.models.builtin_download import fetch_gguf, format_bytes
from luthier.models.builtin_table import BUILTIN, GEMMA_TERMS, BuiltinModel, TokenizerFacts, WheelPart


class Heard(SilentListener):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def make_wheel(folder: Path, package: str, member: str, payload: bytes) -> WheelPart:
    """Write a wheel that pip takes, and return what a table would pin of it."""
    flat = package.replace("-", "_")
    info = f"{flat}-1.0.dist-info"
    content = {
        member: payload,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    (folder / f"{flat}-1.0-py3-none-any.whl").write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    return WheelPart(
        f"{package}==1.0", len(buffer.getvalue()), digest, member, len(payload), hashlib.sha256(payload).hexdigest()
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a cache folder of its own and a pip that sees only the folder `wheels`."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LUTHIER_ACCEPT_TERMS", raising=False)
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_NO_CACHE_DIR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "cache"


@pytest.fixture
def tiny(cache: Path) -> BuiltinModel:
    """A model whose "GGUF file" is the bytes of two wheels."""
    wheels = cache.parent / "wheels"
    parts = tuple(make_wheel(wheels, f"tiny-part{n}", f"tiny_part{n}/data.bin", bytes([n]) * 1000) for n in (1, 2))
    return BuiltinModel(
        name="tiny",
        licence="MIT",
        source="a test",
        good_for="tests",
        card="Not a model.",
        chat=False,
        parameters=1,
        context_tokens=1,
        parts=parts,
        gguf_sha256=hashlib.sha256(b"\1" * 1000 + b"\2" * 1000).hexdigest(),
        folder_bytes=1000,
        tokenizer=TokenizerFacts(None, 0, 0, {}),
    )


def convert_fake(model: BuiltinModel, gguf: Path, target: Path, listener: object) -> None:
    target.mkdir()
    (target / "config.json").write_text("{}")
    (target / "model.safetensors").write_bytes(gguf.read_bytes())


def fetch_fake(model: BuiltinModel, staging: Path, listener: object) -> Path:
    (staging / "model.gguf").write_bytes(b"weights")
    return staging / "model.gguf"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# ------------------------------------------------------------------------------------------ the table


def test_the_table_is_consistent() -> None:
    assert [model.name for model in list_builtin()] == ["smollm2-135m-instruct", "gemma-3-270m"]
    for name, model in BUILTIN.items():
        assert model.name == name
        assert "dequantised 4-bit weights" in model.card
        digests = [model.gguf_sha256, *(d for part in model.parts for d in (part.wheel_sha256, part.member_sha256))]
        assert all(len(digest) == 64 and int(digest, 16) for digest in digests)
        assert all("==" in part.requirement for part in model.parts)
        assert model.folder_bytes > 4 * model.parameters
    assert format_bytes(BUILTIN["smollm2-135m-instruct"].download_bytes) == "93 MB"
    assert format_bytes(BUILTIN["gemma-3-270m"].folder_bytes) == "1.1 GB"


def test_unknown_name_lists_the_names_and_the_nearest(cache: Path) -> None:
    with pytest.raises(ModelError, match=r"Known: gemma-3-270m, smollm2-135m-instruct\. Did you mean 'smollm2-135m"):
        builtin_folder("smollm2-135m")


def test_import_is_light() -> None:
    script = (
        "import sys, luthier.models.builtin; print([m for m in ('torch', 'transformers', 'gguf') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------ fetching


def test_parts_are_joined_in_order_and_wheels_deleted(tiny: BuiltinModel, tmp_path: Path) -> None:
    gguf = fetch_gguf(tiny, tmp_path / "staging", SilentListener())
    assert gguf.read_bytes() == b"\1" * 1000 + b"\2" * 1000
    assert not list((tmp_path / "staging").rglob("*.whl"))


def test_progress_adds_up_to_the_download(tiny: BuiltinModel, tmp_path: Path) -> None:
    advanced: list[float] = []

    class Counting(SilentListener):
        def track(self, description: str, total: float | None, unit: str = "") -> SimpleNamespace:
            assert (total, unit) == (tiny.download_bytes, "B")
            tracker = SilentListener().track("", None)
            tracker.advance = advanced.append
            return tracker

    fetch_gguf(tiny, tmp_path / "staging", Counting())
    assert sum(advanced) == tiny.download_bytes


@pytest.mark.parametrize("wrong", ["wheel", "member", "whole"])
def test_a_file_with_another_digest_is_refused(tiny: BuiltinModel, tmp_path: Path, wrong: str) -> None:
    first, second = tiny.parts
    if wrong == "wheel":
        broken = replace(tiny, parts=(first, replace(second, wheel_sha256="0" * 64, wheel_bytes=7)))
    elif wrong == "member":
        broken = replace(tiny, parts=(first, replace(second, member_sha256="0" * 64)))
    else:
        broken = replace(tiny, gguf_sha256="0" * 64)
    with pytest.raises(ModelError, match="is not the file that Luthier knows") as caught:
        prepare(broken, tmp_path / "models" / "tiny", SilentListener(), convert=convert_fake)
    assert "instead of 0000000000000000…" in str(caught.value)
    assert "run the same command again" in str(caught.value)
    assert names_in(tmp_path / "models") <= {".tiny.lock"}


def test_no_network_is_one_sentence(tiny: BuiltinModel, tmp_path: Path) -> None:
    absent = replace(tiny, parts=(replace(tiny.parts[0], requirement="luthier-no-such-package==1.0"),))
    with pytest.raises(
        ModelError, match=r"^pip could not download luthier-no-such-package==1\.0 \(1 MB\): Could not"
    ) as e:
        fetch_gguf(absent, tmp_path / "staging", SilentListener())
    assert "Check the network" in str(e.value)
    assert "PIP_INDEX_URL" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_python_without_pip_is_one_sentence(
    tiny: BuiltinModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    monkeypatch.setattr(builtin_download.sys, "executable", str(python))
    with pytest.raises(ModelError, match=r"needs pip, which .* does not have\. Add it with: .* -m ensurepip --upgrade"):
        fetch_gguf(tiny, tmp_path / "staging", SilentListener())


def test_a_pip_module_in_the_current_folder_is_not_run(
    tiny: BuiltinModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('stranger')")
    monkeypatch.chdir(tmp_path)
    assert fetch_gguf(tiny, tmp_path / "staging", SilentListener()).exists()


# ------------------------------------------------------------------------------------------ the folder


def test_converts_once_and_says_the_size_first(tiny: BuiltinModel, cache: Path) -> None:
    heard, folder = Heard(), cache / "models" / "tiny"
    assert prepare(tiny, folder, heard, fetch_fake, convert_fake) == folder
    assert names_in(folder) == {"config.json", "model.safetensors", "README.md", "manifest.json"}
    assert names_in(folder.parent) == {"tiny", ".tiny.lock"}
    assert heard.lines[0].startswith("Fetching tiny once: a download of 1 MB")
    assert "Licence: MIT" in heard.lines[0]

    def never(*_: object) -> Path:
        raise AssertionError("fetched twice")

    assert prepare(tiny, folder, Heard(), never, convert_fake) == folder


def _drop_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _tear_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:50])


def _empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def _older_conversion(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"conversion": 0}))


def _truncate_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"wei")


def _drop_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_drop_manifest, "manifest.json is missing"),
        (_tear_manifest, "its manifest.json cannot be read"),
        (_empty_manifest, "its manifest.json cannot be read"),
        (_older_conversion, "its conversion is 0, expected 1"),
        (_truncate_weights, "model.safetensors has 3 bytes, expected 7"),
        (_drop_weights, "model.safetensors is missing"),
    ],
)
def test_a_damaged_folder_is_made_again(
    tiny: BuiltinModel, cache: Path, damage: Callable[[Path], None], said: str
) -> None:
    folder = cache / "models" / "tiny"
    prepare(tiny, folder, Heard(), fetch_fake, convert_fake)
    damage(folder)
    assert not is_converted(tiny)
    heard = Heard()
    prepare(tiny, folder, heard, fetch_fake, convert_fake)
    assert said in heard.lines[0]
    assert is_converted(tiny)
    assert names_in(folder.parent) == {"tiny", ".tiny.lock"}


def test_another_source_is_another_model(tiny: BuiltinModel, cache: Path) -> None:
    folder = prepare(tiny, cache / "models" / "tiny", Heard(), fetch_fake, convert_fake)
    assert "gguf_sha256" in str(problem_of(folder, replace(tiny, gguf_sha256="1" * 64)))


def test_a_conversion_that_fails_leaves_nothing(tiny: BuiltinModel, cache: Path) -> None:
    def fail(model: BuiltinModel, gguf: Path, target: Path, listener: object) -> None:
        convert_fake(model, gguf, target, listener)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        prepare(tiny, cache / "models" / "tiny", Heard(), fetch_fake, fail)
    assert names_in(cache / "models") == {".tiny.lock"}


def test_a_failed_remake_keeps_no_half_folder(tiny: BuiltinModel, cache: Path) -> None:
    folder = prepare(tiny, cache / "models" / "tiny", Heard(), fetch_fake, convert_fake)
    _truncate_weights(folder)

    def fail(*_: object) -> Path:
        raise ModelError("no network")

    with pytest.raises(ModelError, match="no network"):
        prepare(tiny, folder, Heard(), fail, convert_fake)
    assert not is_converted(tiny)


def test_too_little_disk_is_said_before_the_download(
    tiny: BuiltinModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    big = replace(tiny, folder_bytes=500_000_000)

    def never(*_: object) -> Path:
        raise AssertionError("fetched")

    with pytest.raises(
        ModelError, match=r"needs 500 MB in .*, but only 2 MB are free\. Free some space, or set LUTHIER"
    ):
        prepare(big, cache / "models" / "tiny", Heard(), never, convert_fake)
    assert names_in(cache / "models") == {".tiny.lock"}


def test_a_cache_that_cannot_be_written_is_one_sentence(tiny: BuiltinModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError, match=r"^Cannot make the model folder .*set LUTHIER_CACHE to a folder that is\.$"):
        prepare(tiny, tmp_path / "file" / "models" / "tiny", Heard(), fetch_fake, convert_fake)


# ------------------------------------------------------------------------------------------ several processes

SCRIPT = """
    import os, sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_builtin import Heard, convert_fake, fetch_fake
    from luthier.models.builtin import prepare
    from luthier.models.builtin_table import BuiltinModel, TokenizerFacts, WheelPart

    model = {model!r}
    def convert(*arguments):
        with open({log!r}, "a") as log:
            log.write("converted\\n")
        convert_fake(*arguments)
        {middle}
    heard = Heard()
    folder = prepare(model, Path({folder!r}), heard, fetch_fake, convert)
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    print(heard.lines)
"""


def start(tiny: BuiltinModel, cache: Path, middle: str) -> subprocess.Popen[str]:
    """Start a process that prepares the model and does `middle` when its conversion is nearly done."""
    script = textwrap.dedent(SCRIPT).format(
        tests=str(Path(__file__).parent),
        model=tiny,
        log=str(cache.parent / "log"),
        folder=str(cache / "models" / "tiny"),
        middle=middle,
    )
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_two_processes_at_once_convert_once(tiny: BuiltinModel, cache: Path) -> None:
    processes = [start(tiny, cache, "time.sleep(2)") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert (cache.parent / "log").read_text() == "converted\n"
    assert sum("Fetching tiny once" in said for said, _ in outputs) == 1
    assert is_converted(tiny)


def test_a_process_that_waits_says_so(tiny: BuiltinModel, cache: Path) -> None:
    first = start(tiny, cache, "time.sleep(2)")
    wait_for(cache.parent / "log")
    heard = Heard()
    prepare(tiny, cache / "models" / "tiny", heard, fetch_fake, convert_fake)
    first.communicate(timeout=60)
    assert heard.lines == ["Another process is preparing tiny; waiting for it."]


def test_killed_half_way_leaves_nothing_that_is_taken_for_a_model(tiny: BuiltinModel, cache: Path) -> None:
    process = start(tiny, cache, "time.sleep(60)")
    staged = cache / "models" / ".tiny.staging" / "model" / "model.safetensors"
    wait_for(staged)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode in (-getattr(signal, "SIGKILL", 9), 1)
    assert staged.exists()
    assert not is_converted(tiny)
    prepare(tiny, cache / "models" / "tiny", Heard(), fetch_fake, convert_fake)
    assert is_converted(tiny)
    assert names_in(cache / "models") == {"tiny", ".tiny.lock"}


# ------------------------------------------------------------------------------------------ terms


@pytest.fixture
def with_terms(tiny: BuiltinModel, monkeypatch: pytest.MonkeyPatch) -> BuiltinModel:
    model = replace(tiny, terms=GEMMA_TERMS)
    monkeypatch.setitem(builtin.BUILTIN, "tiny", model)
    monkeypatch.setattr(builtin, "prepare", partial(prepare, fetch=fetch_fake, convert=convert_fake))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    return model


def test_terms_not_accepted(with_terms: BuiltinModel, cache: Path) -> None:
    heard = Heard()
    with pytest.raises(
        ModelError, match=r"under the Gemma Terms of Use \(https://ai\.google\.dev/gemma/terms\)"
    ) as caught:
        builtin_folder("tiny", heard)
    assert "--accept-terms" in str(caught.value)
    assert "LUTHIER_ACCEPT_TERMS=gemma" in str(caught.value)
    assert "prohibited_use_policy" in heard.lines[0]
    assert names_in(cache) == set()


@pytest.mark.parametrize("how", ["flag", "environment", "keyboard"])
def test_terms_are_accepted_once(
    with_terms: BuiltinModel, cache: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "environment":
        monkeypatch.setenv("LUTHIER_ACCEPT_TERMS", "other,gemma")
    if how == "keyboard":
        keyboard = io.StringIO("yes\n")
        keyboard.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", keyboard)
        screen = io.StringIO()
        screen.isatty = lambda: True
        monkeypatch.setattr(sys, "stderr", screen)
    folder = builtin_folder("tiny", Heard(), accept_terms=how == "flag")
    assert "Gemma Terms of Use" in (folder / "NOTICE").read_text()
    assert json.loads((cache / "accepted_terms.json").read_text())["gemma"]["how"] == how
    monkeypatch.delenv("LUTHIER_ACCEPT_TERMS", raising=False)
    heard = Heard()
    builtin_folder("tiny", heard)
    assert heard.lines == []


def test_other_accepted_terms_do_not_count(with_terms: BuiltinModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_ACCEPT_TERMS", "gemmatria")
    with pytest.raises(ModelError, match="not accepted"):
        builtin_folder("tiny")
