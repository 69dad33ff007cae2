# found.mk: finds the headers and libraries that the build needs or can use.

compiles = $(shell $(CC) -Werror $(CPPFLAGS) $(1) -fsyntax-only -x c /dev/null 2>/dev/null && echo yes)
has      = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes)
having   = $(foreach p,$(1),$(if $(call has,$p),$p))
cflags   = $(shell $(PKG_CONFIG) --cflags $(1))
libs     = $(shell $(PKG_CONFIG) --libs $(1))

ifeq ($(call compiles,-include uthash.h -include Random123/philox.h),)
$(error $(CC) does not find uthash.h and Random123/philox.h; `make deps` installs what the build needs)
endif

# Debian's OpenBLAS with threads is preferred: the serial variant computes wrong products when two threads call it at
# once. autodiff restricts it to the calling thread. The run path selects this variant where several are installed.
ifeq ($(BLAS),auto)
cpu      := $(patsubst i%86,i386,$(firstword $(subst -, ,$(shell $(CC) -dumpmachine))))
threaded := $(firstword $(call having,$(wildcard $(SYSROOT)/usr/lib/$(cpu)-*/openblas-pthread/pkgconfig/openblas.pc)))
run_path := $(patsubst $(SYSROOT)%/pkgconfig/openblas.pc,%,$(threaded))
blas     := $(firstword $(threaded) $(call having,openblas cblas blas))
else ifneq ($(BLAS),none)
blas     := $(if $(call has,$(BLAS)),$(BLAS),$(error pkg-config does not know $(BLAS); BLAS=none builds without a BLAS))
endif
ifneq ($(and $(blas),$(call compiles,$(call cflags,$(blas)) -include cblas.h)),)
found_flags += $(call cflags,$(blas))
blas_libs   := $(call libs,$(blas)) $(if $(threaded),-Wl$(comma)-rpath$(comma)$(run_path))
found_libs  += $(blas_libs)
else
found_flags += -DAD_NO_BLAS
$(if $(filter none,$(BLAS)),,$(info No CBLAS found: matrix products use slower loops of the library.))
endif

# OpenBLAS contains LAPACK. Other BLAS libraries need a separate LAPACK library.
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
$(info No LAPACK found: solve, solve_triangular, inverse, cholesky, det, cofactor, logdet and decompositions are not available.)
$(info An OpenBLAS with threads has it, as libopenblas-pthread-dev.)
endif
endif

# optional PACKAGE,MACRO,SENTENCE: uses an installed package and defines the macro; otherwise prints the sentence.
optional = $(if $(call has,$(1)),$(eval found_flags += -D$(2) $(call cflags,$(1)))$(eval found_libs += \
           $(call libs,$(1))),$(info No $(1) found: $(3)))
$(call optional,zlib,AD_HAVE_ZLIB,gzipped files and compressed .npz archives cannot be read.)

# ONNX files need protobuf-c and its compiler.
ifneq ($(shell command -v protoc-c),)
$(call optional,libprotobuf-c,AD_HAVE_PROTOBUF_C,ONNX files cannot be written.)
else
$(info No protoc-c found: ONNX files cannot be written.)
endif

# libcsv has no pkg-config file, so it is detected by linking a program with it.
links_csv := $(shell t=$$(mktemp) && echo 'int main(void) { struct csv_parser p; return csv_init(&p, 0); }' | \
    $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -include csv.h -x c - -o $$t -lcsv 2>/dev/null && echo yes; rm -f $$t)
ifeq ($(links_csv),yes)
found_flags += -DAD_HAVE_CSV
found_libs  += -lcsv
else
$(info No libcsv found: CSV files cannot be read.)
endif

# Those of some flags that the compiler knows.
known = $(if $(call compiles,$(1)),$(1),$(foreach f,$(1),$(if $(call compiles,$f),$f)))
# float expressions are computed in float precision. The defaults are x87 registers on 32-bit x86, double on s390x.
found_flags  += $(if $(call compiles,-msse2 -mfpmath=sse),-msse2 -mfpmath=sse) $(call known,-fexcess-precision=fast)
# The library has many tables of pointers, whose relocations are smaller as a bitmap. glibc reads it since 2.36.
bitmap       := -Wl,-z,pack-relative-relocs
loads_bitmap := $(shell printf '\043include <features.h>\n\043if !__GLIBC_PREREQ(2, 36)\n\043error\n\043endif\n' | \
    $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 && echo 'int a;' | \
    $(CC) $(LDFLAGS) -shared -fPIC -Wl,--fatal-warnings $(bitmap) -x c - -o /dev/null 2>/dev/null && echo yes)
# Without pages of their own for code, which would be padded, and without functions that only the archive's users, such as
# tests, call.
links        = $(shell echo 'int a;' | $(CC) $(LDFLAGS) -shared -fPIC $(1) -x c - -o /dev/null 2>/dev/null && echo yes)
one_segment  := -Wl,-z,noseparate-code
unused       := -Wl,--gc-sections
shared_flags := $(if $(loads_bitmap),$(bitmap)) $(foreach f,$(one_segment) $(unused),$(if $(call links,$f),$f))
found_flags  := $(found_flags)
found_libs   := $(strip $(found_libs)) -pthread -lm

# With -static a BLAS needs the libraries of Fortran, which a shared one names itself: those with which the whole archive
# links. They are looked for when something is installed; where nothing links, an archive of another library is missing.
links_static = $(shell t=$$(mktemp) && echo 'int main(void) { return 0; }' | $(CC) $(CFLAGS) $(LDFLAGS) -static -x c - -o $$t \
    -Wl,--whole-archive -x none $(archive) -Wl,--no-whole-archive $(1) >/dev/null 2>&1 && echo yes; rm -f $$t)
with_fortran = $(filter-out -pthread -lm,$(found_libs)) $(1) -pthread -lm
links_with   = $(if $(call links_static,$(call with_fortran,$(1))),$(call with_fortran,$(1)))
static_libs  = $(or $(call links_with,),$(call links_with,-lgfortran),$(call links_with,-lgfortran -lquadmath),$(found_libs))
