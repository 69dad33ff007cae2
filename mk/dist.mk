# dist.mk: the sources as an archive.

dist: ## write the sources as autodiff-VERSION.tar.gz with its checksum to build/dist; XZ=1: also .tar.xz
	@sh mk/dist.sh $(version) $(call quote,$(BUILD)/dist) $(if $(XZ),xz)
distcheck: ## make the archives, build what is in them from nothing, install, use and uninstall it (a minute)
	@BUILD='$(BUILD)' CC='$(CC)' MAKE='$(MAKE)' DIST_WHOLE=1 sh tests/run tests/dist.sh
