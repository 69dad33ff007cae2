# deb.mk: the goals that make and test Debian packages, from the packaging in mk/debian/. docs/packages.md says more.

SUITE ?= bookworm
.PHONY: deb deb-test readme-test platforms
deb: ## build the Debian packages in build/deb; DEB_FLAGS are options of dpkg-buildpackage, such as -b
	@sh mk/deb.sh packages $(BUILD)/deb $(DEB_FLAGS)
deb-test: ## build, check and install the Debian packages in fresh systems, as root; SUITE=trixie is Debian 13
	@BUILD='$(BUILD)' sh tests/packages/debian.sh $(SUITE)
readme-test: ## run the commands of the README in fresh systems with nothing but make and git, as root; SUITE=trixie
	@BUILD='$(BUILD)' sh tests/packages/readme.sh $(SUITE)
platforms: ## run the tests on PLATFORMS, and note the result in docs/packages.md; PLATFORMS="debian12-gcc arm64 musl"
	@BUILD='$(BUILD)' MAKE='$(MAKE)' sh tests/packages/platforms.sh $(PLATFORMS)
