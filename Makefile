# Two commands matter: `make demo` runs the main job, `make test` the tests.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
CONSTRAINTS := -c constraints.txt

.PHONY: demo test mutants check docs format clean

demo: $(BIN)/.installed
	$(BIN)/luthier demo

test: $(BIN)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile

# Do the tests notice a wrong line? Resumable; writes benchmarks/mutants/RESULTS.md.
mutants: $(BIN)/.installed-dev
	$(BIN)/python benchmarks/mutants/run.py

check: $(BIN)/.installed-dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(BIN)/.installed-dev
	$(BIN)/pip install -q $(CONSTRAINTS) ".[docs]"
	$(BIN)/mkdocs build --strict

format: $(BIN)/.installed-dev
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

# torch comes first and at its tested version, so that nothing after it pulls in another build.
$(BIN)/.torch: constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
	  echo "No NVIDIA driver found. If pip begins to fetch a CUDA build of torch (several GB), stop it and run first:"; \
	  echo "  $(BIN)/pip install $$(grep '^torch==' constraints.txt) --index-url https://download.pytorch.org/whl/cpu"; \
	fi
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/pip install -q "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(BIN)/.installed: $(BIN)/.torch pyproject.toml
	$(BIN)/pip install -q $(CONSTRAINTS) -e .
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(BIN)/pip install -q $(CONSTRAINTS) -e ".[dev]"
	@touch $@

clean:
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache
