/* matrix.h: patterns of matrices, found in a graph; private to this folder. */
#ifndef OPS_SPARSE_MATRIX_H
#define OPS_SPARSE_MATRIX_H

#include "autodiff/graph/node.h"

/* The places of a matrix's elements, row by row; columns ascend in each row. */
typedef struct {
    int32_t rows, columns;
    int64_t *start; /* by row, and the end of the last */
    int32_t *column;
} ad__sparsity;
static inline int64_t ad__sparsity_count(const ad__sparsity *a) { return a->start[a->rows]; }

/* The functions below return AD_OK, or a code with the graph's error. Arrays that they make are in the memory of the
   open scope. */

/* A matrix with room for `count` elements. */
int ad__sparsity_make(ad_graph *g, int64_t rows, int64_t columns, int64_t count, ad__sparsity *to);
int ad__sparsity_transpose(ad_graph *g, const ad__sparsity *a, ad__sparsity *to);
/* The elements of a and of its transpose. */
int ad__sparsity_symmetric(ad_graph *g, const ad__sparsity *a, ad__sparsity *to);
/* The adjacency of a graph with a vertex for each column of a, then one for each row, and an edge for each element. */
int ad__sparsity_bipartite(ad_graph *g, const ad__sparsity *a, ad__sparsity *to);

/* A Var whose values a pattern was taken from. */
typedef struct ad__pattern_source ad__pattern_source;
struct ad__pattern_source {
    ad__pattern_source *next;
    const ad_var *var;
};

/* The pattern of the Jacobian of y by x; *sources are put in front. */
int ad__pattern_find(ad_graph *g, ad_var *y, ad_var *x, ad__sparsity *to, ad__pattern_source **sources);

#endif
