# make book | test | serve on a fresh clone; everything they need goes into .venv and _build.

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
HTML := _build/$(or $(MEDGAN_PROFILE),cpu)/html

# A kernel runs in its notebook's folder, where a relative path would mean another place. Not $(abspath): it splits
# at spaces. A folder that is not there keeps its name.
ifdef MEDGAN_DATA
override MEDGAN_DATA := $(shell cd -- "$(MEDGAN_DATA)" > /dev/null 2>&1 && pwd || printf %s "$(MEDGAN_DATA)")
export MEDGAN_DATA
endif

# Named after what was installed, so that a new lock installs again and a new time stamp on an old one does not.
INSTALLED := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | cksum | cut -d ' ' -f 1)

# What nbval and the browser tests run under: see "Budgets" in book/using.md. More than one thread a notebook makes
# PyTorch slower as soon as two of them share the cores; a GPU is not used where there is one.
SMOKE := MEDGAN_PROFILE=smoke OMP_NUM_THREADS=1 TQDM_DISABLE=1 CUDA_VISIBLE_DEVICES=

.NOTPARALLEL:
.PHONY: book test serve slides times env data lint unit notebooks pages screenshots welcome game vendor lock clean

book: $(INSTALLED)
	$(BIN)/python book/build.py

slides: $(INSTALLED)
	$(BIN)/python book/slides.py

times: $(INSTALLED)
	$(BIN)/python book/times.py

test: lint unit notebooks pages

serve:
	@test -d $(HTML) || { echo "There is no book yet: run make book first."; exit 1; }
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

env: $(INSTALLED)

data: $(INSTALLED)
	$(BIN)/medgan data fetch --all-for $(basename $(notdir $(wildcard chapters/[0-9]*.ipynb)))

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2> /dev/null || \
	  { echo "The course needs Python 3.11, 3.12 or 3.13, which $(PYTHON) is not: name one, as in make PYTHON=python3.12 book."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -r requirements.lock -e ".[test]"
	rm -f $(VENV)/.installed-*
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

unit: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests --ignore=tests/book --ignore=tests/packaging/test_notebooks.py \
	  --cov --cov-report=term:skip-covered --cov-fail-under=95

# nbval alone would run a notebook that names no kernel of ours, and take no notice of outputs that were left in it.
notebooks: $(INSTALLED)
	$(BIN)/medgan exercises build --check
	$(SMOKE) $(BIN)/python -m pytest -n 2 --dist loadfile -p no:cacheprovider \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout=120 \
	  tests/packaging/test_notebooks.py chapters solutions exercises

pages: $(INSTALLED)
	$(SMOKE) $(BIN)/python book/build.py
	$(BIN)/python -m pytest -n 2 tests/book

screenshots: $(INSTALLED)
	$(BIN)/python tests/book/screenshots.py

welcome: $(INSTALLED)
	$(BIN)/python book/images.py

# What chapter 2's game opens on, and its still picture.
game: $(INSTALLED)
	$(BIN)/python book/game_state.py
	$(BIN)/python tests/book/game_page.py

vendor:
	$(PYTHON) book/vendor.py

lock: $(INSTALLED)
	$(BIN)/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --no-header --upgrade -o requirements.lock

clean:
	rm -rf _build
