# Two commands do all the set-up: `make demo` and `make test`. Each makes the environment it needs, once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-fast check docs method-figures bench bench-methods bench-pages backbones texnet clean help bench-line node-example

help:             ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/'

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	@touch $@

demo: $(INSTALLED) ## make a synthetic inspection task, fit, test, write the report
	$(BIN)/blemish demo

test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not gpu and not network" $(ARGS)

test-fast: $(INSTALLED) ## the quick tests: no training to the end, no exports, no processes killed
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not gpu and not network" $(ARGS)

check: $(INSTALLED) ## style, docstrings, types, layers, generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/docstrings.py
	$(BIN)/pydoclint --quiet --config pyproject.toml src
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/docs.py --check

docs: $(INSTALLED) ## write the generated pages of docs/
	$(BIN)/python tools/docs.py

method-figures: $(INSTALLED) ## draw the maps of every method on the demo's images; keeps what is there
	$(BIN)/python tools/method_figures.py

BENCH := forward coreset patchcore padim metrics whole_run startup growth
bench: $(INSTALLED) ## measure ours beside the rival: DATA=FOLDER WEIGHTS=FILE RIVAL=PYTHON, all optional; writes docs/performance.md
	for name in $(BENCH); do \
		$(BIN)/python benchmarks/$$name.py $(if $(DATA),--data $(DATA)) $(if $(WEIGHTS),--weights $(WEIGHTS)) \
			$(if $(RIVAL),--rival $(RIVAL)) --out runs/bench/$$name.json || exit 1; done
	$(BIN)/python tools/performance.py

bench-methods: $(INSTALLED) ## every method with its quick preset: DATA=FOLDER; writes docs/methods-measured.md and docs/measured/methods.csv
	$(BIN)/python benchmarks/methods.py $(if $(DATA),--data $(DATA) --export docs/measured) --page docs/methods-measured.md

bench-pages: $(INSTALLED) ## table, page and manifest of a benchmark's cells: CELLS=FOLDER; writes docs/bench-here
	$(BIN)/python tools/measured.py $(CELLS) --out docs/bench-here

bench-line: $(INSTALLED) ## an exported model beside the rival's: DATA=CATEGORY WEIGHTS=FILE, RIVAL=PYTHON; writes docs/line-measured.md
	$(BIN)/python benchmarks/line.py --data $(DATA) --weights $(WEIGHTS) $(if $(RIVAL),--rival $(RIVAL)) \
		--out runs/bench/line.json --page docs/line-measured.md

backbones: $(INSTALLED) ## compare backbones: DATA=FOLDER WEIGHTS=FILE; writes docs/backbones.md
	$(BIN)/python benchmarks/backbones.py $(if $(DATA),--data $(DATA)) $(if $(WEIGHTS),--weights $(WEIGHTS)) --seeds 6 --kinds --page docs/backbones.md

node-example:     ## install what examples/node needs, by npm; its test then runs
	cd examples/node && npm install --no-audit --no-fund

TEXNET := $(BIN)/python tools/texnet/train.py --cache runs/texnet/images
texnet: $(INSTALLED) ## train the embedded backbone anew, an estimated three hours on two fast cores; goes on where it stopped
	$(TEXNET) --work runs/texnet/first --steps 13244 --no-context --crop 96 --views 128 --naming 1.0
	$(TEXNET) --work runs/texnet/second --steps 10000 --start runs/texnet/first/checkpoint.safetensors --rate 1.5e-3
	for draws in 1 2 3 4; do \
		$(TEXNET) --work runs/texnet/last-$$draws --steps 400 --start runs/texnet/second/checkpoint.safetensors \
			--rate 5e-4 --coarse 0.5 --draws $$draws || exit 1; done
	$(BIN)/python tools/texnet/average.py --cache runs/texnet/images --start-steps 23244 \
		--weights runs/texnet/second/checkpoint.safetensors runs/texnet/last-*/checkpoint.safetensors \
		--out src/blemish/features/weights/texnet_s.safetensors

clean:            ## remove what the commands above made
	rm -rf $(VENV) blemish-demo runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
