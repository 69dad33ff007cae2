/* file.c: writes the files of an export, all or none of them. Only a process that is killed between two renames leaves
   files of two exports, each of them whole; ad__write_number
   makes that an error of the compiler. */
#include <assert.h>

#include "autodiff/base/durable.h"
#include "autodiff/base/fault.h"
#include "ops/compile/export.h"

enum { MOST_FILES = 3 };

/* Opens and writes the files. After a fault of files[*at], none is open. */
static const char *write_texts(int n, char *const paths[], const ad__text texts[], ad__durable files[], int *at) {
    for (*at = 0; *at < n; ++*at) {
        const char *fault = ad__durable_open(&files[*at], paths[*at]);
        if (fault == NULL) {
            fwrite(texts[*at].at, 1, (size_t)texts[*at].n, files[*at].to);
            continue;
        }
        for (int i = 0; i < *at; i++) ad__durable_drop(&files[i]);
        return fault;
    }
    return NULL;
}

int ad__write_files(ad_graph *g, const char *caller, int n, char *const paths[], const ad__text texts[]) {
    assert(n <= MOST_FILES);
    ad__durable files[MOST_FILES];
    int at;
    const char *fault = write_texts(n, paths, texts, files, &at);
    if (fault == NULL) fault = ad__durable_close_all(n, files, &at);
    int code = fault == ad__out_of_memory ? AD_ENOMEM : AD_EIO;
    return fault ? ad_fail(g, code, "%s: cannot write %s: %s", caller, paths[at], fault) : AD_OK;
}
