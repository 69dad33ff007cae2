# flags.mk: the compiler flags of each folder. Objects depend on this file.

warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
            -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wnested-externs \
            $(call known,-Wno-pass-failed) $(if $(filter 1,$(WERROR)),-Werror)

# loop_flags: loops without vector epilogues, whose code for the last few elements would be most of the library's size.
# ops_flags: no vectors of pointers that are stored side by side: their constants are longer than the stores. Constant
# arrays of equal values may be one, as no code compares their addresses.
# known_jumps: no copies of code for a jump whose result is known; they gain where nodes of one element are processed.
# row_flags: loops with epilogues, for kernels that process many short rows.
# struct_flags: structs are set and copied by vector stores. GCC's choice, rep stos, is slow to start.
# Each function has a section of its own, so that a linker can leave it out: see `unused` in found.mk.
# no_unwinding: no exception passes through the library, and debuggers have the tables of -g.
# small_flags: less inlining and alignment; functions of ops/ and nn/ spend their time in the loops that they call.
# compact: for size, where others do the work; structs are copied by calls. cold: the same for what a program does
# once, or for a whole minibatch; structs are copied by the shortest instruction, which is slow to start.
# With -fno-inline-functions clang would inline none of a kernel's functions, and with -Oz make no vector loops.
clang        := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
omp_simd     := $(call known,-fopenmp-simd)
math_flags   := $(call known,-fno-math-errno -fno-trapping-math) \
                $(if $(omp_simd),$(omp_simd) -DAD_OMP_SIMD)
loop_flags   := $(math_flags) $(call known,--param=vect-epilogues-nomask=0)
known_jumps  := $(call known,-fno-thread-jumps)
ops_flags    := $(loop_flags) $(call known,-fno-tree-slp-vectorize -fmerge-all-constants)
kernel_flags := $(loop_flags) $(known_jumps) $(call known,-fno-tree-pre -ftree-vectorize -fvect-cost-model=dynamic)
row_flags    := -O3 $(math_flags)
small_flags  := $(call known,$(if $(clang),,-fno-inline-functions) -fno-reorder-blocks-and-partition -falign-functions=1 \
                -falign-jumps=1 -falign-labels=1 -falign-loops=1)
comma        := ,
by_vectors   := vector_loop:512:noalign$(comma)libcall:-1:noalign
struct_flags := $(call known,-mmemset-strategy=$(by_vectors) -mmemcpy-strategy=$(by_vectors))
no_unwinding := $(call known,-fno-asynchronous-unwind-tables)
no_vectors   := $(call known,-fno-tree-vectorize)
optimise := -O2
small    := $(if $(clang),,$(call known,-Oz -fno-inline-functions-called-once -fno-gcse -fno-move-loop-invariants))
compact  := -Os $(small) $(call known,-mstringop-strategy=libcall)
cold     := -Os $(small) $(call known,-mstringop-strategy=rep_byte)
ifdef SANITIZE
optimise     := -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
compact      := $(optimise)
cold         := $(optimise)
math_flags   :=
loop_flags   :=
no_unwinding :=
ops_flags    :=
known_jumps  :=
kernel_flags :=
row_flags    :=
small_flags  :=
struct_flags :=
endif

# Files of more than 2 GB, and folders of large file systems, on 32-bit processors too.
flags   = -std=c11 -g $(optimise) $(warnings) -I. -D_FILE_OFFSET_BITS=64 -MMD -MP $(found_flags) $(extra) $(if $(filter 1,$(NATIVE)),-march=native)
compile = $(CC) $(flags) $(CPPFLAGS) $(CFLAGS)
link    = $(CC) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFLAGS) $(LDFLAGS)
say     = $(if $(V),,@echo '$(1) $@';)

# Each folder has its own flags. Two kernels process many short rows and gain from -O3; -O3 for all kernels would add
# 200 KB. The variables are private, so that the stamps that an object depends on do not inherit them.
obj           := $(BUILD)/obj
library_flags := -include autodiff/base/floating.h -fPIC -fvisibility=hidden \
                 $(call known,-fno-semantic-interposition -ffunction-sections -fdata-sections) $(no_unwinding)
# Ops of large arrays, whose time is that of their loops, and forms of compiled programs.
large         := $(patsubst %,$(obj)/ops/%.o,base/loops elementwise/special loss/class_cross_entropy \
                 loss/class_rows loss/cosine_similarity loss/ctc loss/margin reduce/extremum reduce/product reduce/running \
                 reduce/scan shape/index shape/mask shape/pad shape/places shape/put shape/scatter_reduce table)
$(obj)/autodiff/%.o: private extra = $(library_flags)
$(obj)/autodiff/%.o: private optimise := $(optimise) $(struct_flags)
$(obj)/ops/%.o $(obj)/nn/%.o: private extra = $(library_flags) $(small_flags)
$(obj)/ops/%.o: private optimise := $(optimise) $(ops_flags) $(struct_flags)
$(obj)/ops/net/%.o $(obj)/ops/linalg/%.o $(obj)/ops/functional/%.o: private optimise := $(cold) $(ops_flags)
$(obj)/ops/sort/%.o $(large): private optimise := $(compact) $(ops_flags)
$(obj)/ops/elementwise/%.o: private optimise := $(optimise) $(ops_flags) $(known_jumps) $(struct_flags) \
    $(if $(clang),,$(call known,-fno-inline-small-functions))
$(obj)/ops/elementwise/basic.o $(obj)/ops/elementwise/elementwise.o $(obj)/ops/linalg/matmul.o: private \
    optimise := $(optimise) $(ops_flags) $(struct_flags)
$(obj)/nn/%.o: private optimise := $(compact)
$(obj)/ops/compose/%.o $(obj)/ops/random/%.o $(obj)/ops/compile/%.o $(obj)/ops/sparse/%.o $(obj)/autodiff/check/%.o $(obj)/autodiff/look/%.o \
    $(patsubst %,$(obj)/autodiff/%.o,base/durable base/fault graph/anomaly graph/error graph/name graph/require \
    graph/threads pass/branch pass/flat_rows pass/flat_slopes pass/inner pass/objective) \
    $(foreach d,data file module onnx optim train,$(obj)/nn/$(d)/%.o): private optimise := $(cold)
$(obj)/ops/kernels/%.o $(obj)/nn/kernels/%.o: private optimise := $(optimise) $(kernel_flags)
# Colouring and patterns, which take a quarter longer with -Oz.
$(patsubst %,$(obj)/ops/sparse/%.o,acyclic nests pattern star): private \
    optimise := $(optimise) $(ops_flags) $(struct_flags)
# Functions of one number, and what is done beside a decomposition by LAPACK: no vectors would help.
$(patsubst %,$(obj)/ops/kernels/elementwise/%.o,bessel erfinv gamma loggamma special) \
    $(patsubst %,$(obj)/ops/kernels/linalg/%.o,cofactor decompose expm lapack): private \
    optimise := $(optimise) $(math_flags) $(no_vectors)
$(obj)/ops/compile/program.o: private optimise := $(optimise)
$(obj)/ops/kernels/net/im2col.o $(obj)/ops/kernels/base/sum.o: private optimise := $(optimise) $(row_flags)
$(obj)/demos/%.o $(obj)/tests/%.o $(obj)/bench/%.o: private extra = -D_POSIX_C_SOURCE=200809L
# Tests spend their time in the library. Without optimisation they are compiled in a quarter of the time.
$(obj)/tests/%.o: private optimise := $(patsubst -O%,-O0,$(optimise))
$(obj)/demos/%.o $(obj)/bench/%.o: private optimise := $(if $(SANITIZE),$(optimise),-O3 $(math_flags))
