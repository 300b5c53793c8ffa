# Needs GNU make and Python 3.11 or newer. Everything is installed into .venv and nowhere else.
#   VENV=path      use an environment in which the package is installed already; nothing is installed then
#   PYTHON=name    the Python that .venv is made with
VENV ?= .venv
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11 python
BIN = $(VENV)/bin

ifeq ($(VENV),.venv)
READY = .venv/.installed
READY_DEV = .venv/.installed-dev
READY_DOCS = .venv/.installed-docs
endif

# Tests that read real films run where the films are; longer ones always run.
REAL := $(and $(COVID_FASTAI_DATA),$(COVID_FASTAI_WEIGHTS))
FLAGS = slow $(if $(REAL),real)

# Hundreds of processes import the same packages: what Python compiled is kept, in .venv and nowhere else that matters.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help demo test docs readme hooks clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## Install, then train, judge and explain a model on phantoms: no data needed
	@echo "== Demo: phantoms are drawn, split, learnt, judged and explained; the run goes to runs/demo"
	@$(BIN)/covid_fastai demo --out runs/demo

test: $(READY_DEV) ## Install, then run every notebook and every test
	@echo "== Tests that read real films: $(if $(REAL),run,skipped (set COVID_FASTAI_DATA and COVID_FASTAI_WEIGHTS to run them))"
	@echo "== Notebooks: every one is run from top to bottom, two at a time"
	@COVID_FASTAI_CACHE=$$(mktemp -d); export COVID_FASTAI_CACHE; trap 'rm -rf "$$COVID_FASTAI_CACHE"' EXIT; trap 'exit 1' HUP INT TERM; \
	failed=; \
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/nbdev_test --n-workers 2 --timing --flags "$(strip $(FLAGS))" || failed=notebooks; \
	echo "== pytest: what a notebook cannot prove, and the wheel; three at a time, for some wait for a server or a page"; \
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder --durations 40 || failed="$${failed:+$$failed, }pytest"; \
	if [ -n "$$failed" ]; then echo "make test: failed in: $$failed" >&2; exit 1; fi

docs: $(READY_DOCS) ## Build the documentation into _docs/index.html and check its links
	@$(BIN)/python tools/docs.py

readme: $(READY_DEV) ## Write README.md from nbs/index.ipynb
	@$(BIN)/python tools/readme.py

hooks: $(READY_DEV) ## Let git refuse notebooks that are not clean or not exported
	@git config core.hooksPath .githooks
	@echo "git now runs .githooks/pre-commit before each commit; undo: git config --unset core.hooksPath"

clean: ## Remove the environment and what was built; runs/ stays
	@echo "== Removing .venv, build products and caches"
	@rm -rf .venv _docs _proc build dist *.egg-info .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: settings.ini setup.py pyproject.toml
	@$(call install,.)
	@touch $@

.venv/.installed-dev: settings.ini setup.py pyproject.toml
	@$(call install,.[dev])
	@touch .venv/.installed $@

.venv/.installed-docs: settings.ini setup.py pyproject.toml
	@$(call install,.[docs])
	@touch .venv/.installed $@

# The first Python of the list that is new enough makes .venv, unless a working one stands there. uv installs in a sixth of the time of pip, which
# does it where uv cannot: it does not read pip's settings, such as an index of one's own. Python compiles what it imports, when it does.
define install
set -e; \
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
  found=; \
  for p in $(PYTHON); do \
    if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$p; break; fi; \
  done; \
  if [ -z "$$found" ]; then echo "make: no Python 3.11 or newer among: $(PYTHON); install one, or name it: make PYTHON=/path/of/python3" >&2; exit 1; fi; \
  if ! $$found -c 'import ensurepip, venv' >/dev/null 2>&1; then echo "make: $$found has no venv module; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; fi; \
  echo "== Making .venv with $$($$found --version)"; \
  rm -rf .venv; $$found -m venv .venv; \
fi; \
echo "== Installing covid_fastai and what it needs into .venv (once; about 6 GB with PyTorch: half a minute where the network is fast)"; \
pip=".venv/bin/python -m pip install -qq --disable-pip-version-check"; \
{ $$pip uv && .venv/bin/uv pip install -q --python .venv/bin/python --cache-dir .venv/.uv -e '$(1)'; } || $$pip --no-compile -e '$(1)'; \
rm -rf .venv/.uv
endef
