# programs.mk: builds the programs that link the library: demos, tests, benchmarks and generators.

program  = $(patsubst %.c,$(BUILD)/%,$(wildcard $(1)))
demos   := $(filter-out %_mpi,$(call program,demos/*.c))
lectures := $(filter-out $(BUILD)/demos/lectures/lecture%,$(call program,demos/lectures/*.c))
tests   := $(call program,tests/test_*.c)
benches := $(filter-out $(BUILD)/bench/common%,$(call program,bench/*.c))
starts  := $(addprefix $(BUILD)/bench/start/,shared archive empty empty_blas)
adbench := $(filter-out $(BUILD)/bench/adbench/common%,$(call program,bench/adbench/*.c))
gradbench := $(BUILD)/bench/gradbench/gradbench
growth  := $(BUILD)/bench/report/growth
models  := $(if $(filter -DAD_HAVE_PROTOBUF_C,$(found_flags)),$(BUILD)/tests/onnx/save_models)
dumper  := $(BUILD)/tests/reference/dump_samples
docs_of := $(BUILD)/docs/reference

# A program is linked from its own object, the helper objects of its folder and the library.
$(BUILD)/tests/%: private helpers = $(call object,$(filter-out tests/test_%,$(wildcard tests/*.c)))
$(BUILD)/tests/%: private own_libs = $(or $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null),-lcmocka)
$(BUILD)/bench/%: private helpers = $(call object,$(wildcard bench/common*.c))
$(gradbench): private helpers = $(filter-out $(BUILD)/obj/bench/gradbench/gradbench.o,$(call object,$(wildcard bench/gradbench/*.c)))
$(BUILD)/demos/lectures/%: private helpers = $(call object,$(wildcard demos/lectures/lecture*.c))
$(BUILD)/bench/adbench/%: private helpers = $(call object,$(wildcard bench/adbench/common*.c))
$(tests): $(call object,$(filter-out tests/test_%,$(wildcard tests/*.c)))
$(benches) $(growth): $(call object,$(wildcard bench/common*.c))
$(adbench): $(call object,$(wildcard bench/adbench/common*.c))
$(gradbench): $(call object,$(wildcard bench/gradbench/*.c))
$(lectures): $(call object,$(wildcard demos/lectures/lecture*.c))
$(dumper) $(models): private helpers =
$(dumper) $(models): private own_libs =
$(demos) $(lectures) $(tests) $(benches) $(growth) $(adbench) $(gradbench) $(dumper) $(models) $(docs_of): $(BUILD)/%: $(BUILD)/obj/%.o $(archive)
	@mkdir -p $(@D)
	$(call say,LD) $(link) -o $@ $< $(helpers) $(archive) $(own_libs) $(found_libs)

# test_misuse.c calls every function of the public headers: the calls are made from the headers.
misuse := $(BUILD)/misuse/misuse_calls.h
$(misuse): tests/misuse.awk $(public)
	@mkdir -p $(@D)
	@printf '#include "%s"\n' nn/nn.h ops/compile.h ops/sparse.h autodiff/op.h autodiff/extend.h autodiff/thread.h > $(@D)/headers.c
	$(call say,GEN) $(CC) -E -P -I. $(CPPFLAGS) $(@D)/headers.c | awk -f tests/misuse.awk > $@
$(BUILD)/obj/tests/test_misuse.o: $(misuse)
$(BUILD)/obj/tests/test_misuse.o: private extra += -I$(BUILD)/misuse

fuzzers := $(call program,tests/fuzz/fuzz_*.c)
$(fuzzers): $(BUILD)/%: $(BUILD)/obj/%.o $(archive)
	@mkdir -p $(@D)
	$(call say,LD) $(link) -fsanitize=fuzzer -o $@ $< $(archive) $(found_libs)

# The programs that bench/startup.c starts: first.c with the shared library and with the archive; empty.c without and
# with the BLAS.
$(starts): $(shared) $(archive) $(call object,bench/start/first.c bench/start/empty.c)
	@mkdir -p $(@D)
	$(call say,LD) $(link) -o $@ $(inputs)
start_object = $(call object,bench/start/$(1).c)
$(BUILD)/bench/start/shared: private inputs = $(call start_object,first) $(shared) -Wl,-rpath,$(abspath $(BUILD))
$(BUILD)/bench/start/archive: private inputs = $(call start_object,first) $(archive) $(found_libs)
$(BUILD)/bench/start/empty: private inputs = $(call start_object,empty)
$(BUILD)/bench/start/empty_blas: private inputs = $(call start_object,empty) -Wl,--no-as-needed $(blas_libs)
$(BUILD)/bench/startup: $(starts)
