# library.mk: builds the objects of the library, the archive and the shared library.

number   = $(shell sed -n 's/^.define AD_VERSION_$(1) *//p' autodiff/autodiff.h)
major   := $(call number,MAJOR)
version := $(major).$(call number,MINOR).$(call number,PATCH)
# What programs are bound to: libraries with the same soname can replace one another, see docs/abi.md.
soname  := libautodiff.so.$(if $(filter 0,$(major)),0.$(call number,MINOR),$(major))
public  := $(filter-out nn/mpi.h,$(wildcard autodiff/*.h ops/*.h ops/*.def nn/*.h))
object   = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
library := $(call object,$(wildcard autodiff/*/*.c ops/*.c ops/*/*.c ops/kernels/*/*.c) $(filter-out nn/mpi/%,$(wildcard nn/*/*.c)))
# The messages of ONNX, from their description. Without protobuf-c the folder has only the calls, which refuse.
messages := $(BUILD)/onnx/onnx.pb-c
ifneq ($(filter -DAD_HAVE_PROTOBUF_C,$(found_flags)),)
library += $(BUILD)/obj/nn/onnx/messages.o
else
library := $(filter-out $(BUILD)/obj/nn/onnx/%,$(library)) $(BUILD)/obj/nn/onnx/save.o
endif
archive := $(BUILD)/libautodiff.a
shared  := $(BUILD)/libautodiff.so

# Objects depend on a stamp with their commands, libraries on a stamp with the list of their objects. A stamp is
# rewritten only when its text changes.
stamp_flags = $(compile) $(link) $(library_flags) $(small_flags) $(kernel_flags) $(row_flags) $(shared_flags) $(found_libs)
stamp_files = $(library)
$(addprefix $(BUILD)/stamp_,flags files): $(BUILD)/stamp_%: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(stamp_$*)) | cmp -s - $@ || printf '%s\n' $(call quote,$(stamp_$*)) > $@

$(BUILD)/obj/%.o: %.c $(BUILD)/stamp_flags mk/flags.mk
	@mkdir -p $(@D)
	$(call say,CC) $(compile) -c -o $@ $<
$(messages).c: nn/onnx/onnx.proto
	@mkdir -p $(@D)
	$(call say,GEN) protoc-c -Inn/onnx --c_out=$(@D) onnx.proto
$(BUILD)/obj/nn/onnx/messages.o: $(messages).c
	@mkdir -p $(@D)
	$(call say,CC) $(compile) -w -c -o $@ $<
$(BUILD)/obj/nn/onnx/model.o: $(messages).c
$(BUILD)/obj/nn/onnx/model.o: private extra = $(library_flags) $(small_flags) -isystem $(BUILD)/onnx
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

$(archive): $(library) $(BUILD)/stamp_files
	$(call say,AR) rm -f $@ && $(AR) rcs $@ $(library)
# GCC exports the dispatchers of target_clones, so the version script hides them. -Bsymbolic-functions binds calls
# within the library directly.
$(shared): $(library) $(BUILD)/stamp_files
	@echo '{ global: ad_[a-z0-9]*; nn_[a-z0-9]*; local: *; };' > $(BUILD)/symbols.map
	$(call say,LD) $(link) -shared -Wl,-soname,$(soname) $(if $(SANITIZE),,-Wl,--no-undefined) -Wl,-Bsymbolic-functions $(shared_flags) -Wl,--version-script=$(BUILD)/symbols.map -o $@.$(version) $(library) $(found_libs)
	@ln -sf $(@F).$(version) $(BUILD)/$(soname) && ln -sf $(soname) $@
