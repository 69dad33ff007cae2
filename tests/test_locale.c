/* test_locale.c: files do not depend on the locale, here one with decimal commas. */
#include <locale.h>

#include "nn/nn.h"
#include "tests/common.h"

static void speak_c(void) {
    char command[256];
    setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -rf %s", path_of("de_DE.UTF-8"));
    assert_int_equal(system(command), 0);
}

/* Compiles the locale, which few machines have, into the folder of the test; speak_c removes it. */
static bool speak_german(void) {
    char command[256], text[8];
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s 2>/dev/null", path_of("de_DE.UTF-8"));
    setenv("LOCPATH", test_folder, 1);
    if (system(command) != 0 || setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL) return speak_c(), false;
    snprintf(text, sizeof text, "%.1f", 1.5);
    assert_string_equal(text, "1,5");
    return true;
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void tables_have_points(void **state) {
    (void)state;
#ifndef AD_HAVE_CSV
    skip();
#endif
    if (!speak_german()) skip();
    ad_graph *g = ad_graph_new();
    write_text(path_of("a.csv"), "x\n0.25\n-1.5e-3\n");
    ad_var *x = nn_table_range(nn_read_csv(g, path_of("a.csv"), (nn_csv_opts){ 0 }), AD_F64, 0, 1);
    assert_ok(g);
    assert_true(ad_at(x, 0) == 0.25 && ad_at(x, 1) == -1.5e-3);
    ad_graph_free(g);
    unlink(path_of("a.csv"));
    speak_c();
}

/* Fits a line for some epochs and returns the slope. */
static double fit(int64_t epochs, bool resume) {
    ad_graph *g = ad_graph_new();
    nn_module *line = nn_linear(g, AD_F64, 1, 1, true);
    nn_dataset d = { ad_tensor(g, AD_F64, (double[]){ 0, 1, 2, 3 }, AD_SHAPE(4, 1)),
                     ad_tensor(g, AD_F64, (double[]){ 1, 3.5, 5, 7 }, AD_SHAPE(4, 1)) };
    nn_fit_opts o = { .epochs = epochs, .batch = 2, .checkpoint = path_of("a.checkpoint"), .resume = resume,
                      .log = path_of("log.csv") };
    nn_fit(line, nn_mse, nn_sgd(line, (nn_sgd_opts){ .lr = 0.0625 }), d, o, NULL);
    assert_ok(g);
    double slope = ad_item(nn_find_parameter(line, "weight"));
    ad_graph_free(g);
    return slope;
}

static void checkpoints_and_logs_have_points(void **state) {
    (void)state;
    char log[200] = "";
    if (!speak_german()) skip();
    setlocale(LC_NUMERIC, "C");
    double whole = fit(2, false);
    fit(1, false);
    setlocale(LC_NUMERIC, "de_DE.UTF-8");
    assert_true(fit(2, true) == whole);
    speak_c();
    FILE *f = fopen(path_of("log.csv"), "rb");
    assert_non_null(f);
    assert_true(fread(log, 1, sizeof log - 1, f) > 0);
    fclose(f);
    assert_contains(log, "\n2,4,0.0625,");
    unlink(path_of("log.csv"));
    unlink(path_of("a.checkpoint"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_have_points),
        cmocka_unit_test(checkpoints_and_logs_have_points),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
