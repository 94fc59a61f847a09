# `make demo` and `make test` set themselves up; `make check` is the one to run all the time.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin

PARALLEL ?= 3

.PHONY: venv demo test check lint format docs manifests schemas bench soak clean
.DEFAULT_GOAL := check

venv: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Keryx needs Python 3.11 or newer"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: venv
	@$(BIN)/python examples/demo.py

# Most tests wait for servers: more of them than processors run side by side.
test: venv
	$(BIN)/pytest --numprocesses $(PARALLEL) --dist loadfile $(ARGS)

lint: venv
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(BIN)/pytest -q tests/unit

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: venv
	$(BIN)/python -m events.app.reference

manifests: venv
	$(BIN)/python -m events.app.manifests

schemas: venv
	$(BIN)/python tools/schemas.py

bench: venv
	PYTHONPATH=tests $(BIN)/python tests/bench/run.py $(ARGS)

soak: venv
	$(BIN)/pytest tests/chaos tests/e2e/test_chaos.py --soak -s --seeds "$(SEEDS)"
	$(BIN)/pytest --soak tests/e2e/examples
	$(BIN)/pytest --soak -s tests/integration/test_pubsub_loss.py tests/integration/test_sqs_loss.py \
		tests/integration/test_s3_loss.py
	env -u KUBECONFIG KERYX_ALL_KUBECTLS=1 $(BIN)/pytest --soak tests/contract/kubernetes \
		"tests/conformance/test_conformance.py::test_answers_are_upstreams_or_our_documented_ones[kubernetes_kubectl]"

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
