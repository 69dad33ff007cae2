# packages.mk: the Debian packages that the build, its tests and its measurements need.

deps: ## install the Debian packages that the build and its tests need (mk/packages.txt)
	@sh .ci/packages.sh mk/packages.txt
deps-ci: ## install what .ci/run needs in addition (mk/packages-ci.txt)
	@sh .ci/packages.sh mk/packages-ci.txt
deps-peers: ## install what `make bench-peers` and `make bench-report` compare with and draw with (mk/packages-peers.txt)
	@sh .ci/packages.sh mk/packages-peers.txt

# New packages change what found.mk finds. So when other goals are asked for at the same time, they run in a second
# make, after the installation; `deferred` tells the Makefile to define nothing else.
deps_goals  := $(filter deps deps-ci deps-peers,$(MAKECMDGOALS))
other_goals := $(filter-out $(deps_goals),$(MAKECMDGOALS))
ifneq ($(and $(deps_goals),$(other_goals)),)
deferred := yes
.PHONY: $(other_goals)
$(firstword $(other_goals)): $(deps_goals)
	@$(MAKE) $(other_goals)
$(wordlist 2,$(words $(other_goals)),$(other_goals)): $(firstword $(other_goals)) ; @:
endif
