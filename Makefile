# `make help` lists the targets. Variables:
#   VENV=.venv       the virtual environment
#   PYTHON=python3   what it is made with (3.11 or newer)
#   BUNDLE=<folder>  a bundle that holds Kubernetes, for the lab (docs/kubernetes.md)
#   OPENSHIFT=1      with the optional Python packages for OpenShift
#   REQUIRE=lab,api  suites of which no test may be skipped (make check, make test)
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
PYTHON ?= python3
OPENSHIFT ?=
BUNDLE ?=
REQUIRE ?=
export VENV PYTHON OPENSHIFT
# Where it is set, every start of Python compiles all that it imports: ansible-playbook takes twice as long to start.
unexport PYTHONDONTWRITEBYTECODE
# Tools that start other tools (Molecule, ansible-lint) find them by PATH.
export PATH := $(abspath $(VENV))/bin:$(PATH)

test := python tools/run_tests.py --require='$(REQUIRE)'

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: ## The virtual environment, with everything that is pinned in requirements.lock
	@tools/venv.sh

.PHONY: check
check: venv ## The fast tests: lint, types, syntax, unit without slow ones (under 3 minutes)
	@tools/packages.sh check
	@$(test) --quick lint types unit

.PHONY: test
test: venv ## All tests: check, sanity, build, integration, Molecule, lab (REQUIRE=lab,api: no skips there)
	@tools/packages.sh check lab vm browser registry vault redis ceph prometheus
	@$(test)

.PHONY: nightly
nightly: ## make test, with the tests that take minutes
	@PLATFORM_NIGHTLY=1 $(MAKE) --no-print-directory test

.PHONY: lab
lab: venv ## Nine nodes in three zones on this machine, and site.yml run on them
	@tools/packages.sh lab
	@ansible-playbook playbooks/lab.yml -i inventories/lab
	@ansible-playbook site.yml -i inventories/lab -e lab_bundle='$(abspath $(BUNDLE))'

.PHONY: lab-down
lab-down: venv ## Removes the lab without a trace
	@ansible-playbook playbooks/lab_down.yml -i inventories/lab

.PHONY: bench
bench: venv ## The proofs; k8s_apply, converge, vault_config beside the usual modules (needs kube-apiserver, and the lab)
	@tools/packages.sh lab
	@python tests/benchmarks/proofs.py
	@python tests/benchmarks/kube.py
	@python tests/benchmarks/nodes.py
	@python tests/benchmarks/vault.py
	@python tests/benchmarks/redaction.py

.PHONY: lint types unit sanity build integration molecule
lint: venv ## ruff, yamllint, ansible-lint, shellcheck, syntax of all playbooks
	@tools/packages.sh check
	@$(test) lint
types: venv ## mypy
	@$(test) types
unit: venv ## Unit tests
	@$(test) unit
sanity: venv ## ansible-test sanity
	@$(test) sanity
build: venv ## The collection as an archive in build/, installed from it and called once
	@$(test) build
integration: venv ## Integration tests
	@tools/packages.sh lab vm browser registry vault redis ceph prometheus
	@$(test) integration
molecule: venv ## The Molecule scenario of each role (one: make molecule SCENARIO=node)
	@tools/packages.sh lab
	@$(test) molecule $(if $(SCENARIO),--scenario='$(SCENARIO)')

.PHONY: lock
lock: venv ## Resolves requirements*.in anew into the lock files
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	    --custom-compile-command 'make lock' --output-file requirements.lock requirements-dev.in
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	    --custom-compile-command 'make lock' --constraint requirements.lock \
	    --output-file requirements-openshift.lock requirements-openshift.in

.PHONY: clean
clean: ## Removes what tests and builds left in the clone; the lab and the virtual environment stay
	@rm -rf .cache .ansible .mypy_cache .ruff_cache .pytest_cache build/*.tar.gz tests/output
	@find . -path './$(VENV)' -prune -o -name __pycache__ -exec rm -rf {} +
