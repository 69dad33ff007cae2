/* layout.h: where the elements of an array stand in a file; private to nn. */
#ifndef NN_FILE_LAYOUT_H
#define NN_FILE_LAYOUT_H

#include "nn/file/bytes.h"

typedef struct {
    nn__format format;
    ad_shape shape;
    int64_t begin; /* the first byte of the elements */
} nn__layout;

/* Of a whole file in memory. Each returns 0 or the code of g's error, whose sentence begins with caller and path. */
int nn__npy_layout(ad_graph *g, const char *caller, const char *path, const unsigned char *bytes, int64_t size,
                   nn__layout *to);
int nn__idx_layout(ad_graph *g, const char *caller, const char *path, const unsigned char *bytes, int64_t size,
                   nn__layout *to);

#endif
