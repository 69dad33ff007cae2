/* fuzz_npz.c: nn_load_npz of any bytes. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = { "x", "y", "" };
    ad_graph *g = fuzz_begin();
    const char *path = fuzz_file(data, size);
    for (int i = 0; i < 3; i++) {
        ad_var *x = nn_load_npz(g, AD_F64, path, names[i]);
        if (ad_is_nil(x) == ad_ok(g)) fuzz_fail("nil and an error go together", ad_error(g));
        fuzz_check_error(g);
    }
    return fuzz_end(g);
}
