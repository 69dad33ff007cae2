/* file.c: writes the files of an export, all or none of them. */
#define _XOPEN_SOURCE 700

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ops/compile/export.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#include <unistd.h>
static long process_number(void) { return (long)getpid(); }
static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}
#else
static long process_number(void) { return 0; }
static bool is_folder(const char *path) { return path == NULL; }
#endif

enum { PATH_SIZE = 4096 + 32 };

static bool temporary_name(char *to, const char *path) {
    return snprintf(to, PATH_SIZE, "%s.%ld.tmp", path, process_number()) < PATH_SIZE;
}

static int fail(ad_graph *g, const char *caller, const char *path, int fault) {
    return ad_fail(g, AD_EIO, "%s: cannot write %s: %s", caller, path, strerror(fault));
}

/* 0, or the fault. */
static int write_file(const char *path, const ad__text *text) {
    FILE *to = fopen(path, "wbx");
    if (to == NULL) return errno ? errno : EIO;
    errno = 0;
    bool whole = fwrite(text->at, 1, (size_t)text->n, to) == (size_t)text->n;
    int fault = whole ? 0 : errno ? errno : EIO;
    if (fclose(to) != 0 && fault == 0) fault = errno ? errno : EIO;
    if (fault) remove(path);
    return fault;
}

static void remove_temporaries(int n, char *const paths[]) {
    char temporary[PATH_SIZE];
    for (int i = 0; i < n; i++)
        if (temporary_name(temporary, paths[i])) remove(temporary);
}

int ad__write_files(ad_graph *g, const char *caller, int n, char *const paths[], const ad__text texts[]) {
    char temporary[PATH_SIZE];
    for (int i = 0; i < n; i++)
        if (is_folder(paths[i])) return fail(g, caller, paths[i], EISDIR);
    for (int i = 0; i < n; i++) {
        int fault = temporary_name(temporary, paths[i]) ? write_file(temporary, &texts[i]) : ENAMETOOLONG;
        if (fault == 0) continue;
        remove_temporaries(i, paths);
        return fail(g, caller, paths[i], fault);
    }
    for (int i = 0; i < n; i++) {
        temporary_name(temporary, paths[i]);
        if (rename(temporary, paths[i]) == 0) continue;
        int fault = errno;
        remove_temporaries(n, paths);
        return fail(g, caller, paths[i], fault);
    }
    return AD_OK;
}
