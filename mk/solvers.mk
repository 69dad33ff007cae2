# solvers.mk: the programs of demos/solvers/, each of which is built where the solver's library is installed.

klu         := -isystem /usr/include/suitesparse
sundials    = $(call compiles,$(2) $(foreach h,$(1),-include $h.h))
solver_here := lbfgs newton $(if $(call has,gsl),multifit multimin) $(if $(call has,nlopt),nlopt) \
               $(if $(call sundials,ida/ida),ida) $(if $(call sundials,cvode/cvode sunlinsol/sunlinsol_klu,$(klu)),cvode) \
               $(if $(call has,ipopt),ipopt) $(if $(call has,PETSc ompi-c),tao)
solvers     := $(addprefix $(BUILD)/demos/solvers/,$(solver_here))

# What a program is compiled and linked with: packages of pkg-config, and libraries of SUNDIALS, which has none.
solver_program = $(BUILD)/demos/solvers/$(1) $(BUILD)/obj/demos/solvers/$(1).o
$(call solver_program,multifit) $(call solver_program,multimin): private packages = gsl
$(call solver_program,nlopt): private packages = nlopt
$(call solver_program,ipopt): private packages = ipopt
$(call solver_program,tao): private packages = PETSc ompi-c
sundials_libs = $(addprefix -lsundials_,$(1) nvecserial $(addprefix sunmatrix,$(2)) $(addprefix sunlinsol,$(3)))
$(BUILD)/demos/solvers/ida: private own_libs = $(call sundials_libs,ida,dense,dense)
$(BUILD)/demos/solvers/cvode: private own_libs = $(call sundials_libs,cvode,band sparse,band klu) -lklu
$(BUILD)/obj/demos/solvers/%.o: private extra = -D_POSIX_C_SOURCE=200809L $(klu) \
    $(if $(packages),$(patsubst -I%,-isystem %,$(call cflags,$(packages))))

$(solvers): $(BUILD)/%: $(BUILD)/obj/%.o $(archive)
	@mkdir -p $(@D)
	$(call say,LD) $(link) -o $@ $< $(archive) $(own_libs) $(if $(packages),$(call libs,$(packages))) $(found_libs)
solvers: $(solvers) ## build the programs of demos/solvers/ whose solver is installed
