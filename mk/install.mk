# install.mk: installs and uninstalls the library.

include_dir = $(PREFIX)/include/autodiff-$(major)
# A path that begins with PREFIX, in terms of the variable prefix of pkg-config, so that --define-prefix can move it.
below_prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))
install: $(archive) $(shared) mk/autodiff.pc.in ## install to PREFIX (/usr/local), below DESTDIR if that is set
	@install -d $(DESTDIR)$(LIBDIR)/pkgconfig
	@for h in $(public); do install -D -m 644 $$h $(DESTDIR)$(include_dir)/$$h || exit 1; done
	@install -m 644 $(archive) $(DESTDIR)$(LIBDIR)
	@install -m 755 $(shared).$(version) $(DESTDIR)$(LIBDIR)
	@ln -sf libautodiff.so.$(version) $(DESTDIR)$(LIBDIR)/$(soname)
	@ln -sf $(soname) $(DESTDIR)$(LIBDIR)/libautodiff.so
	@sed -e '/^#/d; s|@PREFIX@|$(PREFIX)|; s|@INCLUDEDIR@|$(call below_prefix,$(include_dir))|' \
	    -e 's|@LIBDIR@|$(call below_prefix,$(LIBDIR))|; s|@VERSION@|$(version)|; s|@LIBS@|$(found_libs)|' \
	    mk/autodiff.pc.in > $(BUILD)/autodiff.pc
	@install -m 644 $(BUILD)/autodiff.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ] && command -v $(LDCONFIG) >/dev/null; then $(LDCONFIG); fi
	@echo "autodiff $(version) is installed in $(DESTDIR)$(PREFIX)"

uninstall: ## remove the installed files
	rm -rf $(DESTDIR)$(include_dir)
	rm -f $(DESTDIR)$(LIBDIR)/libautodiff.a $(DESTDIR)$(LIBDIR)/libautodiff.so \
	    $(DESTDIR)$(LIBDIR)/$(soname) $(DESTDIR)$(LIBDIR)/libautodiff.so.$(version) \
	    $(DESTDIR)$(LIBDIR)/pkgconfig/autodiff.pc
