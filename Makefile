# Every target works from a fresh clone with Python >= 3.11 and make alone: the environment is made in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-fire check lint bench dashboards install clean lock

demo: install # on a terminal it ends by serving a console until Ctrl-C; not with: make demo DEMO=--no-serve
	$(BIN)/helamem demo $(DEMO)

test: lint # two at a time, but one by one what starts brokers
	$(BIN)/pytest -m "not slow" -n 2
	$(BIN)/pytest -m slow -n 2 --dist loadgroup

test-fire: install # workers, brokers and stores are killed at random for minutes; HELAMEM_FIRE_SEED repeats a run
	HELAMEM_FIRE=long $(BIN)/pytest tests/fire -s

check: lint # the inner loop
	$(BIN)/pytest -m "not slow and not broad" -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks

dashboards: install # Grafana's dashboards, from their description in Python, and the chart's copies of them and of the alerts
	$(BIN)/python -m deploy.grafana

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock hatch_build.py package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "helamem needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@test -f streams/helamem/streams/console/vendor/.lock || echo "npm's registry cannot be reached: helamem works without its console; for the console, make clean install once it can"
	touch $(STAMP)

lock: # renew requirements.lock, and deploy/requirements.lock for the image; needs uv
	uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-annotate --no-header -o requirements.lock requirements.build
	uv pip compile pyproject.toml --extra gateway --extra oidc --extra openai --extra otel --universal --generate-hashes --no-annotate --no-header -c requirements.lock -o deploy/requirements.lock requirements.build

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
