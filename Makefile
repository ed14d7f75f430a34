# Each target does all of its own set-up: Python 3.11+ and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check fix lab lab-docker images bench prove holes clean

$(STAMP): pyproject.toml filters/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1); Python 3.11 or newer is needed; make PYTHON=python3.12 …" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ./filters -e '.[dev,lab]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/simian demo

lab: $(STAMP)
	@$(BIN)/simian lab up

# The same in containers; where no image registry can be reached, `make images` first.
lab-docker: $(STAMP)
	@$(BIN)/simian lab up --flavour docker

# The images of the lab in containers, from packages: docs/images.md. IMAGES="redis:7 postgres:15" are some of them.
images:
	@PYTHON=$(PYTHON) lab/docker/make-images $(if $(FORCE),--force) $(IMAGES)

# What needs no lab goes by files, three at a time, as most of it waits; then labs beside what is on the Docker engine
# (tests/conftest.py); then, one by one, what looks at loads and times, the lab in containers, and a Cassandra beside a lab.
IN_MEMORY := $(addprefix tests/crash/test_,a_second_system_in_memory.py any_sequence.py drivers_that_misbehave.py \
  every_point_in_memory.py flipped_bits.py the_table.py)
LABS := tests/drivers tests/proof $(filter-out $(IN_MEMORY),$(wildcard tests/crash/test_*.py))
ALONE := tests/benchmarks tests/lab tests/load $(wildcard tests/drivers/test_data*.py)

test: $(STAMP)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(LABS:%=--ignore=%) $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(LABS) $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest $(ALONE)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit -q -c pyproject.toml -r simian monkeys lab filters experiments
	$(BIN)/python -m pytest tests/test_house.py -q

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

BENCHMARKS := startup load delay guard journal readings history schedule kong docker

# The peers are programs on PATH; each benchmark says how to get one that is missing.
bench: $(STAMP)
	@for name in $(BENCHMARKS); do echo "== $$name"; \
	  PATH="$$PATH:$(CURDIR)/.ci/parts" $(BIN)/python benchmarks/$$name.py --json build/benchmarks/$$name.json || exit 1; done
	@$(BIN)/python benchmarks/write_table.py build/benchmarks

# Hours; PARTS=weaknesses, say, is one part of it, and SEEDS=5 a tenth of it.
prove: $(STAMP)
	PATH="$$PATH:$(CURDIR)/.ci/parts" SIMIAN_ELASTICMQ="$${SIMIAN_ELASTICMQ-$(CURDIR)/.ci/parts/elasticmq}" \
	  $(BIN)/python tests/crash/prove.py --seeds $(or $(SEEDS),50) $(PARTS)

# Each weakness planted in a copy, and its test run there; minutes. HOLE="no link" is those with these words.
holes: $(STAMP)
	$(BIN)/python tests/planted_holes.py $(HOLE)

clean:
	rm -rf $(VENV) build dist *.egg-info filters/*.egg-info filters/build
