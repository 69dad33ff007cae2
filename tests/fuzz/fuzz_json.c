/* fuzz_json.c: the reader of JSON with any bytes: what has no fault can be walked through, and counted. */
#define _GNU_SOURCE
#include "nn/file/json.h"
#include "tests/fuzz/fuzz.h"

/* Reads a value, as deep as the reader allows: 64. */
static void walk(char **at) {
    int64_t number;
    char kind = nn__json_kind(at);
    if (kind == '"') {
        const char *text = nn__json_string(at);
        if (nn__utf8_size(text, strlen(text)) == 0 && *text != '\0') fuzz_fail("a string is not UTF-8", text);
        return;
    }
    if (kind != '{' && kind != '[') {
        if (kind == '-' || (kind >= '0' && kind <= '9')) (void)nn__json_integer(at, &number);
        else nn__json_skip(at);
        return;
    }
    int n = nn__json_count(*at), met = 0;
    for (bool more = nn__json_enter(at); more; more = nn__json_more(at), met++) {
        if (kind == '{') (void)nn__json_key(at);
        walk(at);
    }
    if (met != n) fuzz_fail("the count", "differs from the values");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), *at = text;
    if (text == NULL) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    const char *fault = nn__json_fault(text, size);
    if (fault != NULL && *fault == '\0') fuzz_fail("a fault", "has no sentence");
    if (fault == NULL) walk(&at);
    free(text);
    return 0;
}
