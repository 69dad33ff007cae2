/* table_private.h: a table in memory; private to nn. */
#ifndef NN_FILE_TABLE_PRIVATE_H
#define NN_FILE_TABLE_PRIVATE_H

#include "nn/module/module_private.h"
#include "nn/table.h"

struct nn_table {
    nn__object object;
    const char *path; /* as shown in messages */
    int64_t rows;
    int columns;
    const char **names; /* [columns]; NULL without a header */
    const char **cells; /* [rows, columns]; NULL for a missing value */
};

#endif
