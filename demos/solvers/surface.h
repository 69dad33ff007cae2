/* surface.h: a minimal surface, which three of the solver programs find. */
#ifndef DEMOS_SOLVERS_SURFACE_H
#define DEMOS_SOLVERS_SURFACE_H

#include "demos/solvers/solver.h"
#include "ops/ops.h"

/* Heights over the square [-1, 1]^2, whose border is that of Scherk's surface z = log(cos y / cos x), which is minimal.
   The unknowns are the heights at the inner points of a grid. */
typedef struct {
    int64_t m, n;   /* inner points along a side, and all */
    ad_var *border; /* [m + 2, m + 2], 0 inside */
    ad_var *z;      /* [m, m], the unknowns */
} surface;

static inline double surface_scherk(int64_t m, int64_t row, int64_t column) {
    double step = 2.0 / (double)(m + 1), x = -1 + step * (double)column, y = -1 + step * (double)row;
    return log(cos(y) / cos(x));
}

static inline surface surface_new(ad_graph *g, int64_t m) {
    surface s = { m, m * m, ad_zeros(g, AD_F64, AD_SHAPE(m + 2, m + 2)), ad_param(g, AD_F64, NULL, AD_SHAPE(m, m)) };
    double *border = ad_data_mut(s.border);
    for (int64_t i = 0; i < (m + 2) * (m + 2) && border != NULL; i++) {
        int64_t row = i / (m + 2), column = i % (m + 2);
        bool inside = row > 0 && row <= m && column > 0 && column <= m;
        border[i] = inside ? 0 : surface_scherk(m, row, column);
    }
    return s;
}

/* The area: each cell of the grid is two triangles. It is convex in z. */
static inline ad_var *surface_area(const surface *s) {
    ad_var *all = ad_add(s->border, ad_pad(s->z, AD_SHAPE(1, 1), AD_SHAPE(1, 1), 0));
    int64_t end = s->m + 2;
    double h = 2.0 / (double)(s->m + 1);
    ad_var *across = ad_sub(ad_slice(all, 1, 1, end, 1), ad_slice(all, 1, 0, end - 1, 1));
    ad_var *along = ad_sub(ad_slice(all, 0, 1, end, 1), ad_slice(all, 0, 0, end - 1, 1)), *sum[2];
    for (int k = 0; k < 2; k++) {
        ad_var *dx = ad_slice(across, 0, k, end - 1 + k, 1), *dy = ad_slice(along, 1, k, end - 1 + k, 1);
        sum[k] = ad_sum(ad_sqrt(ad_adds(ad_muls(ad_add(ad_square(dx), ad_square(dy)), 1 / (h * h)), 1)));
    }
    return ad_muls(ad_add(sum[0], sum[1]), h * h / 2);
}

/* The largest distance to Scherk's surface. The grid's own error is of the order of the square of its step. */
static inline double surface_error(const surface *s, const double *z) {
    double most = 0;
    for (int64_t i = 0; i < s->n; i++)
        most = fmax(most, fabs(z[i] - surface_scherk(s->m, i / s->m + 1, i % s->m + 1)));
    return most;
}

#define SURFACE_OPTION(m)                                                                                              \
    { "m", "unknowns along a side", DEMO_WHOLE, m, 2, 300 }
static const double SURFACE_TOLERANCE = 1e-3;

#endif
