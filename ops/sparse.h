/* sparse.h: Jacobians and Hessians of which most elements are zero: which elements are not, and their values by few
   passes over the graph.

       ad_sparse_plan *j = ad_sparse_jacobian(y, x, (ad_sparse_opts){ .format = AD_CSR });
       ad_sparse_index(j, starts, columns);       // once; ad_sparse_count(j) elements
       ad_sparse_eval(j, new_x, values);          // again and again

   A plan is made once: the pattern is read off the graph, rows or columns that share no place get one colour, and for
   each colour one product of the matrix with a vector is recorded. Evaluating it costs as much as so many gradients,
   and no element is approximated. Elements of y and x are numbered in row-major order. */
#ifndef OPS_SPARSE_H
#define OPS_SPARSE_H

#include "autodiff/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the places of the elements are given. COO lists row and column of each, in the order of CSR. In CSR, elements
   stand row by row and in ascending order of columns in each row; in CSC, column by column and in ascending order of
   rows. */
typedef enum { AD_COO, AD_CSR, AD_CSC } ad_sparse_format;

/* Which part of a Hessian is wanted; the diagonal belongs to each. */
typedef enum { AD_TRIANGLE_BOTH, AD_TRIANGLE_LOWER, AD_TRIANGLE_UPPER } ad_sparse_triangle;

/* What gets colours. The first three are for Jacobians, the last two for Hessians. */
typedef enum {
    AD_COLOUR_AUTO,    /* Jacobians: columns, rows, or both, whatever takes the fewest products. Hessians: star */
    AD_COLOUR_COLUMNS, /* products J v */
    AD_COLOUR_ROWS,    /* products J^T u */
    AD_COLOUR_BOTH,    /* products of both kinds: for matrices with some full rows and some full columns */
    AD_COLOUR_STAR,    /* products H v; each element is read from one of them */
    AD_COLOUR_ACYCLIC  /* the same with fewer colours; elements are found by substitution, which rounds more */
} ad_colouring;

/* The order in which vertices get the first colour that is free. Degrees count the vertices that must differ. */
typedef enum {
    AD_ORDER_AUTO,             /* natural; and if more colours than the fewest possible are used, the best of the first
                                  three */
    AD_ORDER_NATURAL,          /* as they are numbered */
    AD_ORDER_LARGEST_FIRST,    /* by degree */
    AD_ORDER_SMALLEST_LAST,    /* last is the vertex of the smallest degree among those that are not placed, and so on
    */
    AD_ORDER_INCIDENCE_DEGREE, /* next is the vertex of the largest degree among those that are placed */
    AD_ORDER_DYNAMIC_LARGEST   /* next is the vertex of the largest degree among those that are not placed */
} ad_colour_order;

typedef struct {
    ad_sparse_format format;
    ad_sparse_triangle triangle; /* of Hessians */
    int base;             /* number of the first row and column, and of the first element in starts: 0 or 1 */
    ad_colouring colouring;
    ad_colour_order order;
} ad_sparse_opts;

/* A plan. It lives in the innermost open scope, as a Var does. */
typedef struct ad_sparse_plan ad_sparse_plan;

/* A plan for the Jacobian of y by x, [elements of y, elements of x]. NULL, with the graph's error, after AD_EVALUE
   (nil, NULL, an option out of range), AD_EGRAPH, AD_EDTYPE (y and x differ), AD_ESHAPE (2^31 elements or more),
   AD_EGRAD (an op between has no vjp rule), AD_ESTALE as in ad_backward, and AD_ENOMEM.

   The pattern is that of the graph: it holds for all values of leaves, and an element whose value happens to be zero is
   in it. But indices (ad_gather, ad_take_axis ..) are taken at their present values; if they change, ad_sparse_eval
   fails with AD_ESTALE, and the plan must be made again. */
AD_API ad_sparse_plan *ad_sparse_jacobian(ad_var *y, ad_var *x, ad_sparse_opts o);
/* A plan for the Hessian of f, of one element, by x. Errors as above. */
AD_API ad_sparse_plan *ad_sparse_hessian(ad_var *f, ad_var *x, ad_sparse_opts o);
/* A plan for the Hessian by x of the Lagrangian sigma f + sum of lambda g. sigma is a scalar, and lambda has the shape
   of g; both are leaves that the caller changes by ad_set. f or g may be NULL, and then its factor is ignored. */
AD_API ad_sparse_plan *ad_sparse_lagrangian(ad_var *f, ad_var *sigma, ad_var *g, ad_var *lambda, ad_var *x,
                                       ad_sparse_opts o);

/* ---- the pattern ------------------------------------------------------------------------------------------------- */

/* 0 for NULL. */
AD_API int64_t ad_sparse_count(const ad_sparse_plan *p); /* elements */
AD_API int64_t ad_sparse_rows(const ad_sparse_plan *p);
AD_API int64_t ad_sparse_columns(const ad_sparse_plan *p);
AD_API int ad_sparse_colours(const ad_sparse_plan *p); /* products that are computed for the values */

/* Writes the places of the elements. COO: i has the row and j the column of each. CSR: i has the place in j at which
   each row starts, and one number more, the end of the last; j has the column of each. CSC: i has the row of each,
   and j the starts of the columns. i or j may be NULL. AD_EVALUE if the plan is NULL. The second form writes 64-bit
   numbers. */
AD_API int ad_sparse_index(const ad_sparse_plan *p, int32_t *i, int32_t *j);
AD_API int ad_sparse_index64(const ad_sparse_plan *p, int64_t *i, int64_t *j);
/* The colour of column k of the matrix, and of row k: 0, 1, ..; -1 if it has none. */
AD_API int ad_sparse_column_colour(const ad_sparse_plan *p, int64_t k);
AD_API int ad_sparse_row_colour(const ad_sparse_plan *p, int64_t k);

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* The elements [count] as a Var, in the order of the format, for ad_eval, ad_compile, and expressions that are
   differentiated further. The caller's graph computes it again as it does any other Var. Nil for NULL. */
AD_API ad_var *ad_sparse_values(const ad_sparse_plan *p);
/* Sets the leaf x to the elements at x, unless that is NULL, evaluates the values and copies them to `values`, unless
   that is NULL. Both have x's dtype. Returns 0 or the code of the graph's error: AD_EVALUE if x is given and is no
   leaf, AD_ESTALE if indices have changed that the pattern depends on. */
AD_API int ad_sparse_eval(ad_sparse_plan *p, const void *x, void *values);

#ifdef __cplusplus
}
#endif
#endif
