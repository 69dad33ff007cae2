# cmake.mk: installs what CMake's find_package(autodiff) reads.

cmake_files := autodiff-config.cmake autodiff-config-version.cmake autodiff-mpi.cmake
in_cmake     = $(call quote,$(DESTDIR)$(CMAKEDIR)/$(1))

# The way from one folder to another: $(call way,/a/b,/a/c/d) is ../c/d.
blank       := $(subst ,, )
way          = $(subst $(blank),/,$(strip $(call steps,$(call folders,$(1)),$(call folders,$(2)))))
folders      = $(subst /, ,$(abspath $(1)))
steps        = $(if $(and $(1),$(filter $(firstword $(1)),$(firstword $(2)))),$(call \
               steps,$(call rest,$(1)),$(call rest,$(2))),$(patsubst %,..,$(1)) $(2))
rest         = $(wordlist 2,$(words $(1)),$(1))
# A list of CMake.
as_list      = $(subst $(blank),;,$(strip $(1)))
pointer      = $(lastword $(shell $(CC) $(CPPFLAGS) $(CFLAGS) -dM -E -x c /dev/null | grep __SIZEOF_POINTER__))
# A macro that the header of the other kind of MPI defines. MPIs that are made from MPICH can replace one another.
mpi_macros   = $(shell printf '\043include <mpi.h>\n' | $(call mpi_compiler,$(mpi_chosen)) -dM -E -x c - 2>/dev/null)
other_mpi    = $(if $(filter OMPI_MAJOR_VERSION,$(mpi_macros)),MPICH_VERSION,OMPI_MAJOR_VERSION)

# write_cmake FILE,SED_OPTIONS: fills a template in, without its first lines, and installs it.
define write_cmake
@install -d $(call in_cmake,)
	@sed -e '1,/^#$$/d' $(2) mk/cmake/$(1).in > $(call in_cmake,$(1)) && chmod 644 $(call in_cmake,$(1))
endef
define copy_cmake
$(call write_cmake,autodiff-config.cmake,$(call fill,VERSION,$(version)) $(call fill,SONAME,$(soname)) \
    $(call fill,TO_HEADERS,$(call way,$(CMAKEDIR),$(include_dir))) \
    $(call fill,TO_LIB,$(call way,$(CMAKEDIR),$(LIBDIR))) \
    $(call fill,STATIC_FOLDERS,$(call as_list,$(patsubst -L%,%,$(filter -L%,$(all_libs))))) \
    $(call fill,STATIC_OPTIONS,$(call as_list,$(filter -Wl% -pthread,$(all_libs)))) \
    $(call fill,STATIC_LIBS,$(call as_list,$(filter-out -L% -Wl% -pthread,$(all_libs)))))
	$(call write_cmake,autodiff-config-version.cmake,$(call fill,VERSION,$(version)) $(call fill,MAJOR,$(major)) \
	    $(call fill,MINOR,$(call number,MINOR)) $(call fill,POINTER,$(pointer)))
endef
define copy_cmake_mpi
$(call write_cmake,autodiff-mpi.cmake,$(call fill,VERSION,$(version)) $(call fill,SONAME,$(mpi_soname)) \
    $(call fill,MPICC,$(call mpi_compiler,$(mpi_chosen))) $(call fill,OTHER_MPI,$(other_mpi)))
endef
