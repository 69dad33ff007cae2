/* test_data_csv.c: CSV files as tables, their columns as numbers and classes, and malformed files. */
#include <unistd.h>

#include "nn/nn.h"
#include "tests/common.h"

static int remove_file(void **state) {
    unlink(path_of("a.csv"));
    return remove_folder(state);
}

static const char *write_bytes(const char *bytes, size_t n) {
    FILE *f = fopen(path_of("a.csv"), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path_of("a.csv");
}

static const char *write_text(const char *text) { return write_bytes(text, strlen(text)); }

#ifdef AD_HAVE_CSV

static const char small[] = "\xef\xbb\xbfsize,\"the place\",price\r\n"
                            "1.5,\"NEAR, \"\"BAY\"\"\",10\r\n"
                            "\r\n"
                            ",INLAND,-2e3\r\n"
                            "3,\"two\nlines\",NA\r\n"
                            " 4 ,INLAND,7";

static void a_table_has_names_and_texts(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_table *t = nn_read_csv(g, write_text(small), (nn_csv_opts){ .missing = "NA" });
    assert_ok(g);
    assert_int_equal(nn_table_rows(t), 4);
    assert_int_equal(nn_table_columns(t), 3);
    assert_string_equal(nn_table_name(t, 0), "size");
    assert_string_equal(nn_table_name(t, 1), "the place");
    assert_null(nn_table_name(t, 3));
    assert_string_equal(nn_table_text(t, 0, 1), "NEAR, \"BAY\"");
    assert_string_equal(nn_table_text(t, 2, 1), "two\nlines");
    assert_null(nn_table_text(t, 1, 0));
    assert_null(nn_table_text(t, 2, 2));
    assert_null(nn_table_text(t, 4, 0));
    ad_graph_free(g);
}

static void columns_become_numbers_and_classes(void **state) {
    (void)state;
    for (ad_dtype dtype = AD_F32; dtype <= AD_F64; dtype++) {
        ad_graph *g = ad_graph_new();
        nn_table *t = nn_read_csv(g, write_text(small), (nn_csv_opts){ .missing = "NA" });
        ad_var *x = nn_table_numbers(t, dtype, 2, (const char *[]){ "price", "size" });
        const double numbers[] = { 10, 1.5, -2000, NAN, NAN, 3, 7, 4 }, classes[] = { 1, 0, 2, 0 };
        assert_true(ad_shape_equal(ad_shape_of(x), AD_SHAPE(4, 2)));
        for (int i = 0; i < 8; i++) assert_close(ad_at(x, i), numbers[i], 0);
        int64_t n;
        ad_var *y = nn_table_classes(t, dtype, "the place", &n);
        assert_int_equal(n, 3);
        for (int i = 0; i < 4; i++) assert_close(ad_at(y, i), classes[i], 0);
        ad_var *means = nn_column_means(x), *full = nn_fill_missing(x, means);
        assert_close(ad_at(means, 0), -661, 1e-4);
        assert_close(ad_at(means, 1), 8.5 / 3, 1e-6);
        for (int i = 0; i < 8; i++)
            assert_true(ad_at(full, i) == (isnan(numbers[i]) ? ad_at(means, i % 2) : ad_at(x, i)));
        y = nn_table_classes(t, dtype, "price", &n); /* one value is missing */
        assert_true(n == 3 && isnan(ad_at(y, 2)));
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void without_a_header_and_with_another_delimiter(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_table *t = nn_read_csv(g, write_text("1;2;3\n4;5;6\n"), (nn_csv_opts){ .delimiter = ';', .no_header = true });
    ad_var *x = nn_table_range(t, AD_F64, 1, 3);
    const double want[] = { 2, 3, 5, 6 };
    assert_ok(g);
    for (int i = 0; i < 4; i++) assert_true(ad_at(x, i) == want[i]);
    assert_null(nn_table_name(t, 0));
    assert_true(ad_is_nil(nn_table_range(t, AD_F64, 1, 4)));
    assert_contains(ad_error(g), "columns 1 to 4 of 3");
    ad_graph_free(g);
}

/* Some fields cross the boundary between two chunks of the reader. */
static void a_large_table_is_read_whole(void **state) {
    (void)state;
    enum { ROWS = 5000 };
    FILE *f = fopen(path_of("a.csv"), "wb");
    fprintf(f, "a,b\n");
    for (int i = 0; i < ROWS; i++) fprintf(f, "%d,\"%d.25\"\n", i, -i);
    fclose(f);
    ad_graph *g = ad_graph_new();
    nn_table *t = nn_read_csv(g, path_of("a.csv"), (nn_csv_opts){ 0 });
    ad_var *x = nn_table_numbers(t, AD_F64, 2, (const char *[]){ "a", "b" });
    assert_ok(g);
    for (int i = 1; i < ROWS; i++) assert_true(ad_at(x, 2 * i) == i && ad_at(x, 2 * i + 1) == -i - 0.25);
    ad_graph_free(g);
}

static void bad_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        { "", "has no header" },
        { "a,b\n1,2\n3\n", "line 3 has 1 fields, and the first line has 2" },
        { "a,b\n1,2,3\n", "line 2 has 3 fields, and the first line has 2" },
        { "a,b\n1,\"2\n", "line 2: quotes do not match" },
        { "a,b\n1,2\"3\n", "line 2: quotes do not match" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ad_graph *g = ad_graph_new();
        assert_null(nn_read_csv(g, write_text(bad[i].text), (nn_csv_opts){ 0 }));
        assert_int_equal(ad_error_code(g), AD_EIO);
        assert_contains(ad_error(g), "a.csv: ");
        assert_contains(ad_error(g), bad[i].sentence);
        ad_graph_free(g);
    }
    ad_graph *g = ad_graph_new();
    assert_null(nn_read_csv(g, "/no/such", (nn_csv_opts){ 0 }));
    assert_string_equal(ad_error(g), "read_csv: /no/such: No such file or directory");
    ad_clear_error(g);
    nn_table *t = nn_read_csv(g, write_text("a,b\n1,x\n"), (nn_csv_opts){ 0 });
    assert_true(ad_is_nil(nn_table_numbers(t, AD_F32, 1, (const char *[]){ "b" })));
    assert_contains(ad_error(g), "row 0 of column 1: x is not a number");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_table_classes(t, AD_F32, "c", NULL)));
    assert_contains(ad_error(g), "has no column c");
    ad_clear_error(g);
    assert_fails(g, nn_table_numbers(t, AD_F32, 2, NULL), AD_EVALUE, "a.csv: 2 columns: a number of 0 or more");
    assert_fails(g, nn_table_numbers(t, AD_F32, -1, NULL), AD_EVALUE, "a.csv: -1 columns");
    const char *const some[] = { "a", NULL };
    assert_fails(g, nn_table_numbers(t, AD_F32, 2, some), AD_EVALUE, "a.csv: the name of a column is NULL");
    assert_fails(g, nn_table_classes(t, AD_F32, NULL, NULL), AD_EVALUE, "a.csv: the name of a column is NULL");
    assert_fails(g, nn_table_range(t, AD_F32, 1, 0), AD_EVALUE, "columns 1 to 0 of 2");
    assert_shape(nn_table_numbers(t, AD_F32, 0, NULL), AD_SHAPE(1, 0));
    assert_true(ad_is_nil(nn_table_numbers(NULL, AD_F32, 0, NULL)));
    assert_true(ad_is_nil(nn_table_classes(NULL, AD_F32, "a", NULL)) && ad_is_nil(nn_table_range(NULL, AD_F32, 0, 1)));
    assert_true(nn_table_rows(NULL) == 0 && nn_table_name(NULL, 0) == NULL && nn_table_text(NULL, 0, 0) == NULL);
    assert_ok(g);
    assert_null(nn_read_csv(g, NULL, (nn_csv_opts){ 0 }));
    assert_string_equal(ad_error(g), "read_csv: path is NULL");
    ad_graph_free(g);
}

static void bytes_that_are_no_text_are_refused(void **state) {
    (void)state;
#define BYTES(text) text, sizeof text - 1
    static const struct {
        const char *bytes;
        size_t n;
        const char *sentence;
    } bad[] = {
        { BYTES("a,b\n1,\"1\0xyz\"\n"), "line 2 has a NUL byte in field 2" },
        { BYTES("a\n1\n2\0\n"), "line 3 has a NUL byte in field 1" },
        { BYTES("a\0b,c\n1,2\n"), "line 1 has a NUL byte in field 1" },
        { BYTES("\xff\xfe" "a\0\n\0" "1\0\n\0"), "is in UTF-16; convert it to UTF-8" },
        { BYTES("\xfe\xff" "\0a\0\n" "\0" "1\0\n"), "is in UTF-16; convert it to UTF-8" },
        { BYTES("a\0\n\0" "1\0\n\0"), "has a NUL byte" }, /* UTF-16 without a byte order mark */
        { BYTES("\0a\0\n\0" "1\0\n"), "has a NUL byte" },
        { BYTES("\0\0\xfe\xff\0\0\0a\0\0\0\n"), "has a NUL byte" }, /* UTF-32 */
    };
#undef BYTES
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ad_graph *g = ad_graph_new();
        assert_null(nn_read_csv(g, write_bytes(bad[i].bytes, bad[i].n), (nn_csv_opts){ 0 }));
        assert_int_equal(ad_error_code(g), AD_EIO);
        assert_contains(ad_error(g), bad[i].sentence);
        ad_graph_free(g);
    }
}

static void numbers_are_decimal_and_fit(void **state) {
    (void)state;
    static const char *const texts[] = { "0x10", "-0X1p3", "nan(1)", "1e", "1 2", "1_000", "0b1", "1,5", "--1", "1f",
                                         "infinite", "true" };
    char text[60];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ad_graph *g = ad_graph_new();
        snprintf(text, sizeof text, "a\n\"%s\"\n", texts[i]);
        nn_table *t = nn_read_csv(g, write_text(text), (nn_csv_opts){ 0 });
        assert_ok(g);
        assert_string_equal(nn_table_text(t, 0, 0), texts[i]);
        assert_fails(g, nn_table_range(t, AD_F64, 0, 1), AD_EVALUE, "is not a number");
        ad_graph_free(g);
    }
    ad_graph *g = ad_graph_new();
    nn_table *t = nn_read_csv(g, write_text("a\n-1e39\n+.5\ninf\n-Infinity\nNaN\n1e-400\n"), (nn_csv_opts){ 0 });
    ad_var *x = nn_table_range(t, AD_F64, 0, 1);
    const double want[] = { -1e39, 0.5, INFINITY, -INFINITY, NAN, 0 };
    for (int i = 0; i < 6; i++) assert_close(ad_at(x, i), want[i], 0);
    assert_fails(g, nn_table_range(t, AD_F32, 0, 1), AD_EVALUE, "row 0 of column 0: -1e39 is too large for f32");
    t = nn_read_csv(g, write_text("a\n-1e400\n"), (nn_csv_opts){ 0 });
    assert_fails(g, nn_table_range(t, AD_F64, 0, 1), AD_EVALUE, "-1e400 is too large for f64");
    ad_graph_free(g);
}

static void a_name_of_two_columns_names_neither(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_table *t = nn_read_csv(g, write_text("a,b,a\n1,2,3\n"), (nn_csv_opts){ 0 });
    assert_fails(g, nn_table_numbers(t, AD_F64, 1, (const char *[]){ "a" }), AD_EVALUE,
                 "a.csv: columns 0 and 2 are both called a; take nn_table_range");
    assert_fails(g, nn_table_classes(t, AD_F64, "a", NULL), AD_EVALUE, "both called a");
    assert_null(nn_table_words(t, "a", NULL));
    ad_clear_error(g);
    assert_true(ad_item(nn_table_numbers(t, AD_F64, 1, (const char *[]){ "b" })) == 2);
    assert_true(ad_item(nn_table_range(t, AD_F64, 2, 3)) == 3);
    assert_ok(g);
    ad_graph_free(g);
}

static void two_files_can_have_the_same_classes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    int64_t n = -1;
    nn_table *first = nn_read_csv(g, write_text("kind\neel\ncod\n\"\"\nbass\neel\n"), (nn_csv_opts){ 0 });
    const char *const *words = nn_table_words(first, "kind", &n);
    assert_int_equal(n, 3);
    assert_string_equal(words[0], "bass");
    assert_string_equal(words[2], "eel");
    nn_table *second = nn_read_csv(g, write_text("kind\neel\ncod\n"), (nn_csv_opts){ 0 });
    ad_var *own = nn_table_classes(second, AD_F32, "kind", NULL);
    ad_var *y = nn_table_classes_of(second, AD_F32, "kind", n, words);
    assert_true(ad_at(own, 0) == 1 && ad_at(y, 0) == 2 && ad_at(y, 1) == 1);
    y = nn_table_classes_of(first, AD_F32, "kind", 4, (const char *[]){ "eel", "tench", "cod", "bass" });
    const double want[] = { 0, 2, NAN, 3, 0 };
    for (int i = 0; i < 5; i++) assert_close(ad_at(y, i), want[i], 0);
    assert_ok(g);
    const char *const some[] = { "eel", "cod" }, *const null[] = { NULL };
    const char *const twice[] = { "eel", "bass", "cod", "eel" };
    assert_fails(g, nn_table_classes_of(first, AD_F32, "kind", 2, some), AD_EVALUE,
                 "row 3 of column 0: bass is not among the 2 words");
    assert_fails(g, nn_table_classes_of(first, AD_F32, "kind", 4, twice), AD_EVALUE, "two of the words are eel");
    assert_fails(g, nn_table_classes_of(first, AD_F32, "kind", 1, null), AD_EVALUE, "word 0 is NULL");
    assert_fails(g, nn_table_classes_of(first, AD_F32, "kind", 1, NULL), AD_EVALUE, "1 words: a number of 0 or more");
    assert_fails(g, nn_table_classes_of(first, AD_F32, "kind", -1, some), AD_EVALUE, "-1 words");
    assert_fails(g, nn_table_classes_of(first, AD_F32, "sort", 2, some), AD_EVALUE, "has no column sort");
    assert_fails(g, nn_table_classes_of(first, AD_F32, "kind", 0, NULL), AD_EVALUE, "is not among the 0 words");
    assert_null(nn_table_words(first, NULL, &n));
    assert_int_equal(n, 0);
    ad_clear_error(g);
    assert_true(nn_table_words(NULL, "kind", &n) == NULL && ad_is_nil(nn_table_classes_of(NULL, AD_F32, "a", 2, some)));
    assert_null(nn_read_csv(g, path_of("a.csv"), (nn_csv_opts){ .delimiter = '"' }));
    assert_string_equal(ad_error(g), "read_csv: the delimiter cannot be a quote or the end of a line");
    ad_graph_free(g);
}

static void tables_of_closed_scopes_are_noticed(void **state) {
    (void)state;
#ifndef SANITIZED
    ad_graph *g = ad_graph_new();
    ad_mark m = ad_begin(g);
    nn_table *t = nn_read_csv(g, write_text("a\n1\n"), (nn_csv_opts){ 0 });
    ad_end(g, m);
#define SAYS(call)                                                                                                     \
    do {                                                                                                               \
        assert_true(call);                                                                                             \
        assert_string_equal(ad_error(g), "table: the table was made in a scope that is closed");                       \
        ad_clear_error(g);                                                                                             \
    } while (0)
    SAYS(nn_table_rows(t) == 0);
    SAYS(nn_table_columns(t) == 0);
    SAYS(nn_table_name(t, 0) == NULL);
    SAYS(nn_table_text(t, 0, 0) == NULL);
    SAYS(ad_is_nil(nn_table_range(t, AD_F64, 0, 1)));
    SAYS(ad_is_nil(nn_table_numbers(t, AD_F64, 0, NULL)));
    SAYS(ad_is_nil(nn_table_classes(t, AD_F64, "a", NULL)));
    SAYS(ad_is_nil(nn_table_classes_of(t, AD_F64, "a", 0, NULL)));
    SAYS(nn_table_words(t, "a", NULL) == NULL);
#undef SAYS
    ad_graph_free(g);
#endif
}

static void memory_may_run_out(void **state) {
    (void)state;
    write_text(small);
    for (int64_t at = 1, failures = 1; failures > 0; at++) {
        test_memory memory = { .fail_at = at, .fail_on = true };
        ad_graph *g = test_graph(&memory);
        nn_table *t = nn_read_csv(g, path_of("a.csv"), (nn_csv_opts){ 0 });
        failures = memory.failures;
        if (failures > 0) assert_null(t);
        if (failures > 0) assert_contains(ad_error(g), "out of memory");
        ad_graph_free(g);
        assert_all_released(&memory);
    }
}

#else
static void tables_ask_for_libcsv(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_null(nn_read_csv(g, write_text("a\n1\n"), (nn_csv_opts){ 0 }));
    assert_int_equal(ad_error_code(g), AD_EABSENT);
    assert_contains(ad_error(g), "this build has no libcsv");
    ad_graph_free(g);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef AD_HAVE_CSV
        cmocka_unit_test(a_table_has_names_and_texts),
        cmocka_unit_test(columns_become_numbers_and_classes),
        cmocka_unit_test(without_a_header_and_with_another_delimiter),
        cmocka_unit_test(a_large_table_is_read_whole),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(numbers_are_decimal_and_fit),
        cmocka_unit_test(a_name_of_two_columns_names_neither),
        cmocka_unit_test(two_files_can_have_the_same_classes),
        cmocka_unit_test(tables_of_closed_scopes_are_noticed),
        cmocka_unit_test(memory_may_run_out),
#else
        cmocka_unit_test(tables_ask_for_libcsv),
#endif
    };
    return cmocka_run_group_tests(tests, make_folder, remove_file);
}
