# tests.mk: the goals that test: as built, under sanitizers and valgrind, for other processors.

run_tests = BUILD='$(BUILD)' CC='$(CC)' CXX='$(CXX)' PKG_CONFIG='$(PKG_CONFIG)' MAKE='$(MAKE)' sh tests/run

test: all $(tests) $(benches) $(adbench) $(docs_of) ## every test: programs, demos, pages, the README's programs, installation
	@$(run_tests) $(tests) $(wildcard tests/*.sh)
check: $(tests) $(demos) $(docs_of) ## the test programs, the demos and the reference page
	@$(run_tests) $(tests) tests/demos.sh tests/docs.sh
chosen := $(if $(TESTS),$(addprefix $(BUILD)/tests/,$(TESTS)),$(tests))
units: $(chosen) ## the test programs alone; TESTS="test_ops test_nn" for some, TEST_UNDER=... runs them under another
	@$(run_tests) $(chosen)

asan: ## the test programs and the demos under AddressSanitizer and UndefinedBehaviorSanitizer
	@ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1 \
	UBSAN_OPTIONS=print_stacktrace=1 $(MAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined check
tsan: ## the test programs that have threads under ThreadSanitizer
	@$(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread TESTS="test_data_prefetch test_nn_fit test_order test_threads" units
valgrind: ## the test programs under valgrind, with small sizes
	@AD_TEST_QUICK=1 TEST_UNDER='valgrind -q --leak-check=full --error-exitcode=99' $(MAKE) units
cross: ## the test programs built for another processor and run under qemu: make cross ARCH=arm64
	@BUILD='$(BUILD)' MAKE='$(MAKE)' sh .ci/cross.sh $(or $(ARCH),arm64)
cpus: $(chosen) ## the test programs as on an x86-64 processor without AVX, and on one with AVX2, under qemu
	@AD_TEST_QUICK=1 TEST_UNDER='qemu-x86_64 -cpu Nehalem' $(run_tests) $(chosen)
	@AD_TEST_QUICK=1 TEST_UNDER='qemu-x86_64 -cpu max' $(run_tests) $(chosen)
coverage: ## which lines of autodiff/, ops/ and nn/ the tests run, file by file (needs gcovr)
	@command -v gcovr >/dev/null || { echo "make coverage needs gcovr: apt install gcovr"; exit 1; }
	@find $(BUILD)/coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) BUILD=$(BUILD)/coverage CFLAGS='$(CFLAGS) --coverage -O0' check
	@gcovr --root . --object-directory $(BUILD)/coverage --filter autodiff/ --filter ops/ --filter nn/
