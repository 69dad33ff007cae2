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
mpi_library  = $(call mpi_folder,$(1))/libautodiff-mpi.a $(call mpi_folder,$(1))/libautodiff-mpi.so
mpi_tests    = $(patsubst %.c,$(call mpi_folder,$(1))/%,$(wildcard tests/mpi/*.c bench/mpi/*.c))
mpi_all     := $(if $(mpi_chosen),$(call mpi_library,$(mpi_chosen)) $(mpi_demos))

mpi: $(mpi_all) ## build libautodiff-mpi and its demos with the MPI that is found, or MPI=openmpi, MPI=mpich
mpi-test: $(foreach m,$(mpi_found),$(call mpi_tests,$m)) $(mpi_demos) ## train by 1 to 4 processes under each MPI that is installed
	@BUILD='$(BUILD)' MPIS='$(mpi_found)' sh tests/run tests/mpi/mpi.sh

# The compilers of both MPIs take the compiler that they call from a variable. GCC takes MPICH's MPI_STATUSES_IGNORE for
# the address of an array of no elements, and clang does not use all flags of MPICH when it compiles: hence the flags.
define mpi_rules
$(call mpi_folder,$(1))/obj/%.o: private warnings += $(call known,-Wno-stringop-overflow -Wno-unused-command-line-argument)
$(call mpi_folder,$(1))/obj/nn/mpi/%.o: private extra = $(library_flags) $(small_flags)
$(call mpi_folder,$(1))/obj/tests/%.o $(call mpi_folder,$(1))/obj/bench/%.o $(call mpi_folder,$(1))/obj/demos/%.o: private extra = -D_POSIX_C_SOURCE=200809L
$(call mpi_folder,$(1))/obj/%.o: %.c $(BUILD)/stamp_flags mk/flags.mk mk/mpi.mk
	@mkdir -p $$(@D)
	$$(call say,MPICC) OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(call mpi_compiler,$(1)) $$(flags) $(CPPFLAGS) $(CFLAGS) -c -o $$@ $$<
-include $(shell find $(call mpi_folder,$(1))/obj -name '*.d' 2>/dev/null)
$(call mpi_folder,$(1))/libautodiff-mpi.a: $(patsubst %.c,$(call mpi_folder,$(1))/obj/%.o,$(wildcard nn/mpi/*.c))
	$$(call say,AR) rm -f $$@ && $(AR) rcs $$@ $$^
$(call mpi_folder,$(1))/libautodiff-mpi.so: $(patsubst %.c,$(call mpi_folder,$(1))/obj/%.o,$(wildcard nn/mpi/*.c)) $(shared)
	@echo '{ global: nn_mpi_[a-z0-9]*; local: *; };' > $$(@D)/symbols.map
	$$(call say,LD) OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(call mpi_compiler,$(1)) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(mpi_soname) -Wl,--version-script=$$(@D)/symbols.map -o $$@.$(version) $$(filter %.o,$$^) $(shared)
	@ln -sf $$(@F).$(version) $$(@D)/$(mpi_soname) && ln -sf $(mpi_soname) $$@
$(call mpi_tests,$(1)): $(call mpi_folder,$(1))/%: $(call mpi_folder,$(1))/obj/%.o $(call mpi_folder,$(1))/libautodiff-mpi.a $(archive)
	@mkdir -p $$(@D)
	$$(call say,LD) OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(call mpi_compiler,$(1)) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFLAGS) $(LDFLAGS) -o $$@ $$^ $(found_libs)
endef
$(foreach m,$(mpi_found),$(eval $(call mpi_rules,$m)))

$(mpi_demos): $(BUILD)/demos/%: $(call mpi_folder,$(mpi_chosen))/obj/demos/%.o $(call mpi_folder,$(mpi_chosen))/libautodiff-mpi.a $(archive)
	@mkdir -p $(@D)
	$(call say,LD) OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(call mpi_compiler,$(mpi_chosen)) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(found_libs)
