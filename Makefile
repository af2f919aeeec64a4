PYTHON ?= python3
BIN := .venv/bin
# The stamp is a file, so that an installation happens once and again only when its description changes.
STAMP := .venv/.installed

.PHONY: run test test-slow aarch64 bench bench-full bench-avx2 bench-peers bench-load bench-streaming bits chips emulators stream results wheel oldest docs lint format clean

run: $(STAMP)
	@echo "run: ostinato demo trains three cells beside torch.nn, at most five minutes"
	@$(BIN)/ostinato demo
	@echo "run: look at index.html in the folder named above; a network on your own file: $(BIN)/ostinato train FILE"

# A failing pytest has named its tests; what is added is how to run one of them.
FAILED = { echo "$@: failed; one file alone: $(BIN)/python -m pytest -x tests/FILE.py"; exit 1; }

test: $(STAMP)
	@echo "test: the tests, without those marked slow, in two processes"
	@$(BIN)/python -m pytest -n 2 -q --no-header || $(FAILED)
	@echo "test: passed; next: make run shows what the library does, make test-slow has the other tests"

test-slow: $(STAMP)
	@echo "test-slow: the tests marked slow, in two processes"
	@$(BIN)/python -m pytest -n 2 -q --no-header -m slow || $(FAILED)
	@echo "test-slow: passed; next: .ci/run does all that CI does"

# The wheel, in an empty environment far from this folder; OUT=FOLDER keeps it.
wheel: $(STAMP)
	@$(BIN)/python tools/wheel.py $(if $(OUT),--out $(OUT))

# Tests with the oldest releases that pyproject.toml allows.
oldest: $(STAMP)
	@$(BIN)/python tools/oldest.py

bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py

bench-full: $(STAMP)
	$(BIN)/python benchmarks/costs.py --write docs/performance.md
	$(BIN)/python benchmarks/checkpointing.py --write docs/checkpointing.md
	$(BIN)/python benchmarks/options.py --write docs/options.md
	$(BIN)/python benchmarks/ragged.py --write docs/ragged.md
	$(BIN)/python benchmarks/watching.py --write docs/lens.md
	$(BIN)/python benchmarks/full.py --write docs/performance.md --readme README.md

# With the instructions of AVX2 on both sides, whatever else the machine has.
bench-avx2: export OSTINATO_TARGET = avx2
bench-avx2: export ATEN_CPU_CAPABILITY = avx2
bench-avx2: export ONEDNN_MAX_CPU_ISA = AVX2
bench-avx2: export MKL_ENABLE_INSTRUCTIONS = AVX2
bench-avx2: $(STAMP)
	$(BIN)/python benchmarks/watching.py --suffix avx2 --write docs/lens.md
	$(BIN)/python benchmarks/full.py --no-peers --results benchmarks/results/avx2 --suffix avx2 --write docs/performance.md --readme README.md

bench-peers: $(STAMP)
	$(BIN)/python benchmarks/peers_grid.py --write docs/performance.md

bench-load: $(STAMP)
	$(BIN)/python benchmarks/load.py --write docs/performance.md

bench-streaming: $(STAMP)
	$(BIN)/python benchmarks/streaming_steps.py --million --write docs/streaming.md

COMMIT ?= HEAD

bits: $(STAMP)
	$(BIN)/python benchmarks/bits.py --against $(COMMIT)

# Exported networks under emulators; those that are not installed are named.
chips: $(STAMP)
	$(BIN)/python benchmarks/chips.py --write docs/chips.md

# Emulators and cross compilers, where Debian's packages can be installed; tests skip by name what is not there.
EMULATORS := qemu-user qemu-system-arm gcc clang gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-riscv64-linux-gnu \
	libc6-dev-riscv64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross gcc-arm-none-eabi nodejs chromium

emulators:
	@if command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -q && apt-get install -y -q --no-remove --no-install-recommends $(EMULATORS); \
	else \
		echo "emulators: not installed, because this needs apt-get and root; their tests skip"; \
	fi

# The library itself under an emulator; what it needs is installed in the user's cache folder.
aarch64: $(STAMP)
	$(BIN)/python benchmarks/aarch64.py --write docs/design/bit-equal.md

stream: $(STAMP)
	$(BIN)/python benchmarks/stream.py

# DATA=FOLDER names the files, ONLY=imdb one task; what was run before is kept.
results: $(STAMP)
	$(BIN)/python benchmarks/results.py $(if $(DATA),--data $(DATA)) $(if $(ONLY),--only $(ONLY))

# The site, offline: warnings are errors, broken links among them.
docs: $(STAMP)
	rm -rf docs/_build
	$(BIN)/python -m sphinx -q -W --keep-going -b html -j auto docs docs/_build/html
	@echo "The site: docs/_build/html/index.html"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || { echo "install: a new environment in .venv"; $(PYTHON) -m venv .venv; }
	@echo "install: the versions of constraints.txt, PyTorch among them; some minutes where they have to be downloaded"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)
