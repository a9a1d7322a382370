# SPDX-License-Identifier: GPL-2.0-or-later
# What people type; Meson and Ninja do the work.
BUILD ?= build
BUILD_SANITIZED ?= build-sanitized
PREFIX ?= /usr/local
DESTDIR ?=
MESON_FLAGS ?= -Dwerror=true

.PHONY: all
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(PREFIX) $(MESON_FLAGS)

$(BUILD_SANITIZED)/build.ninja:
	@meson setup $(BUILD_SANITIZED) $(MESON_FLAGS) -Db_sanitize=address,undefined -Db_lundef=false \
		-Doptimization=1

.PHONY: unit
unit: $(BUILD_SANITIZED)/build.ninja
	@ninja -C $(BUILD_SANITIZED)
	@meson test -C $(BUILD_SANITIZED) --no-rebuild --print-errorlogs --suite unit

.PHONY: format
format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

.PHONY: clean
clean:
	@rm -rf $(BUILD) $(BUILD_SANITIZED)
