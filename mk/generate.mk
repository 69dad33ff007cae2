# generate.mk: generates the committed files: the reference of the ops and the headers, the gallery and the reference
# values; and from these the site.

docs: $(docs_of) ## write the reference, docs/ops.md, docs/reference/, docs/api.json and build/man/, from the ops and the headers
	@$(docs_of) ops/ops.def > $(BUILD)/ops.md && cp $(BUILD)/ops.md docs/ops.md
	@sh mk/reference/make.sh pages docs/reference
	@CC='$(CC)' sh mk/reference/make.sh json docs/api.json
	@sh mk/reference/make.sh manual $(BUILD)/man
site: ## write all pages as HTML to build/site; needs cmark-gfm
	@sh mk/site/make.sh $(BUILD)/site
gallery: $(lectures) ## draw the pictures of the lecture programs, and write docs/gallery.md with what they claim
	@BUILD='$(BUILD)' sh mk/gallery.sh docs/figures/lectures docs/gallery.md
reference-values: $(dumper) ## compute the reference values of all ops by PyTorch and mpmath; OPS="..." or FAMILY=... selects some
	@mkdir -p tests/reference/results tests/reference/special
	@$(dumper) > $(BUILD)/samples.jsonl
	@$(PYTHON) tests/reference/reference.py $(BUILD)/samples.jsonl tests/reference/results \
	    $(if $(OPS),--ops $(OPS)) $(if $(FAMILY),--family $(FAMILY))
	@$(if $(FAMILY),,$(PYTHON) tests/reference/special.py $(BUILD)/samples.jsonl tests/reference/special \
	    $(if $(OPS),--ops $(OPS)))
	@$(if $(OPS)$(FAMILY),,$(PYTHON) tests/reference/graphs.py tests/reference/graphs.txt)
	@$(if $(OPS)$(FAMILY),,$(PYTHON) tests/reference/functions.py tests/reference/functions.txt)
	@$(if $(OPS)$(FAMILY),,$(PYTHON) tests/reference/names.py docs/names.md)
