# packages.mk: installs the Debian packages that the build, the tests and the benchmarks need.

deps: ## install the Debian packages that the build and its tests need (mk/packages.txt)
	@sh .ci/packages.sh mk/packages.txt
deps-ci: ## install the further packages that .ci/run needs (mk/packages-ci.txt)
	@sh .ci/packages.sh mk/packages-ci.txt
deps-web: ## install the packages for `make web` and its test: emscripten, Chromium and Node (mk/packages-web.txt)
	@sh .ci/packages.sh mk/packages-web.txt
deps-peers: ## install the packages for `make bench-peers` and `make bench-report` (mk/packages-peers.txt)
	@sh .ci/packages.sh mk/packages-peers.txt
deps-deb: ## install the packages for `make deb` and its tests in fresh Debian systems (mk/packages-deb.txt)
	@sh .ci/packages.sh mk/packages-deb.txt

# Newly installed packages change the results of found.mk. Other goals of the same command therefore run in a second
# make, after the installation. `deferred` makes this make skip all other definitions.
deps_goals  := $(filter deps deps-ci deps-web deps-peers deps-deb,$(MAKECMDGOALS))
other_goals := $(filter-out $(deps_goals),$(MAKECMDGOALS))
ifneq ($(and $(deps_goals),$(other_goals)),)
deferred := yes
.PHONY: $(other_goals)
$(firstword $(other_goals)): $(deps_goals)
	@$(MAKE) $(other_goals)
$(wordlist 2,$(words $(other_goals)),$(other_goals)): $(firstword $(other_goals)) ; @:
endif
