# paths.mk: checks BUILD, PREFIX, LIBDIR and DESTDIR before anything is touched, and quotes for the shell.

define newline


endef
# A text as one word of the shell.
quote = '$(subst ','\'',$(1))'

# Make splits the names of targets at blanks, and pkg-config those of folders; other characters mean something to one of
# them or to the shell. DESTDIR is only ever quoted.
odd        = $(or $(findstring $(newline),$(1)),$(filter -%,$(1)),$(shell [ -z "$$(printf %s $(call quote,$(1)) | \
             LC_ALL=C tr -d 'A-Za-z0-9_./+@\200-\377-')" ] || echo odd))
check_path = $(if $(call odd,$($(1))),$(error $(1) is "$($(1))": only letters, digits and _ . / + - @ can be in it, \
             and no - at its beginning))
ifneq ($(filter-out help deps deps-ci deps-web deps-peers deps-deb,$(or $(MAKECMDGOALS),all)),)
$(if $(BUILD),,$(error BUILD is empty))
$(call check_path,BUILD)
build_fault := $(shell sh mk/build_folder.sh $(call quote,$(BUILD)))
$(if $(build_fault),$(error BUILD is "$(BUILD)", which $(build_fault)))
endif
ifneq ($(filter install uninstall,$(MAKECMDGOALS)),)
$(call check_path,PREFIX)
$(call check_path,LIBDIR)
$(call check_path,DOCDIR)
$(call check_path,CMAKEDIR)
$(if $(or $(findstring $(newline),$(DESTDIR)),$(filter -%,$(firstword $(DESTDIR)))),$(error DESTDIR begins with - \
or has two lines))
endif
