# solvers.mk: the programs of demos/solvers/, each of which is built where the solver's library is installed.

sundials    = $(call compiles,-include $(1)/$(1).h)
solver_here := lbfgs newton $(if $(call has,gsl),multifit multimin) $(if $(call has,nlopt),nlopt) \
               $(if $(call sundials,ida),ida) $(if $(call has,PETSc ompi-c),tao)
solvers     := $(addprefix $(BUILD)/demos/solvers/,$(solver_here))

solver_program = $(BUILD)/demos/solvers/$(1) $(BUILD)/obj/demos/solvers/$(1).o
$(call solver_program,multifit) $(call solver_program,multimin): private packages = gsl
$(call solver_program,nlopt): private packages = nlopt
$(call solver_program,tao): private packages = PETSc ompi-c
$(BUILD)/demos/solvers/ida: private own_libs = $(addprefix -lsundials_,ida nvecserial sunmatrixdense sunlinsoldense)
$(BUILD)/obj/demos/solvers/%.o: private extra = -D_POSIX_C_SOURCE=200809L $(if $(packages),$(patsubst -I%,-isystem %,$(call cflags,$(packages))))

$(solvers): $(BUILD)/%: $(BUILD)/obj/%.o $(archive)
	@mkdir -p $(@D)
	$(call say,LD) $(link) -o $@ $< $(archive) $(own_libs) $(if $(packages),$(call libs,$(packages))) $(found_libs)
solvers: $(solvers) ## build the programs of demos/solvers/ whose solver is installed
