/* fuzz_checkpoint.c: nn_fit resumes from any bytes, with their checksum put right. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz_checksum.h"

/* A checkpoint is replaced by the training, so it is a file in a folder of its own. */
static const char *copy_to_folder(const char *from) {
    static char folder[40], path[60];
    char bytes[1 << 16];
    if (folder[0] == '\0') {
        strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-XXXXXX" : "fuzz-XXXXXX");
        if (mkdtemp(folder) == NULL) abort();
        snprintf(path, sizeof path, "%s/checkpoint", folder);
    }
    FILE *in = fopen(from, "rb"), *out = fopen(path, "wb");
    if (in == NULL || out == NULL) abort();
    size_t n = fread(bytes, 1, sizeof bytes, in);
    if (fwrite(bytes, 1, n, out) != n || fclose(out) != 0) abort();
    fclose(in);
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ad_graph *g = fuzz_begin();
    nn_module *m = nn_linear(g, AD_F64, 2, 1, true);
    nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.01, .momentum = 0.5 });
    nn_dataset d = { ad_ones(g, AD_F64, AD_SHAPE(4, 2)), ad_ones(g, AD_F64, AD_SHAPE(4, 1)) };
    nn_fit_opts o = { .epochs = 2, .batch = 2, .resume = true,
                      .checkpoint = copy_to_folder(fuzz_file_with_checksum(data, size)) };
    nn_training_state end;
    int rc = nn_fit(m, nn_mse, opt, d, o, &end);
    if ((rc == AD_OK) != ad_ok(g)) fuzz_fail("a code and an error go together", ad_error(g));
    if (rc == AD_OK && end.epoch > 2) fuzz_fail("too many epochs", "");
    return fuzz_end(g);
}
