# generate.mk: what programs write and the tree keeps: the reference page of the ops, values of other libraries.

docs: $(docs_of) ## docs/ops.md, the reference of all ops, from their table
	@$(docs_of) ops/ops.def tests/reference/results > $(BUILD)/ops.md && cp $(BUILD)/ops.md docs/ops.md
reference-values: $(dumper) ## the values that PyTorch and mpmath give for each op; OPS="..." or FAMILY=... for some
	@mkdir -p tests/reference/results
	@$(dumper) > $(BUILD)/samples.jsonl
	@$(PYTHON) tests/reference/reference.py $(BUILD)/samples.jsonl tests/reference/results \
	    $(if $(OPS),--ops $(OPS)) $(if $(FAMILY),--family $(FAMILY))
	@$(if $(OPS)$(FAMILY),,$(PYTHON) tests/reference/graphs.py tests/reference/graphs.txt)
