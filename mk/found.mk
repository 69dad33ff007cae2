# found.mk: what this machine has: the headers and libraries that the build needs or can use.

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
$(info No LAPACK found: solve, inverse, cholesky, det and logdet are absent.)
endif
endif

# optional PACKAGE,MACRO,SENTENCE: uses the package and defines the macro, or says what is missing.
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
# Floats are computed in float precision: not in x87 registers on 32-bit x86, nor as doubles on s390x.
found_flags  += $(if $(call compiles,-msse2 -mfpmath=sse),-msse2 -mfpmath=sse) $(call known,-fexcess-precision=fast)
# The library has many tables of pointers. A bitmap of relocations is small; loaders read it since glibc 2.36.
bitmap       := -Wl,-z,pack-relative-relocs
loads_bitmap := $(shell printf '\043include <features.h>\n\043if !__GLIBC_PREREQ(2, 36)\n\043error\n\043endif\n' | \
    $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 && echo 'int a;' | \
    $(CC) $(LDFLAGS) -shared -fPIC -Wl,--fatal-warnings $(bitmap) -x c - -o /dev/null 2>/dev/null && echo yes)
shared_flags := $(if $(loads_bitmap),$(bitmap))
found_flags  := $(found_flags)
found_libs   := $(strip $(found_libs)) -pthread -lm
