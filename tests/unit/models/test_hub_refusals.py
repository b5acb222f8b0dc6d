"""What is said where the hub does not give a model, by the hub's real client against a server of this test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from luthier.core.errors import ModelError
from luthier.models.source import find_model

Answer = tuple[int, dict[str, str]]
NAME = "meta-llama/Llama-3.2-1B-Instruct"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer, Answer], str]]:
    """Start a hub that answers questions about a model, and for its files, with a status and headers."""
    from huggingface_hub import constants

    answers: dict[str, Answer] = {}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = answers["api" if self.path.startswith("/api/") else "file"]
            tree = [{"type": "file", "path": "config.json", "size": 2, "oid": "0" * 40}]
            body = json.dumps(tree if "/tree/" in self.path else {"id": NAME, "sha": "0" * 40, "siblings": []}).encode()
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    def start(api: Answer, file: Answer) -> str:
        answers.update(api=api, file=file)
        return endpoint

    yield start
    server.shutdown()
    server.server_close()


def refusal() -> str:
    with pytest.raises(ModelError) as caught:
        find_model(NAME)
    return str(caught.value)


GATED = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model is restricted."}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("told_at_once", [True, False])
def test_a_gated_model_says_where_to_accept_its_terms(
    hub: Callable[[Answer, Answer], str], status: int, told_at_once: bool
) -> None:
    """The hub tells about gated models, and refuses their files; without a token (401) or with one (403)."""
    endpoint = hub((status, GATED) if told_at_once else (200, {}), (status, GATED))
    assert refusal() == (
        f"{NAME} is gated: accept its terms on {endpoint}/{NAME}, then log in with: hf auth login (or set HF_TOKEN to "
        "a token of that account). Access that has to be granted by its owners can take a while."
    )


def test_a_token_that_may_not_is_told_and_not_taken_for_a_lost_network(hub: Callable[[Answer, Answer], str]) -> None:
    hub((403, {"X-Error-Message": "Please enable access to public gated repositories"}), (403, {}))
    text = refusal()
    assert text.startswith(f"The hub refused '{NAME}' (403): the token used here may not read it.")
    assert "hf auth login" in text
    hub((401, {"X-Error-Message": "Invalid credentials in Authorization header"}), (401, {}))
    assert refusal().startswith(f"The hub refused '{NAME}' (401)")


def test_a_model_that_is_not_there_and_a_hub_that_is_down_are_told_apart(hub: Callable[[Answer, Answer], str]) -> None:
    hub((404, {"X-Error-Code": "RepoNotFound"}), (404, {}))
    assert refusal().startswith(f"No model '{NAME}' on the hub (or it is private: hf auth login).")
    hub((500, {}), (500, {}))
    assert refusal().startswith(f"Cannot fetch '{NAME}': the hub cannot be reached from here (")
