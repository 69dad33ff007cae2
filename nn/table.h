/* table.h: CSV files as tables, and their columns as arrays; included by nn.h. */
#ifndef NN_TABLE_H
#define NN_TABLE_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A table of text. It belongs to the graph's innermost scope. */
typedef struct nn_table nn_table;

/* A field that is false or 0 has its default. */
typedef struct {
    char delimiter;      /* ',' */
    bool no_header;      /* the first line is data; by default it has the names of the columns */
    const char *missing; /* text of a missing value, such as "NA" or "?"; an empty field is always missing */
} nn_csv_opts;
/* Reads a CSV file (RFC 4180: fields may be quoted) with libcsv; ignores blank lines. The text is UTF-8 or another
   encoding without NUL bytes. NULL and a graph error where it cannot: AD_EIO, or AD_EABSENT in a build without
   libcsv. */
AD_API nn_table *nn_read_csv(ad_graph *g, const char *path, nn_csv_opts o);

/* For a NULL table, and for a row or column out of range: 0 or NULL. */
AD_API int64_t nn_table_rows(const nn_table *t);                             /* without the header */
AD_API int nn_table_columns(const nn_table *t);                              /* how many */
AD_API const char *nn_table_name(const nn_table *t, int column);              /* NULL where there is no header */
AD_API const char *nn_table_text(const nn_table *t, int64_t row, int column); /* NULL for a missing value too */

/* Columns as numbers [rows,n], with NaN for missing values. A number is decimal, inf or nan: any other text is an
   error, and so are a number that is too large for dtype and a name that two columns have. */
AD_API ad_var *nn_table_numbers(const nn_table *t, ad_dtype dtype, int n, const char *const names[]);
AD_API ad_var *nn_table_range(const nn_table *t, ad_dtype dtype, int from, int to); /* columns from .. to-1 */
/* A column of words as class numbers [rows], with NaN for missing values. Classes are numbered in the order of strcmp;
   *classes, unless NULL, becomes their number. */
AD_API ad_var *nn_table_classes(const nn_table *t, ad_dtype dtype, const char *name, int64_t *classes);
/* The words of a column in that order, in an array of the innermost scope; *n, unless NULL, becomes their number. NULL
   after an error. */
AD_API const char *const *nn_table_words(const nn_table *t, const char *name, int64_t *n);
/* The same as nn_table_classes, numbered as these n words are: for files whose classes must agree. A word of the column
   that is not among them is an error.

       int64_t n;
       const char *const *words = nn_table_words(train, "kind", &n);
       ad_var *y = nn_table_classes_of(test, AD_F32, "kind", n, words); */
AD_API ad_var *nn_table_classes_of(const nn_table *t, ad_dtype dtype, const char *name, int64_t n,
                                   const char *const words[]);

/* Missing values in arrays are NaN. */
AD_API ad_var *nn_column_means(ad_var *x);                 /* [n,c] -> [1,c]: means of the values that are not NaN */
AD_API ad_var *nn_fill_missing(ad_var *x, ad_var *values); /* replaces NaN by values, which are broadcast to x */

#ifdef __cplusplus
}
#endif
#endif
