/* fuzz_csv.c: nn_read_csv of any bytes, and the columns of the table. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

static void read_columns(ad_graph *g, const nn_table *t) {
    int64_t n = 0, rows = nn_table_rows(t);
    int columns = nn_table_columns(t);
    for (int i = 0; i < columns && i < 8; i++) {
        const char *name = nn_table_name(t, i);
        for (int64_t row = 0; row < rows; row++) {
            const char *text = nn_table_text(t, row, i);
            if (text != NULL && strlen(text) > (size_t)1 << 20) abort();
        }
        (void)nn_table_range(t, AD_F32, i, i + 1);
        fuzz_check_error(g);
        if (name == NULL) continue;
        (void)nn_table_numbers(t, AD_F64, 1, &name);
        fuzz_check_error(g);
        const char *const *words = nn_table_words(t, name, &n);
        ad_var *a = nn_table_classes(t, AD_F64, name, NULL);
        if (words != NULL && ad_ok(g)) {
            ad_var *b = nn_table_classes_of(t, AD_F64, name, n, words);
            for (int64_t k = 0; k < ad_numel(a); k++)
                if (ad_at(a, k) < ad_at(b, k) || ad_at(a, k) > ad_at(b, k)) fuzz_fail("classes differ", name);
        }
        fuzz_check_error(g);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    ad_graph *g = fuzz_begin();
    nn_csv_opts o = { .delimiter = data[0] & 1 ? ';' : 0, .no_header = data[0] & 2 };
    if (data[0] & 4) o.missing = "NA";
    nn_table *t = nn_read_csv(g, fuzz_file(data + 1, size - 1), o);
    if ((t == NULL) == ad_ok(g)) fuzz_fail("NULL and an error go together", ad_error(g));
    fuzz_check_error(g);
    read_columns(g, t);
    return fuzz_end(g);
}
