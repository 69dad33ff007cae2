# generate.mk: generates the committed files: the reference page of the ops, the gallery and the reference values.

docs: $(docs_of) ## write docs/ops.md, the reference of all ops, from ops.def and the descriptors
	@$(docs_of) ops/ops.def > $(BUILD)/ops.md && cp $(BUILD)/ops.md docs/ops.md
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
