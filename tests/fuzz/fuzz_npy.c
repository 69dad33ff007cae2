/* fuzz_npy.c: nn_load_npy of any bytes. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ad_graph *g = fuzz_begin();
    ad_var *x = nn_load_npy(g, size % 2 ? AD_F32 : AD_F64, fuzz_file(data, size));
    if (ad_is_nil(x) == ad_ok(g)) fuzz_fail("nil and an error go together", ad_error(g));
    return fuzz_end(g);
}
