# SPDX-License-Identifier: GPL-2.0-or-later
# What people type; Meson and Ninja do the work.
#
#   make          builds into build/                make check    installs what is missing, builds, runs every test
#   make run      boots Debian to a root shell      make bench    measures against the peers
#   make install  DESTDIR and PREFIX are honoured   make fuzz     fuzzes every entry, FUZZ_SECONDS each (60)
#   make soak     the engine's checks at length, and a guest under mixed load for SOAK_SECONDS (300)
#   make format   clang-format on every source      make clean    removes the build trees
#   make ui       the web console, which plain make builds as well where there is a node
#   make deb      Debian packages in build/packages

BUILD	      := build
BUILD_SAN     := build-sanitized
BUILD_FUZZ    := build-fuzz
PREFIX	      ?= /usr/local
DESTDIR	      ?=
FUZZ_SECONDS  ?= 60
SOAK_SECONDS  ?= 300
MESON_FLAGS   := --prefix=$(PREFIX)
SAN_FLAGS     := -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1

.PHONY: all ui deb run check unit guest system browser house install bench soak fuzz format clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
	@! command -v npm >/dev/null || ui/build $(BUILD)/ui || echo "the console was not built: make ui says why" >&2

ui: $(BUILD)/build.ninja
	@tools/deps ui
	@ui/build $(BUILD)/ui

deb: all ui
	@packaging/deb/build $(BUILD) $(BUILD)/packages

$(BUILD)/build.ninja:
	@tools/deps build
	@meson setup $(BUILD) $(MESON_FLAGS)

$(BUILD_SAN)/build.ninja:
	@meson setup $(BUILD_SAN) $(SAN_FLAGS)

$(BUILD_FUZZ)/build.ninja:
	@CC=clang meson setup $(BUILD_FUZZ) -Dfuzz=true -Db_lundef=false -Doptimization=1

run:
	@tools/deps build run
	@$(MAKE) --no-print-directory all >&2
	@tools/guest run

check:
	@tools/deps build check
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory house unit guest system browser

house: all
	@tools/check-house --build $(BUILD)
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror

unit: $(BUILD_SAN)/build.ninja
	@ninja -C $(BUILD_SAN)
	@meson test -C $(BUILD_SAN) --no-rebuild --print-errorlogs

guest: all
	@/usr/bin/python3 -m pytest -q -n auto --dist loadgroup tests/guest

system: all
	@/usr/bin/python3 -m pytest -q -n auto --dist loadgroup tests/system

browser: ui all
	@tests/browser/run

install: all
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild
	@[ ! -e $(BUILD)/ui/index.html ] || { mkdir -p $(DESTDIR)$(PREFIX)/share/cella/ui && \
		install -m 644 -t $(DESTDIR)$(PREFIX)/share/cella/ui $(BUILD)/ui/*; }

bench: all
	@tools/deps build bench
	@bench/run

soak: all
	@tools/deps build bench
	@bench/soak --seconds $(SOAK_SECONDS)

fuzz: $(BUILD_FUZZ)/build.ninja
	@ninja -C $(BUILD_FUZZ)
	@tools/fuzz $(BUILD_FUZZ) $(FUZZ_SECONDS)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf $(BUILD) $(BUILD_SAN) $(BUILD_FUZZ)
