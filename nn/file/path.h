/* path.h: how messages name a file; private to nn. */
#ifndef NN_FILE_PATH_H
#define NN_FILE_PATH_H

#include <string.h>

/* The end of a path: a message has limited space, and must hold the fault too. */
static inline const char *nn__path_end(const char *path) {
    enum { SHOWN = 240 };
    size_t n = strlen(path);
    return n > SHOWN ? path + (n - SHOWN) : path;
}

#endif
