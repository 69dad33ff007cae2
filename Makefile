# Makefile: builds libautodiff, its demos, tests and benchmarks; `make help` lists the goals.
#
# Variables: BUILD (where to build), CC, CFLAGS, LDFLAGS, PREFIX, LIBDIR, DESTDIR, BLAS (a name known
# to pkg-config, or none), LAPACK=none (without solve, cholesky and their kin), NATIVE=1 (code for this
# very processor), WERROR=1 (warnings are errors), CASE (one case of `make bench` or `make bench-peers`),
# THREADS (of `make bench-threads`), PYTHON (for these peers and `make reference-values`), V=1 (commands are
# shown), TESTS (some of `make units`), SYSROOT (below which the libraries of another processor lie), ARCH
# (Debian's name of it, for `make cross`).

BUILD      ?= build
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
BLAS       ?= auto
LAPACK     ?= auto
PKG_CONFIG ?= pkg-config
LDCONFIG   ?= ldconfig
PYTHON     ?= /usr/bin/python3
comma      := ,
MAKEFLAGS  += --no-print-directory

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all check test demo asan tsan units valgrind cross cpus coverage adbench bench bench-threads bench-peers \
        bench-report docs reference-values install uninstall deps deps-ci deps-peers help clean FORCE

# ---- packages ------------------------------------------------------------------------------------

deps: ## install the Debian packages that the build and its tests need (packages.txt)
	@sh .ci/packages.sh packages.txt
deps-ci: ## install what .ci/run needs besides (packages-ci.txt)
	@sh .ci/packages.sh packages-ci.txt
deps-peers: ## install what `make bench-peers` and `make bench-report` measure and draw with (packages-peers.txt)
	@sh .ci/packages.sh packages-peers.txt

deps_goals := $(filter deps deps-ci deps-peers,$(MAKECMDGOALS))
rest_goals := $(filter-out deps deps-ci deps-peers,$(MAKECMDGOALS))
ifneq ($(and $(deps_goals),$(rest_goals)),)
# New packages change what is found below, so the other goals run in a make of their own, afterwards.
.PHONY: $(rest_goals)
$(firstword $(rest_goals)): $(deps_goals)
	@$(MAKE) $(rest_goals)
$(wordlist 2,$(words $(rest_goals)),$(rest_goals)): $(firstword $(rest_goals)) ; @:
else

# ---- what this machine has -----------------------------------------------------------------------

ifneq ($(filter-out help clean deps deps-ci deps-peers uninstall,$(or $(MAKECMDGOALS),all)),)
compiles = $(shell $(CC) -Werror $(CPPFLAGS) $(1) -fsyntax-only -x c /dev/null 2>/dev/null && echo yes)
has      = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes)
having   = $(foreach p,$(1),$(if $(call has,$p),$p))
cflags   = $(shell $(PKG_CONFIG) --cflags $(1))
libs     = $(shell $(PKG_CONFIG) --libs $(1))

ifeq ($(call compiles,-include uthash.h -include Random123/philox.h),)
$(error $(CC) does not find uthash.h and Random123/philox.h; `make deps` installs what the build needs)
endif

# Debian's OpenBLAS with threads comes first: its serial one computes wrong products when two threads call it
# at once. The library keeps it to the calling thread. The run path is for machines with several variants.
ifeq ($(BLAS),auto)
cpu     := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
locking := $(firstword $(call having,$(wildcard $(SYSROOT)/usr/lib/$(cpu)-*/openblas-pthread/pkgconfig/openblas.pc)))
run_at  := $(patsubst $(SYSROOT)%/pkgconfig/openblas.pc,%,$(locking))
blas    := $(firstword $(locking) $(call having,openblas cblas blas))
else ifneq ($(BLAS),none)
blas   := $(if $(call has,$(BLAS)),$(BLAS),$(error pkg-config knows no $(BLAS); BLAS=none does without))
endif
ifneq ($(and $(blas),$(call compiles,$(call cflags,$(blas)) -include cblas.h)),)
found_flags += $(call cflags,$(blas))
blas_libs   := $(call libs,$(blas)) $(if $(locking),-Wl$(comma)-rpath$(comma)$(run_at))
found_libs  += $(blas_libs)
else
found_flags += -DAD_NO_BLAS
$(if $(filter none,$(BLAS)),,$(info No CBLAS found: matrix products are done by slower loops of our own.))
endif

# An OpenBLAS has LAPACK's routines itself; another BLAS has a library of LAPACK beside it.
links_lapack = $(shell t=$$(mktemp) && echo 'void dgetrf_(void); int main(void) { dgetrf_(); return 0; }' | \
    $(CC) $(CFLAGS) $(LDFLAGS) -x c - -o $$t $(1) 2>/dev/null && echo yes; rm -f $$t)
ifeq ($(filter none,$(LAPACK))$(filter -DAD_NO_BLAS,$(found_flags)),)
lapack_libs := $(if $(call has,lapack),$(call libs,lapack))
ifeq ($(call links_lapack,$(found_libs)),yes)
found_flags += -DAD_HAVE_LAPACK
else ifeq ($(and $(lapack_libs),$(call links_lapack,$(found_libs) $(lapack_libs))),yes)
found_flags += -DAD_HAVE_LAPACK
found_libs  += $(lapack_libs)
else
$(info No LAPACK found: solve, inverse, cholesky, logdet and their kin are absent.)
endif
endif

# optional PACKAGE,MACRO,SENTENCE: uses the package and defines the macro, or says what is amiss.
optional = $(if $(call has,$(1)),$(eval found_flags += -D$(2) $(call cflags,$(1)))$(eval found_libs += \
           $(call libs,$(1))),$(info No $(1) found: $(3)))
$(call optional,zlib,AD_HAVE_ZLIB,gzipped files cannot be read.)
$(call optional,jansson,AD_HAVE_JANSSON,safetensors files cannot be read or written.)
$(call optional,minizip,AD_HAVE_ZIP,.npz archives can be neither read nor written.)

# libcsv has no pkg-config file: it is there where a program with it links.
links_csv := $(shell t=$$(mktemp) && echo 'int main(void) { struct csv_parser p; return csv_init(&p, 0); }' | \
    $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -include csv.h -x c - -o $$t -lcsv 2>/dev/null && echo yes; rm -f $$t)
ifeq ($(links_csv),yes)
found_flags += -DAD_HAVE_CSV
found_libs  += -lcsv
else
$(info No libcsv found: CSV files cannot be read.)
endif

known = $(foreach f,$(1),$(if $(call compiles,$f),$f))
# A float is computed as a float: not in the x87's registers on 32-bit x86, nor as a double on s390x.
found_flags  += $(if $(call compiles,-msse2 -mfpmath=sse),-msse2 -mfpmath=sse) $(call known,-fexcess-precision=fast)
more_flags   := $(call known,-fno-semantic-interposition)
# Loops in ops/ have no epilogues for a few elements, as these would be most of the code, but for kernels that run
# over many short rows. Where the library is not in the innermost loop, functions lie close together.
math_flags   := $(call known,-fno-math-errno -fno-trapping-math -fopenmp-simd)
ops_flags    := $(math_flags) $(call known,--param=vect-epilogues-nomask=0 -fno-asynchronous-unwind-tables)
kernel_flags := $(ops_flags) $(call known,-ftree-vectorize -fvect-cost-model=dynamic)
row_flags    := -O3 $(math_flags) $(call known,-fno-asynchronous-unwind-tables)
small_flags  := $(call known,-fno-inline-functions -fno-reorder-blocks-and-partition -falign-functions=1 \
                -falign-jumps=1 -falign-labels=1 -fno-omit-frame-pointer)
# The library's many tables of pointers are relocated from a bitmap, which the loader knows from glibc 2.36 on.
bitmap       := -Wl,-z,pack-relative-relocs
loads_bitmap := $(shell printf '\043include <features.h>\n\043if !__GLIBC_PREREQ(2, 36)\n\043error\n\043endif\n' | \
    $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 && echo 'int a;' | \
    $(CC) $(LDFLAGS) -shared -fPIC -Wl,--fatal-warnings $(bitmap) -x c - -o /dev/null 2>/dev/null && echo yes)
shared_flags := $(if $(loads_bitmap),$(bitmap))
found_flags  := $(found_flags)
found_libs   := $(strip $(found_libs)) -pthread -lm
endif

# ---- flags ---------------------------------------------------------------------------------------

warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
            -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wnested-externs \
            $(if $(filter 1,$(WERROR)),-Werror)
optimise := -O2
compact  := -Os
ifdef SANITIZE
optimise     := -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
compact      := $(optimise)
math_flags   :=
ops_flags    :=
kernel_flags :=
row_flags    :=
small_flags  :=
endif
flags = -std=c11 -g $(optimise) $(warnings) -I. -MMD -MP $(found_flags) $(extra) $(if $(filter 1,$(NATIVE)),-march=native)
compile = $(CC) $(flags) $(CPPFLAGS) $(CFLAGS)
say     = $(if $(V),,@echo '$(1) $@';)
link    = $(CC) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFLAGS) $(LDFLAGS)

# What runs for each element, or for each op of a small net. The rest of ops/ and nn/ is compiled for size.
hot_ops := unary activation binary logic ternary pointwise_loss elementwise loss matmul cross_entropy softmax reduce

# private: the stamps below, which these objects depend on, must not see their flags.
library_flags := -fPIC -fvisibility=hidden $(more_flags)
$(BUILD)/obj/autodiff/%.o: private extra = $(library_flags)
$(BUILD)/obj/ops/%.o $(BUILD)/obj/nn/%.o: private extra = $(library_flags) $(small_flags)
$(BUILD)/obj/nn/%.o: private optimise := $(compact)
$(BUILD)/obj/ops/%.o: private optimise := $(compact) $(ops_flags)
$(hot_ops:%=$(BUILD)/obj/ops/%.o): private optimise := $(optimise) $(ops_flags)
$(BUILD)/obj/ops/kernels/%.o: private optimise := $(optimise) $(kernel_flags)
$(BUILD)/obj/ops/kernels/im2col.o $(BUILD)/obj/ops/kernels/reduce.o: private optimise := $(optimise) $(row_flags)
$(BUILD)/obj/demos/%.o $(BUILD)/obj/tests/%.o $(BUILD)/obj/bench/%.o: private extra = -D_POSIX_C_SOURCE=200809L
$(BUILD)/obj/bench/%.o: private optimise := $(if $(SANITIZE),$(optimise),-O3 $(math_flags))

# ---- the library ---------------------------------------------------------------------------------

number   = $(shell sed -n 's/^.define AD_VERSION_$(1) *//p' autodiff/autodiff.h)
major   := $(call number,MAJOR)
version := $(major).$(call number,MINOR).$(call number,PATCH)
soname  := libautodiff.so.$(major)
public  := $(sort $(shell grep -l AD_API autodiff/*.h ops/*.h nn/*.h) nn/nn.h) $(wildcard ops/*.def)
object   = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
library := $(call object,$(wildcard autodiff/*.c ops/*.c ops/kernels/*.c nn/*.c))
archive := $(BUILD)/libautodiff.a
shared  := $(BUILD)/libautodiff.so
program  = $(patsubst %.c,$(BUILD)/%,$(wildcard $(1)))
demos   := $(call program,demos/*.c)
tests   := $(call program,tests/test_*.c)
benches := $(filter-out $(BUILD)/bench/common%,$(call program,bench/*.c))
starts  := $(addprefix $(BUILD)/bench/start/,shared archive empty empty_blas)
adbench := $(filter-out $(BUILD)/bench/adbench/common%,$(call program,bench/adbench/*.c))
growth  := $(BUILD)/bench/report/growth
dumper  := $(BUILD)/tests/reference/dump_samples
docs_of := $(BUILD)/docs/reference

all: $(archive) $(shared) $(demos) ## build/libautodiff.a, build/libautodiff.so and build/demos/*

# Objects depend on the command that makes them, libraries on the list of their objects.
stamp_flags = $(compile) $(link) $(compact) $(hot_ops) $(more_flags) $(small_flags) $(kernel_flags) $(row_flags) $(shared_flags) $(found_libs)
stamp_files = $(library)
$(BUILD)/stamp_%: FORCE
	@mkdir -p $(@D)
	@echo '$(stamp_$*)' | cmp -s - $@ || echo '$(stamp_$*)' > $@

$(BUILD)/obj/%.o: %.c $(BUILD)/stamp_flags
	@mkdir -p $(@D)
	$(call say,CC) $(compile) -c -o $@ $<
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

$(archive): $(library) $(BUILD)/stamp_files
	$(call say,AR) rm -f $@ && $(AR) rcs $@ $(library)
# GCC leaves the dispatchers of its target_clones visible; the linker hides them. Calls within the library go straight.
$(shared): $(library) $(BUILD)/stamp_files
	@echo '{ global: ad_[a-z0-9]*; nn_[a-z0-9]*; local: *; };' > $(BUILD)/symbols.map
	$(call say,LD) $(link) -shared -Wl,-soname,$(soname) -Wl,--no-undefined -Wl,-Bsymbolic-functions $(shared_flags) -Wl,--version-script=$(BUILD)/symbols.map -o $@.$(version) $(library) $(found_libs)
	@ln -sf $(@F).$(version) $(BUILD)/$(soname) && ln -sf $(soname) $@

# ---- programs ------------------------------------------------------------------------------------

# A program is its own file, the helpers of its folder and the library.
$(BUILD)/tests/%: private helpers = $(call object,$(filter-out tests/test_%,$(wildcard tests/*.c)))
$(BUILD)/tests/%: private own_libs = $(or $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null),-lcmocka)
$(BUILD)/bench/%: private helpers = $(call object,$(wildcard bench/common*.c))
$(BUILD)/bench/adbench/%: private helpers = $(call object,$(wildcard bench/adbench/common*.c))
$(tests): $(call object,$(filter-out tests/test_%,$(wildcard tests/*.c)))
$(benches) $(growth): $(call object,$(wildcard bench/common*.c))
$(adbench): $(call object,$(wildcard bench/adbench/common*.c))
$(dumper): private helpers =
$(dumper): private own_libs =
$(demos) $(tests) $(benches) $(growth) $(adbench) $(dumper) $(docs_of): $(BUILD)/%: $(BUILD)/obj/%.o $(archive)
	@mkdir -p $(@D)
	$(call say,LD) $(link) -o $@ $< $(helpers) $(archive) $(own_libs) $(found_libs)

# What bench/startup.c starts: the same program with either library, and one that does nothing.
$(starts): $(shared) $(archive) $(call object,bench/start/first.c bench/start/empty.c)
	@mkdir -p $(@D)
	$(call say,LD) $(link) -o $@ $(own)
start_object = $(call object,bench/start/$(1).c)
$(BUILD)/bench/start/shared: private own = $(call start_object,first) $(shared) -Wl,-rpath,$(abspath $(BUILD))
$(BUILD)/bench/start/archive: private own = $(call start_object,first) $(archive) $(found_libs)
$(BUILD)/bench/start/empty: private own = $(call start_object,empty)
$(BUILD)/bench/start/empty_blas: private own = $(call start_object,empty) -Wl,--no-as-needed $(blas_libs)
$(BUILD)/bench/startup: $(starts)

demo: $(demos) ## watch the demos: first, custom_op, rosenbrock, pinn, xor, spiral
	@for d in first custom_op rosenbrock pinn xor spiral; do echo; echo "== build/demos/$$d"; $(BUILD)/demos/$$d || exit 1; done
	@echo; echo "With the MNIST files in DIR: $(BUILD)/demos/mnist --data DIR"
	@echo "With names in FILE, one a line: $(BUILD)/demos/names --data FILE"

run_tests = BUILD='$(BUILD)' CC='$(CC)' CXX='$(CXX)' PKG_CONFIG='$(PKG_CONFIG)' MAKE='$(MAKE)' sh tests/run
check: $(tests) $(demos) $(docs_of) ## the test programs, the demos and the reference page
	@$(run_tests) $(tests) tests/demos.sh tests/docs.sh
test: all $(tests) $(benches) $(adbench) $(docs_of) ## every test: the programs, the demos, the pages, the README's programs, the installation
	@$(run_tests) $(tests) $(wildcard tests/*.sh)
asan: ## the test programs and the demos under AddressSanitizer and UndefinedBehaviorSanitizer
	@ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1 \
	UBSAN_OPTIONS=print_stacktrace=1 $(MAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined check
chosen := $(if $(TESTS),$(addprefix $(BUILD)/tests/,$(TESTS)),$(tests))
units: $(chosen) ## the test programs alone; TESTS="test_ops test_nn" for some, TEST_UNDER=... runs them under another
	@$(run_tests) $(chosen)
tsan: ## the test programs that have threads under ThreadSanitizer
	@$(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread TESTS="test_data_prefetch test_nn_fit test_order test_threads" units
valgrind: ## the test programs under valgrind; AD_TEST_QUICK=1 asks them for small sizes
	@AD_TEST_QUICK=1 TEST_UNDER='valgrind -q --leak-check=full --error-exitcode=99' $(MAKE) units
cross: ## the test programs built for another processor, run under qemu: make cross ARCH=arm64
	@BUILD='$(BUILD)' MAKE='$(MAKE)' sh .ci/cross.sh $(or $(ARCH),arm64)
cpus: $(chosen) ## the test programs as on an x86-64 processor without AVX, and on one with AVX2, under qemu
	@AD_TEST_QUICK=1 TEST_UNDER='qemu-x86_64 -cpu Nehalem' $(run_tests) $(chosen)
	@AD_TEST_QUICK=1 TEST_UNDER='qemu-x86_64 -cpu max' $(run_tests) $(chosen)
coverage: ## which lines of autodiff/, ops/ and nn/ the tests run, file by file (needs gcovr)
	@command -v gcovr >/dev/null || { echo "make coverage needs gcovr: apt install gcovr"; exit 1; }
	@find $(BUILD)/coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) BUILD=$(BUILD)/coverage CFLAGS='$(CFLAGS) --coverage -O0' check
	@gcovr --root . --object-directory $(BUILD)/coverage --filter autodiff/ --filter ops/ --filter nn/
adbench: $(adbench) ## the AD benchmark's programs, which take its files: build/bench/adbench/gmm FILE
bench: $(benches) ## the measurements; CASE=name for one of them
	@for b in $(benches); do $$b $(CASE) || exit 1; done
THREADS ?= 2
bench-threads: $(benches) ## what THREADS=2 give, also beside busy processes; CASE=name for one of them
	@for b in nets arrays optim; do $(BUILD)/bench/$$b --threads $(THREADS) $(CASE) || exit 1; done

# Peers written in C and C++, as far as their headers are here. compare.py says which are not.
preprocesses = $(shell echo '\#include <$(2)>' | $(1) -E -x c++ - >/dev/null 2>&1 && echo yes)
ifneq ($(filter bench-peers bench-report,$(MAKECMDGOALS)),)
peers := $(if $(call preprocesses,$(CXX),torch/csrc/api/include/torch/version.h),libtorch) \
         $(if $(call preprocesses,$(CXX),adolc/adolc.h),adolc) $(if $(call preprocesses,$(CC),floatfann.h),fann)
peers := $(addprefix $(BUILD)/bench/peers/,$(peers))
endif
$(BUILD)/bench/peers/%: bench/peers/%.cpp bench/peers/serve.h
	@mkdir -p $(@D)
	$(call say,CXX) $(CXX) -std=c++17 -O3 -I. $(peer_flags) -o $@ $< $(peer_libs)
$(BUILD)/bench/peers/%: bench/peers/%.c bench/peers/serve.h
	@mkdir -p $(@D)
	$(call say,CC) $(CC) -std=c11 -D_POSIX_C_SOURCE=200809L -O3 -I. -o $@ $< $(peer_libs)
$(BUILD)/bench/peers/libtorch: private peer_flags = -isystem $(firstword $(wildcard /usr/include/torch/csrc/api/include))
$(BUILD)/bench/peers/libtorch: private peer_libs = -ltorch -ltorch_cpu -lc10
$(BUILD)/bench/peers/adolc: private peer_libs = -ladolc
$(BUILD)/bench/peers/fann: private peer_libs = -lfloatfann -lm
bench-peers: $(benches) $(peers) ## the same measurements beside PyTorch, NumPy, FANN and ADOL-C, where they are
	@$(PYTHON) bench/peers/compare.py $(BUILD) $(CASE)
bench-report: $(benches) $(peers) $(growth) $(shared) ## all of it: measures, and writes figures and pictures to docs/
	@echo "Some minutes; $(BUILD)/bench.txt, peers.txt and growth.txt tell how far it is."
	@for b in $(benches); do env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $$b || exit 1; done > $(BUILD)/bench.txt
	@$(PYTHON) bench/peers/compare.py $(BUILD) > $(BUILD)/peers.txt
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(growth) > $(BUILD)/growth.txt
	@strip -o $(BUILD)/stripped.so $(shared)
	@$(PYTHON) bench/report/report.py $(BUILD) docs

# ---- what is generated and kept ------------------------------------------------------------------

docs: $(docs_of) ## docs/ops.md, the reference of all ops, from their table
	@$(docs_of) ops/ops.def tests/reference/results > $(BUILD)/ops.md && cp $(BUILD)/ops.md docs/ops.md
reference-values: $(dumper) ## what PyTorch and mpmath say each op gives; OPS="..." or FAMILY=... for some
	@mkdir -p tests/reference/results
	@$(dumper) > $(BUILD)/samples.jsonl
	@$(PYTHON) tests/reference/reference.py $(BUILD)/samples.jsonl tests/reference/results \
	    $(if $(OPS),--ops $(OPS)) $(if $(FAMILY),--family $(FAMILY))
	@$(if $(OPS)$(FAMILY),,$(PYTHON) tests/reference/graphs.py tests/reference/graphs.txt)

# ---- installation --------------------------------------------------------------------------------

include_dir = $(PREFIX)/include/autodiff-$(major)
install: $(archive) $(shared) autodiff.pc.in ## to PREFIX (/usr/local), below DESTDIR where that is set
	@install -d $(DESTDIR)$(LIBDIR)/pkgconfig
	@for h in $(public); do install -D -m 644 $$h $(DESTDIR)$(include_dir)/$$h || exit 1; done
	@install -m 644 $(archive) $(DESTDIR)$(LIBDIR)
	@install -m 755 $(shared).$(version) $(DESTDIR)$(LIBDIR)
	@ln -sf libautodiff.so.$(version) $(DESTDIR)$(LIBDIR)/$(soname)
	@ln -sf $(soname) $(DESTDIR)$(LIBDIR)/libautodiff.so
	@sed -e '/^#/d; s|@PREFIX@|$(PREFIX)|; s|@INCLUDEDIR@|$(include_dir)|; s|@LIBDIR@|$(LIBDIR)|' \
	    -e 's|@VERSION@|$(version)|; s|@LIBS@|$(found_libs)|' autodiff.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/autodiff.pc
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ] && command -v $(LDCONFIG) >/dev/null; then $(LDCONFIG); fi
	@echo "autodiff $(version) is installed in $(DESTDIR)$(PREFIX)"

uninstall: ## take away what install put there
	rm -rf $(DESTDIR)$(include_dir)
	rm -f $(DESTDIR)$(LIBDIR)/libautodiff.a $(DESTDIR)$(LIBDIR)/libautodiff.so \
	    $(DESTDIR)$(LIBDIR)/$(soname) $(DESTDIR)$(LIBDIR)/libautodiff.so.$(version) \
	    $(DESTDIR)$(LIBDIR)/pkgconfig/autodiff.pc

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

endif
