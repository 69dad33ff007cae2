# bench.mk: benchmarks of the library alone and of the same work in other libraries, its peers.

adbench: $(adbench) ## build the programs of the AD benchmark; run one as build/bench/adbench/gmm FILE
gradbench: $(gradbench) ## build the tool of GradBench, which answers its messages; see docs/performance.md
bench: $(benches) ## run the benchmarks; CASE=name runs one case
	@for b in $(benches); do $$b $(CASE) || exit 1; done
bench-threads: $(benches) ## measure the speedup by THREADS=2 threads, alone and beside busy processes; CASE=name runs one case
	@for b in nets arrays optim; do $(BUILD)/bench/$$b --threads $(THREADS) $(CASE) || exit 1; done

# The peers in C and C++ whose headers are installed. compare.py reports the missing ones.
preprocesses = $(shell printf '\043include <%s>\n' '$(2)' | $(1) -E -x c++ - >/dev/null 2>&1 && echo yes)
ifneq ($(filter bench-peers bench-report,$(MAKECMDGOALS)),)
peers := $(if $(call preprocesses,$(CXX),torch/csrc/api/include/torch/version.h),libtorch) \
         $(if $(call preprocesses,$(CXX),adolc/adolc.h),adolc) $(if $(call preprocesses,$(CC),floatfann.h),fann) \
         $(if $(KANN),kann) $(if $(CODIPACK),codipack) $(if $(ADEPT),adept) $(if $(CPPAD),cppad)
peers := $(addprefix $(BUILD)/bench/peers/,$(peers))
endif
$(BUILD)/bench/peers/%: bench/peers/%.cpp bench/peers/serve.h
	@mkdir -p $(@D)
	$(call say,CXX) $(CXX) -std=c++17 -O3 -I. $(peer_flags) -o $@ $< $(peer_libs)
$(BUILD)/bench/peers/%: bench/peers/%.c bench/peers/serve.h
	@mkdir -p $(@D)
	$(call say,CC) $(CC) -std=c11 -D_POSIX_C_SOURCE=200809L -O3 -I. $(peer_flags) -o $@ $< $(peer_libs)
$(BUILD)/bench/peers/libtorch: private peer_flags = -isystem $(firstword $(wildcard /usr/include/torch/csrc/api/include))
$(BUILD)/bench/peers/libtorch: private peer_libs = -ltorch -ltorch_cpu -lc10
$(addprefix $(BUILD)/bench/peers/,adolc codipack adept cppad): bench/peers/scalars.h
$(BUILD)/bench/peers/adolc: private peer_libs = -ladolc
$(BUILD)/bench/peers/fann: private peer_libs = -lfloatfann -lm
# Those that Debian lacks: KANN=DIR, CODIPACK=DIR and ADEPT=DIR are the folders of their sources, CPPAD=DIR is where it is
# installed.
$(BUILD)/bench/peers/kann: private peer_flags = -isystem $(KANN)
$(BUILD)/bench/peers/kann: private peer_libs = -std=gnu99 $(KANN)/kann.c $(KANN)/kautodiff.c -lm
$(BUILD)/bench/peers/codipack: private peer_flags = -isystem $(CODIPACK)/include
$(BUILD)/bench/peers/adept: private peer_flags = -isystem $(ADEPT)/include
$(BUILD)/bench/peers/adept: private peer_libs = -lpthread
$(BUILD)/bench/peers/cppad: private peer_flags = -DNDEBUG -isystem $(CPPAD)/include
bench-peers: $(benches) $(peers) ## compare with the installed ones of PyTorch, NumPy, FANN and ADOL-C; CASE=name runs one case
	@$(PYTHON) bench/peers/compare.py $(BUILD) $(CASE)
bench-report: $(benches) $(peers) $(growth) $(shared) ## run all benchmarks and write the tables and figures of docs/
	@echo "This takes some minutes. $(BUILD)/bench.txt, peers.txt and growth.txt show the progress."
	@for b in $(benches); do env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $$b || exit 1; done > $(BUILD)/bench.txt
	@$(PYTHON) bench/peers/compare.py $(BUILD) > $(BUILD)/peers.txt
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(growth) > $(BUILD)/growth.txt
	@strip -o $(BUILD)/stripped.so $(shared)
	@$(PYTHON) bench/report/report.py $(BUILD) docs
