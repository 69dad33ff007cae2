# mpi.mk: builds libautodiff-mpi, which trains by several processes, and its tests, for each MPI that is installed. Only
# these programs link MPI.
#
# Debian has OpenMPI's compiler as mpicc.openmpi and MPICH's as mpicc.mpich. Elsewhere there is one mpicc, here "default".
# Programs and libraries of two MPIs do not mix, so each has a folder: build/mpi/openmpi, build/mpi/mpich.
mpi_compiler = $(if $(filter default,$(1)),mpicc,mpicc.$(1))
mpi_found   := $(foreach m,openmpi mpich,$(if $(shell command -v mpicc.$m 2>/dev/null),$m))
mpi_found   := $(or $(mpi_found),$(if $(shell command -v mpicc 2>/dev/null),default))
mpi_chosen  := $(if $(filter none,$(MPI)),,$(if $(filter auto,$(MPI)),$(firstword $(mpi_found)),$(MPI)))
$(if $(mpi_chosen)$(filter none,$(MPI)),,$(if $(found_libs),$(info No mpicc found: libautodiff-mpi is not built.)))
$(if $(filter-out $(mpi_found),$(mpi_chosen)),$(error MPI is "$(MPI)": there is no $(call mpi_compiler,$(MPI))))
mpi_folder   = $(BUILD)/mpi/$(1)
mpi_soname  := $(subst libautodiff,libautodiff-mpi,$(soname))
mpi_demos   := $(if $(mpi_chosen),$(call program,demos/*_mpi.c))
mpi_library  = $(mpi_folder)/libautodiff-mpi.a $(mpi_folder)/libautodiff-mpi.so
mpi_tests    = $(patsubst %.c,$(mpi_folder)/%,$(wildcard tests/mpi/*.c bench/mpi/*.c))
mpi_all     := $(if $(mpi_chosen),$(call mpi_library,$(mpi_chosen)) $(mpi_demos))

mpi: $(mpi_all) ## build libautodiff-mpi and its demos with the MPI that is found, or MPI=openmpi, MPI=mpich
mpi-test: $(foreach m,$(mpi_found),$(call mpi_tests,$m)) $(mpi_demos) ## train by 1 to 4 processes under each MPI that is installed
	@BUILD='$(BUILD)' MPIS='$(mpi_found)' sh tests/run tests/mpi/mpi.sh

# mpicc NAME: the compiler of an MPI, which calls $(CC); both MPIs take that from a variable. with_mpi NAME: it links.
mpicc    = OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(call mpi_compiler,$(1))
with_mpi = $(mpicc) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFLAGS) $(LDFLAGS)
objects_of = $(patsubst %.c,$(mpi_folder)/obj/%.o,$(wildcard nn/mpi/*.c))

# GCC takes MPICH's MPI_STATUSES_IGNORE for the address of an array of no elements, and clang does not use all flags of
# MPICH when it compiles: hence the flags.
define mpi_rules
$(mpi_folder)/obj/%.o: private warnings += $(call known,-Wno-stringop-overflow -Wno-unused-command-line-argument)
$(mpi_folder)/obj/nn/mpi/%.o: private extra = $(library_flags) $(small_flags)
$(foreach d,tests bench demos,$(mpi_folder)/obj/$d/%.o): private extra = -D_POSIX_C_SOURCE=200809L
$(mpi_folder)/obj/%.o: %.c $(BUILD)/stamp_flags mk/flags.mk mk/mpi.mk
	@mkdir -p $$(@D)
	$$(call say,MPICC) $(mpicc) $$(flags) $(CPPFLAGS) $(CFLAGS) -c -o $$@ $$<
-include $(shell find $(mpi_folder)/obj -name '*.d' 2>/dev/null)
$(mpi_folder)/libautodiff-mpi.a: $(objects_of)
	$$(call say,AR) rm -f $$@ && $(AR) rcs $$@ $$^
$(mpi_folder)/libautodiff-mpi.so: $(objects_of) $(shared)
	@echo '{ global: nn_mpi_[a-z0-9]*; local: *; };' > $$(@D)/symbols.map
	$$(call say,LD) $(with_mpi) -shared -Wl,-soname,$(mpi_soname) -Wl,--version-script=$$(@D)/symbols.map \
	    -o $$@.$(version) $$(filter %.o,$$^) $(shared)
	@ln -sf $$(@F).$(version) $$(@D)/$(mpi_soname) && ln -sf $(mpi_soname) $$@
$(mpi_tests): $(mpi_folder)/%: $(mpi_folder)/obj/%.o $(mpi_folder)/libautodiff-mpi.a $(archive)
	@mkdir -p $$(@D)
	$$(call say,LD) $(with_mpi) -o $$@ $$^ $(found_libs)
endef
$(foreach m,$(mpi_found),$(eval $(call mpi_rules,$m)))

$(mpi_demos): $(BUILD)/demos/%: $(call mpi_folder,$(mpi_chosen))/obj/demos/%.o $(firstword $(call mpi_library,$(mpi_chosen))) \
    $(archive)
	@mkdir -p $(@D)
	$(call say,LD) $(call with_mpi,$(mpi_chosen)) -o $@ $^ $(found_libs)
