# Everything runs in .venv, which scripts/setup.sh makes and keeps up to date; it is quick when nothing has changed.

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-all lint types bench clean
PY := .venv/bin/python

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make or update .venv: locked versions, agenthost editable
	@scripts/setup.sh

run: setup ## a team of agents with a small real model; with a scripted one where the model cannot be installed
	@if scripts/setup.sh model; then exec $(PY) scripts/team.py; \
	else echo "the model extra cannot be installed here: the team runs with a scripted model"; \
	exec $(PY) scripts/team.py --scripted; fi

demo: setup ## the same team with a scripted model: no download
	@exec $(PY) scripts/team.py --scripted

test: setup ## the tests, without the slow ones: under ten minutes on two cores
	@exec $(PY) -m pytest -m "not slow" --dist loadfile --tx '2*popen//python=$(PY) -m tests.worker'

test-all: setup ## all tests, the slow ones and those with a real model too
	@scripts/setup.sh model || echo "the model extra cannot be installed here: its tests will be skipped"
	@scripts/setup.sh erlang || echo "Erlang cannot be installed here: what compares with it will be skipped"
	@scripts/setup.sh systemd || echo "qemu cannot be installed here: the tests with a real systemd will be skipped"
	@exec $(PY) -m pytest

lint: setup ## ruff, its formatter, and the layers
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@.venv/bin/lint-imports --no-logo

types: setup ## mypy --strict on agenthost and the workers
	@$(PY) -m mypy

bench: setup ## measure against the raw mechanism, in one run, as ratios
	@exec $(PY) scripts/bench.py

clean: ## remove .venv, caches and builds
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
