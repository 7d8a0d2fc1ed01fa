# Everything that a checkout needs: `make demo` and `make test` set themselves up in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

unexport PYTHONDONTWRITEBYTECODE  # else every process that a test starts compiles the whole program anew

.PHONY: demo test check format bench proof bundle bundle-test lock clean

demo: $(VENV)/run.done           ## a simulated plant, commissioned, changed, alarmed, reported (ONCE=1: without stopping)
	@$(BIN)/asbuilt demo $(if $(ONCE),--once)

test: $(VENV)/dev.done           ## every test
	@$(BIN)/python -m pytest

check: $(VENV)/dev.done          ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/dev.done         ## put the code in form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/dev.done $(VENV)/bench.done   ## measure, and write docs/BENCHMARKS.md
	@$(BIN)/python -m benchmarks

proof: $(VENV)/dev.done          ## the long proofs in full, and write docs/PROOF.md
	@$(BIN)/python -m tests.proof

bundle: $(VENV)/dev.done         ## dist/asbuilt-VERSION.tar.gz: installs without a network (PLATFORM=linux-x86_64: for that alone)
	@$(BIN)/python -m installer $(if $(PLATFORM),--platform $(PLATFORM))

bundle-test: $(VENV)/dev.done    ## install, upgrade, kill, roll back and remove it on a bare Debian (root; takes minutes)
	@ASBUILT_BUNDLE_TEST=$(VENV)/debian $(BIN)/python -m pytest --numprocesses=0 tests/test_install.py

lock: $(VENV)/dev.done           ## pin the newest versions that pyproject.toml allows
	@$(PIP) uv
	@for kind in run dev bench; do \
	  $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-header --extra postgresql --extra oidc --group build $$([ $$kind = run ] || echo --group $$kind) \
	    --output-file requirements/$$kind.txt || exit 1; \
	done
	@echo pip | $(BIN)/uv pip compile - --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --output-file requirements/pip.txt    # the one that the archive carries

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asbuilt needs Python 3.11 or newer; name one with make PYTHON=…")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/%.done: requirements/%.txt pyproject.toml | $(VENV)/bin/python
	@echo "setting up $(VENV) ($*) …"
	@$(PIP) --require-hashes --requirement $<
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
