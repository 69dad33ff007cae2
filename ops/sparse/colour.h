/* colour.h: colours of vertices, and which product of a matrix with a sum of columns or rows each element is read from;
   private to this folder. */
#ifndef OPS_SPARSE_COLOUR_H
#define OPS_SPARSE_COLOUR_H

#include "ops/sparse.h"
#include "ops/sparse/matrix.h"

/* The vertices that must not have one colour: those in one row of `through`, or neighbours if that is NULL. */
typedef struct {
    ad_graph *g;
    const ad__sparsity *a; /* by vertex: the rows of `through` that it is in, or its neighbours */
    const ad__sparsity *through;
} ad__near;

/* Writes the vertices in the given order, which is not AD_ORDER_AUTO. */
int ad__order_make(const ad__near *near, ad_colour_order order, int32_t *to);

/* A colouring, and by element of the matrix, which is symmetric for stars and forests, what it is read from. Arrays are
   in the memory of the open scope. Colours are 0, 1, ..; -1 is none. */
typedef struct {
    int32_t n_columns, n_rows; /* colours of columns and rows; products come in this order */
    int32_t *column, *row;     /* colours; NULL: none has one */
    int32_t *product, *at;     /* by element: at which element of which product */
    /* For forests: the elements below the diagonal in the order in which they are found, and those before that are
       subtracted from element order[k]: minus[start[k]] to minus[start[k + 1] - 1]. NULL: nothing is subtracted. */
    int64_t n_order, *order, *start, *minus;
} ad__colours;

/* Greedy, in the order that is given. */
int ad__colour_columns(ad_graph *g, const ad__sparsity *a, const ad__sparsity *transposed, const int32_t *order,
                       ad__colours *to);
int ad__colour_rows(ad_graph *g, const ad__sparsity *a, const ad__sparsity *transposed, const int32_t *order,
                    ad__colours *to);
/* Rows of more than `most` elements by products of rows, all others by products of columns. */
int ad__colour_split(ad_graph *g, const ad__sparsity *a, int32_t most, ad__colours *to);
/* order is that of the vertices of `both`, which ad__sparsity_bipartite made of a. */
int ad__colour_both(ad_graph *g, const ad__sparsity *a, const ad__sparsity *both, const int32_t *order,
                    ad__colours *to);
int ad__colour_star(ad_graph *g, const ad__sparsity *a, const int32_t *order, ad__colours *to);
int ad__colour_acyclic(ad_graph *g, const ad__sparsity *a, const int32_t *order, ad__colours *to);

/* The steps that a colouring takes which goes through all pairs of elements of a row. Where it would be more than
   AD__MOST_WORK, long rows get colours of their own. */
#define AD__MOST_WORK 1e8
double ad__row_work(const ad__sparsity *a);
/* How long a row may be so that it gets no colour of its own: with d longer rows, at least d colours and those of the
   longest of the others are needed. *fewest is that sum. */
int ad__row_longest(ad_graph *g, const ad__sparsity *a, int32_t *longest, int32_t *fewest);

/* For these: numbers the edges of a symmetric matrix, one for two elements; -1 on the diagonal. */
int64_t *ad__number_edges(ad_graph *g, const ad__sparsity *a, int64_t *n_edges);
/* Memory of the open scope, every byte of which is `byte`. */
void *ad__filled(ad_graph *g, int64_t n, size_t size, int byte);

#endif
