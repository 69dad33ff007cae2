/* plan.h: a plan for the values of a sparse matrix; private to this folder. */
#ifndef OPS_SPARSE_PLAN_H
#define OPS_SPARSE_PLAN_H

#include "ops/kernels/sparse/read.h"
#include "ops/sparse/colour.h"

/* A Var whose values the pattern was taken from, and what they were. */
typedef struct {
    const ad_var *var;
    uint64_t hash;
} ad__source;

struct ad_sparse_plan {
    ad_graph *g;
    const char *caller;
    ad_var *y, *x; /* the matrix is the Jacobian of y by x; y is the gradient for a Hessian */
    bool symmetric;
    ad_sparse_opts opts;
    int64_t rows, columns;
    int32_t *row, *column; /* of each element, in the order of the format */
    int32_t n_columns, n_rows;           /* products by columns, then by rows */
    int32_t *column_colour, *row_colour; /* NULL: none has one */
    ad__reads reads;
    int n_sources;
    ad__source *sources;
    ad_var *values;
};

/* Memory that lasts as long as the plan, with a copy of n items of `from`, or zeros if that is NULL. NULL, with the
   graph's error, if memory is short. */
void *ad__plan_keep(ad_sparse_plan *p, const void *from, int64_t n, size_t size);
/* Finds the pattern and the colours, and what each element is read from. */
int ad__plan_pattern(ad_sparse_plan *p);
/* AD_ESTALE if Vars have changed that the pattern was taken from. */
int ad__plan_check_sources(const ad_sparse_plan *p);
/* Sets p->values to a Var: elements read from products. */
int ad__plan_values(ad_sparse_plan *p);
/* Colours the matrix a in the way that the options say. */
int ad__plan_colours(const ad_sparse_plan *p, const ad__sparsity *a, ad__colours *to);
/* Applies the op that reads elements from n products. */
ad_var *ad__sparse_read(const ad__reads *reads, int n, ad_var *const products[]);

#endif
