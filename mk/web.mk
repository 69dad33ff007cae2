# web.mk: the playground, as one HTML file: the library and demos/web/ compiled to WebAssembly by emscripten.
#
# Objects are made by a make of its own with EMCC as the compiler, in $(BUILD)/wasm, whose include/ has the headers of
# the two libraries and nothing else of this machine. Debian's emcc looks for modules of Node where NODE_PATH says.
# Random123 refuses processors that it does not know; what it has for RISC-V is plain C and fits WebAssembly.

EMCC     ?= emcc
EMAR     ?= $(EMCC:cc=ar)
wasm     := $(BUILD)/wasm
page     := $(BUILD)/web/index.html
web_code := $(patsubst %.c,$(wasm)/obj/%.o,$(wildcard demos/web/*.c))
node_env := NODE_PATH="/usr/share/nodejs:$$NODE_PATH"
# SIMD128 is in all browsers since 2023. The loader is for pages alone: that of Debian takes a new Node for a browser.
web_link := $(node_env) $(EMCC) -O3 -msimd128 --no-entry -sENVIRONMENT=web -sMODULARIZE -sEXPORT_NAME=load_autodiff \
            -sSINGLE_FILE -sALLOW_MEMORY_GROWTH -sINITIAL_MEMORY=16MB -sFILESYSTEM=0 \
            -sEXPORTED_RUNTIME_METHODS=UTF8ToString,stringToUTF8
# The folder of a header that the C compiler of this machine finds.
header_folder = $(shell printf '\043include <%s>\n' '$(1)' | $(CC) $(CPPFLAGS) -M -E -x c - | tr ' ' '\n' | \
                sed -n 's|/$(notdir $(1))$$||p' | head -n 1)

web: $(page) ## build the playground, build/web/index.html, one page for a browser (needs emscripten: make deps-web)
web-test: $(page) ## use the playground in a headless Chromium; screenshots go to build/web/screenshots
	@BUILD='$(BUILD)' MAKE='$(MAKE)' sh tests/run tests/web/web.sh
$(page): $(BUILD)/web/autodiff.js $(wildcard demos/web/*.html demos/web/*.css demos/web/*.js) mk/web/page.awk
	$(call say,PAGE) awk -v loader=$(BUILD)/web/autodiff.js -f mk/web/page.awk demos/web/page.html > $@
$(BUILD)/web/autodiff.js: $(wasm)/libautodiff.a $(web_code) mk/web.mk
	@mkdir -p $(@D)
	$(call say,EMCC) $(web_link) -o $@ $(web_code) $(wasm)/libautodiff.a

$(wasm)/libautodiff.a $(web_code): $(wasm)/made ; @:
$(wasm)/made: FORCE
	@command -v $(EMCC) >/dev/null || { echo 'make web needs emscripten; `make deps-web` installs it' >&2; exit 1; }
	@mkdir -p $(wasm)/include
	@ln -sfn $(call header_folder,uthash.h)/uthash.h $(wasm)/include/uthash.h
	@ln -sfn $(call header_folder,Random123/philox.h) $(wasm)/include/Random123
	@$(node_env) $(MAKE) -s BUILD=$(wasm) CC=$(EMCC) AR=$(EMAR) BLAS=none LAPACK=none PKG_CONFIG=false LDFLAGS= NATIVE= \
	    CPPFLAGS='-isystem $(abspath $(wasm))/include -D__riscv' CFLAGS='-msimd128 -g0' $(wasm)/libautodiff.a $(web_code)
