/* fuzz_safetensors.c: nn_load of any bytes, with their checksum put right, so that it does not refuse all changes. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz_checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ad_graph *g = fuzz_begin();
    nn_module *m = nn_linear(g, AD_F64, 3, 2, true);
    (void)nn_init_constant(nn_find_parameter(m, "weight"), 7);
    int rc = nn_load(m, fuzz_file_with_checksum(data, size));
    if (rc == ad_ok(g)) fuzz_fail("a code and an error go together", ad_error(g));
    if (rc != AD_OK && ad_at(nn_find_parameter(m, "weight"), 0) != 7) fuzz_fail("a failed load changed", "a weight");
    return fuzz_end(g);
}
