# install.mk: installs and uninstalls the library.

man_dir     = $(PREFIX)/share/man/man3
pages      := README.md LICENSE CHANGELOG.md SECURITY.md $(wildcard docs/*.md docs/reference/*.md)
manual     := $(patsubst %,$(BUILD)/man/%.3,autodiff autodiff-ops autodiff-nn)
include_dir = $(PREFIX)/include/autodiff-$(major)
# The place of an installed file or folder, quoted.
in_headers = $(call quote,$(DESTDIR)$(include_dir)/$(1))
in_lib     = $(call quote,$(DESTDIR)$(LIBDIR)/$(1))
in_man     = $(call quote,$(DESTDIR)$(man_dir)/$(1))
in_doc     = $(call quote,$(DESTDIR)$(DOCDIR)/$(1))
# A path that begins with PREFIX, in terms of the variable prefix of pkg-config, so that --define-prefix can move it.
below_prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))
# What sed puts in the place of @NAME@.
fill = -e $(call quote,s|@$(1)@|$(subst |,\|,$(subst &,\&,$(subst \,\\,$(2))))|g)
$(wordlist 2,9,$(manual)): $(firstword $(manual))
$(firstword $(manual)): $(public) docs/ops.md $(wildcard mk/reference/*)
	@sh mk/reference/make.sh manual $(BUILD)/man
# libautodiff-mpi, where an MPI was found; MPI=none installs without it.
define copy_mpi
@install -D -m 644 nn/mpi.h $(call in_headers,nn/mpi.h)
	@install -m 644 $(firstword $(mpi_libs)) $(call in_lib,)
	@install -m 755 $(lastword $(mpi_libs)).$(version) $(call in_lib,)
	@ln -sf libautodiff-mpi.so.$(version) $(call in_lib,$(mpi_soname))
	@ln -sf $(mpi_soname) $(call in_lib,libautodiff-mpi.so)
	@sed -e '/^#/d' $(call fill,PREFIX,$(PREFIX)) $(call fill,INCLUDEDIR,$(call below_prefix,$(include_dir))) \
	    $(call fill,LIBDIR,$(call below_prefix,$(LIBDIR))) $(call fill,VERSION,$(version)) \
	    $(call fill,MPICC,$(call mpi_compiler,$(mpi_chosen))) $(call fill,LIBS,$(found_libs)) mk/autodiff-mpi.pc.in \
	    > $(call in_lib,pkgconfig/autodiff-mpi.pc)
	@chmod 644 $(call in_lib,pkgconfig/autodiff-mpi.pc)
	$(copy_cmake_mpi)
endef
mpi_libs     = $(call mpi_library,$(mpi_chosen))
install_mpi  = $(if $(mpi_chosen),$(copy_mpi))
# The search for what the archive needs takes seconds, so its result is a file.
$(BUILD)/static_libs: $(archive) mk/found.mk
	@echo $(call quote,$(static_libs)) > $@
all_libs     = $(shell cat $(BUILD)/static_libs)
installed   := $(archive) $(shared) $(BUILD)/static_libs $(manual) $(if $(mpi_chosen),$(mpi_libs))
install: $(installed) mk/autodiff.pc.in ## install to PREFIX (/usr/local), below DESTDIR if that is set
	@install -d $(call in_lib,pkgconfig)
	@for h in $(public); do install -D -m 644 "$$h" $(call in_headers,)"$$h" || exit 1; done
	@install -d $(call in_man,)
	@install -m 644 $(manual) $(call in_man,)
	@install -m 644 $(archive) $(call in_lib,)
	@install -m 755 $(shared).$(version) $(call in_lib,)
	@ln -sf libautodiff.so.$(version) $(call in_lib,$(soname))
	@ln -sf $(soname) $(call in_lib,libautodiff.so)
	@sed -e '/^#/d' $(call fill,PREFIX,$(PREFIX)) $(call fill,INCLUDEDIR,$(call below_prefix,$(include_dir))) \
	    $(call fill,LIBDIR,$(call below_prefix,$(LIBDIR))) $(call fill,VERSION,$(version)) \
	    $(call fill,LIBS,$(found_libs)) $(call fill,STATIC_LIBS,$(all_libs)) mk/autodiff.pc.in \
	    > $(call in_lib,pkgconfig/autodiff.pc)
	@chmod 644 $(call in_lib,pkgconfig/autodiff.pc)
	$(copy_cmake)
	@for f in $(pages); do install -D -m 644 "$$f" $(call in_doc,)"$$f" || exit 1; done
	$(install_mpi)
	@if [ -z $(call quote,$(DESTDIR)) ] && [ "$$(id -u)" = 0 ] && command -v $(LDCONFIG) >/dev/null; then $(LDCONFIG); fi
	@printf 'autodiff %s is installed in %s\n' $(version) $(call quote,$(DESTDIR)$(PREFIX))

# Files by their names, and folders of the library where nothing else is in them.
installed_folders := $(sort $(patsubst %/,%,$(dir $(public))))
uninstall: ## remove the installed files
	rm -f $(foreach h,$(public) nn/mpi.h,$(call in_headers,$h)) \
	    $(foreach f,libautodiff.a libautodiff.so $(soname) libautodiff.so.$(version) pkgconfig/autodiff.pc \
	        libautodiff-mpi.a libautodiff-mpi.so $(mpi_soname) libautodiff-mpi.so.$(version) pkgconfig/autodiff-mpi.pc,$(call in_lib,$f)) \
	    $(foreach f,$(notdir $(manual)),$(call in_man,$f)) $(foreach f,$(pages),$(call in_doc,$f)) \
    $(foreach f,$(cmake_files),$(call in_cmake,$f))
	@for d in $(foreach f,$(installed_folders) .,$(call in_headers,$f)) $(foreach f,docs/reference docs .,$(call in_doc,$f)) \
	    $(call in_cmake,.); do rmdir "$${d%/.}" 2>/dev/null || true; done
