# Makefile: builds libautodiff, its demos, tests and benchmarks; `make help` lists the goals.
#
# Variables: BUILD (the build folder), CC, CFLAGS, LDFLAGS, PREFIX, LIBDIR, DOCDIR, CMAKEDIR, DESTDIR; BLAS (a pkg-config
# name, or none); MPI (openmpi or mpich, the first one found, or none); LAPACK=none (omits solve, inverse, determinants and
# decompositions); NATIVE=1 (code for this processor only); WERROR=1 (warnings are errors); V=1 (prints commands); CASE (one
# case of `make bench` or `make bench-peers`); THREADS (for `make bench-threads`); TESTS (the programs of `make units`);
# TEST_JOBS (how many tests run at once, one for each processor); PYTHON (for peers and reference values); ARCH (a Debian
# architecture, for `make cross`); SYSROOT (the folder with the libraries of that architecture).

BUILD      ?= build
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
DOCDIR     ?= $(PREFIX)/share/doc/autodiff
CMAKEDIR   ?= $(LIBDIR)/cmake/autodiff-$(major)
BLAS       ?= auto
LAPACK     ?= auto
MPI        ?= auto
THREADS    ?= 2
PKG_CONFIG ?= pkg-config
LDCONFIG   ?= ldconfig
PYTHON     ?= /usr/bin/python3
comma      := ,
MAKEFLAGS  += --no-print-directory

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all check test demo asan tsan units mpi mpi-test faults fuzz fuzz-targets mutants msan valgrind cross cpus coverage adbench gradbench bench bench-threads bench-peers \
        bench-report docs gallery solvers site web web-test reference-values install uninstall dist distcheck deps deps-ci deps-web deps-peers deps-deb \
        help clean FORCE

include mk/packages.mk
ifndef deferred
include mk/paths.mk
ifneq ($(filter-out help clean dist deps deps-ci deps-web deps-peers deps-deb uninstall,$(or $(MAKECMDGOALS),all)),)
include mk/found.mk
endif
include mk/flags.mk mk/library.mk mk/programs.mk mk/solvers.mk mk/mpi.mk mk/bench.mk mk/generate.mk mk/cmake.mk mk/install.mk mk/tests.mk mk/dist.mk mk/web.mk mk/deb.mk

all: $(archive) $(shared) $(demos) $(lectures) $(mpi_all) ## build the library, build/libautodiff.a and .so, and the demos

shown := first custom_op rosenbrock pinn xor spiral vae reinforce
demo: $(demos) ## run the demos first, custom_op, rosenbrock, pinn, xor, spiral, vae and reinforce
	@for d in $(shown); do echo; echo "== build/demos/$$d"; $(BUILD)/demos/$$d || exit 1; done
	@echo; echo "With the MNIST files in DIR: $(BUILD)/demos/mnist --data DIR"
	@echo "With a FILE of names, one per line: $(BUILD)/demos/names --data FILE"

clean: ## remove the build folder
	rm -rf $(call quote,$(BUILD))

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
endif
