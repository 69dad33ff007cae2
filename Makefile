# Makefile: builds libautodiff, its demos, tests and benchmarks; `make help` lists the goals.
#
# Variables: BUILD (the build folder), CC, CFLAGS, LDFLAGS, PREFIX, LIBDIR, DESTDIR; BLAS (a name known to pkg-config,
# or none); LAPACK=none (leaves out solve, cholesky, inverse, det and logdet); NATIVE=1 (code for this processor only);
# WERROR=1 (warnings are errors); V=1 (shows commands); CASE (one case of `make bench` or `make bench-peers`);
# THREADS (for `make bench-threads`); TESTS (some programs of `make units`); PYTHON (for peers and reference values);
# ARCH (Debian's name of a processor, for `make cross`); SYSROOT (the folder that holds that processor's libraries).

BUILD      ?= build
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
BLAS       ?= auto
LAPACK     ?= auto
THREADS    ?= 2
PKG_CONFIG ?= pkg-config
LDCONFIG   ?= ldconfig
PYTHON     ?= /usr/bin/python3
comma      := ,
MAKEFLAGS  += --no-print-directory

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all check test demo asan tsan units valgrind cross cpus coverage adbench bench bench-threads bench-peers \
        bench-report docs reference-values install uninstall deps deps-ci deps-peers help clean FORCE

include mk/packages.mk
ifndef deferred
ifneq ($(filter-out help clean deps deps-ci deps-peers uninstall,$(or $(MAKECMDGOALS),all)),)
include mk/found.mk
endif
include mk/flags.mk mk/library.mk mk/programs.mk mk/tests.mk mk/bench.mk mk/generate.mk mk/install.mk

all: $(archive) $(shared) $(demos) ## build/libautodiff.a, build/libautodiff.so and build/demos/*

shown := first custom_op rosenbrock pinn xor spiral
demo: $(demos) ## watch the demos: first, custom_op, rosenbrock, pinn, xor, spiral
	@for d in $(shown); do echo; echo "== build/demos/$$d"; $(BUILD)/demos/$$d || exit 1; done
	@echo; echo "With the MNIST files in DIR: $(BUILD)/demos/mnist --data DIR"
	@echo "With a FILE of names, one a line: $(BUILD)/demos/names --data FILE"

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
endif
