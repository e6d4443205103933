# The way in for people: each target installs what is missing (scripts/setup), builds with CMake and goes on from there.
#   make demo | test | build | install | clean | help
# Variables: BUILD (folder, default build), CMAKE_ARGS (passed to cmake), PREFIX (for install).

BUILD ?= build
CMAKE_ARGS ?=
PREFIX ?= /usr/local
JOBS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

.PHONY: demo test build install clean help setup

demo: build
	@scripts/demo $(BUILD)/qwren

test: build
	@cd $(BUILD) && ctest --no-tests=error --output-on-failure -j $(JOBS)

build: setup
	@cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release $(CMAKE_ARGS) $(if $(wildcard $(BUILD)/CMakeCache.txt),,$(if $(shell command -v ninja),-G Ninja)) >$(BUILD).log 2>&1 \
		|| { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }; rm -f $(BUILD).log
	@cmake --build $(BUILD) -j $(JOBS)

setup:
	@scripts/setup

install: build
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	@rm -rf $(BUILD)

help:
	@sed -n '1,3s/^# \{0,1\}//p' Makefile
