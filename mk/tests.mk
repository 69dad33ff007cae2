# tests.mk: the test goals: natively, under sanitizers and valgrind, and for other processors.

run_tests = BUILD='$(BUILD)' CC='$(CC)' CXX='$(CXX)' PKG_CONFIG='$(PKG_CONFIG)' MAKE='$(MAKE)' sh tests/run

test: all $(solvers) $(models) $(tests) $(benches) $(adbench) $(gradbench) $(docs_of) $(installed) ## run every test: programs, demos, pages, the programs of the README, installation
	@SOLVERS='$(solver_here)' $(run_tests) $(wildcard tests/*.sh) $(tests)
check: $(tests) $(demos) $(docs_of) ## run the test programs and check the demos and the reference page
	@$(run_tests) tests/demos.sh tests/docs.sh $(tests)
chosen := $(if $(TESTS),$(addprefix $(BUILD)/tests/,$(TESTS)),$(tests))
units: $(chosen) ## run the test programs only; TESTS="test_ops test_nn" selects some, TEST_UNDER="..." runs them under a command
	@$(run_tests) $(chosen)

faults: ## let every allocation fail in turn, and every system call on files (a minute)
	@AD_TEST_ALL=1 $(MAKE) TESTS="test_faults test_malloc test_io test_kill" units

# ASAN_BUILD: another folder than BUILD/asan, such as that of the fuzz targets, whose library has these sanitizers.
asan: ## run check under AddressSanitizer and UndefinedBehaviorSanitizer
	@ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1 \
	UBSAN_OPTIONS=print_stacktrace=1 $(MAKE) BUILD=$(or $(ASAN_BUILD),$(BUILD)/asan) SANITIZE=address,undefined check
tsan: ## run the test programs with threads under ThreadSanitizer
	@$(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread TESTS="test_data_prefetch test_nn_checkpoint test_nn_fit test_order test_threads" units
# MemorySanitizer knows only what was compiled with it: the library is built alone, and compiled programs with it too. Of
# the C library it knows fstat, but not the name that large files give it.
msan: ## run the test programs under clang's MemorySanitizer, without a BLAS and other libraries
	@AD_TEST_QUICK=1 TEST_CC='clang -fsanitize=memory' $(MAKE) BUILD=$(BUILD)/msan CC=clang CXX=clang++ SANITIZE=memory \
	    CFLAGS='$(CFLAGS) -fsanitize-memory-track-origins -U_FILE_OFFSET_BITS' PKG_CONFIG=false links_csv= BLAS=none LAPACK=none units
# The library and the targets with clang's coverage counters; FUZZ_SECONDS for each target. A small quarantine and short
# stacks of allocations save a third of the time.
fuzz_options := allocator_may_return_null=1:detect_stack_use_after_return=0:quarantine_size_mb=1:malloc_context_size=2
fuzz: ## run the fuzz targets of tests/fuzz/ for FUZZ_SECONDS each (600; needs clang)
	@$(MAKE) BUILD=$(BUILD)/fuzz CC=clang CXX=clang++ SANITIZE=address,undefined \
	    CFLAGS='$(CFLAGS) -fsanitize=fuzzer-no-link' fuzz-targets
	@BUILD=$(BUILD)/fuzz ASAN_OPTIONS='$(fuzz_options)' UBSAN_OPTIONS=print_stacktrace=1 TEST_SECONDS=$$(($${FUZZ_SECONDS:-600} * 20 + 300)) sh tests/run tests/fuzz/fuzz.sh
fuzz-targets: $(fuzzers)
# valgrind knows no AVX-512, so compiled programs and the BLAS do without. Where threads have ended, glibc keeps their
# stacks, which counts as possibly lost.
memcheck := valgrind -q --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
            --error-exitcode=99 --fair-sched=yes --suppressions=tests/valgrind.supp
valgrind: $(chosen) ## run the test programs under valgrind, with small sizes
	@AD_TEST_QUICK=1 OPENBLAS_CORETYPE=Haswell TEST_CC='cc -march=x86-64-v3' TEST_UNDER='$(memcheck)' $(run_tests) $(chosen)
cross: ## build the test programs for another processor and run them under qemu: make cross ARCH=arm64
	@BUILD='$(BUILD)' MAKE='$(MAKE)' sh .ci/cross.sh $(or $(ARCH),arm64)
cpus: $(chosen) ## run the test programs under qemu as an x86-64 processor without AVX and as one with AVX2
	@AD_TEST_QUICK=1 TEST_UNDER='qemu-x86_64 -cpu Nehalem' $(run_tests) $(chosen)
	@AD_TEST_QUICK=1 TEST_UNDER='qemu-x86_64 -cpu max' $(run_tests) $(chosen)
# Objects and programs with counters of lines.
counted = $(MAKE) BUILD=$(BUILD)/coverage CFLAGS='$(CFLAGS) -O0 -g0 --coverage -DAD__COUNTED'
mutants: ## change N operators and constants of the library, one at a time, and run the tests; SEED draws them (20, 1)
	@$(counted) $(patsubst $(BUILD)/%,$(BUILD)/coverage/%,$(tests) $(models))
	@BUILD='$(BUILD)' sh tests/mutants/run.sh $(or $(N),20) $(or $(SEED),1)
coverage: ## measure the test coverage of autodiff/, ops/ and nn/, with every case of `make faults`
	@find $(BUILD)/coverage -name '*.gcda' -delete 2>/dev/null || true
	@AD_TEST_ALL=1 $(counted) TEST_SECONDS=3600 check
	@$(counted) $(patsubst $(BUILD)/%,$(BUILD)/coverage/%,$(models))
	@BUILD='$(BUILD)/coverage' sh tests/run tests/onnx_save.sh
	@BUILD='$(BUILD)/coverage' sh tests/coverage/run.sh
