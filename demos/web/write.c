/* write.c: the playground's second page: an expression at a point, its gradient, checks, and its map. */
#include "demos/web/expression.h"
#include "demos/web/page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 64 }; /* of the map, in pixels */

typedef struct {
    ad_graph *graph;
    expression e;
    char text[MOST_TEXT];       /* the page writes it */
    ad_var *x, *y, *f;          /* scalars */
    ad_var *xs, *ys, *map;      /* arrays [SIDE,SIDE] */
    double pixels[SIDE * SIDE]; /* the map's values */
    double hessian[2][2];
    ad_check_report report;
} expr;

PAGE expr *expr_new(void) { return calloc(1, sizeof(expr)); }
PAGE char *expr_text(expr *p) { return p->text; }
PAGE int expr_text_size(void) { return MOST_TEXT; }
PAGE const char *expr_names(void) { return expression_functions(); }

/* Reads the text. Returns 0, or -1 with expr_fault and expr_fault_at. */
PAGE int expr_read(expr *p) {
    ad_graph_free(p->graph);
    p->graph = ad_graph_new();
    p->f = p->map = NULL;
    if (!expression_parse(p->text, &p->e)) return -1;
    p->x = ad_name(ad_param(p->graph, AD_F64, NULL, AD_SCALAR), "x");
    p->y = ad_name(ad_param(p->graph, AD_F64, NULL, AD_SCALAR), "y");
    p->xs = ad_zeros(p->graph, AD_F64, AD_SHAPE(SIDE, SIDE));
    p->ys = ad_zeros(p->graph, AD_F64, AD_SHAPE(SIDE, SIDE));
    p->f = expression_build(&p->e, p->x, p->y);
    if (ad_creator(p->f) != NULL) ad_name(p->f, "f");
    p->map = expression_build(&p->e, p->xs, p->ys);
    return ad_ok(p->graph) ? 0 : -1;
}
PAGE const char *expr_fault(const expr *p) { return p->e.fault[0] ? p->e.fault : ad_error(p->graph); }
PAGE int expr_fault_at(const expr *p) { return p->e.at; }

/* ---- at a point ---------------------------------------------------------------------------------------------- */

static void move(expr *p, double x, double y) {
    *(double *)ad_data_mut(p->x) = x;
    *(double *)ad_data_mut(p->y) = y;
    ad_eval(p->f);
}

/* Value and gradient at a point. */
PAGE double expr_at(expr *p, double x, double y) {
    move(p, x, y);
    ad_zero_grad(p->f);
    if (ad_requires_grad(p->f)) ad_backward(p->f);
    return ad_item(p->f);
}
PAGE double expr_slope(const expr *p, int of_y) { return ad_grad_item(of_y ? p->y : p->x); }
PAGE ad_var *expr_var(const expr *p) { return p->f; }

/* The value alone, for differences; expr_at comes after it. */
PAGE double expr_value(expr *p, double x, double y) {
    move(p, x, y);
    return ad_item(p->f);
}

/* Second derivatives at the point of expr_at, by differentiating the gradient's own expression. */
PAGE int expr_hessian(expr *p) {
    ad_mark m = ad_begin(p->graph);
    ad_var *at[2] = { p->x, p->y }, *first[2], *second[2];
    memset(p->hessian, 0, sizeof p->hessian);
    int rc = ad_gradient(p->f, 2, at, first);
    for (int i = 0; i < 2 && rc == AD_OK; i++) {
        rc = ad_gradient(first[i], 2, at, second);
        for (int k = 0; k < 2 && rc == AD_OK; k++) p->hessian[i][k] = ad_item(second[k]);
    }
    ad_end(p->graph, m);
    if (rc != AD_OK) ad_clear_error(p->graph);
    return rc;
}
PAGE double expr_second(const expr *p, int i, int k) { return p->hessian[i][k]; }

/* ---- the check ----------------------------------------------------------------------------------------------- */

static ad_var *again(int n, ad_var *const xs[], void *user) {
    const expr *p = user;
    return n == 2 ? expression_build(&p->e, xs[0], xs[1]) : NULL;
}

/* ad_gradcheck at the point: 0 if backward and differences agree. */
PAGE int expr_check(expr *p) {
    int rc = ad_gradcheck(again, p, 2, (ad_var *[]){ p->x, p->y }, NULL, &p->report);
    ad_clear_error(p->graph);
    return rc;
}
PAGE const char *expr_check_text(const expr *p) { return p->report.message; }
PAGE int expr_check_count(const expr *p) { return (int)p->report.compared; }

/* ---- the map ------------------------------------------------------------------------------------------------- */

PAGE int expr_side(void) { return SIDE; }
/* The values at SIDE^2 places of a square around 0, from the top left, row by row. */
PAGE const double *expr_map(expr *p, double edge) {
    double *x = ad_data_mut(p->xs), *y = ad_data_mut(p->ys);
    for (int i = 0; i < SIDE * SIDE; i++) {
        x[i] = edge * (2 * (i % SIDE + 0.5) / SIDE - 1);
        y[i] = edge * (1 - 2 * (i / SIDE + 0.5) / SIDE);
    }
    ad_eval(p->map);
    for (int i = 0; i < SIDE * SIDE; i++) p->pixels[i] = ad_numel(p->map) == 1 ? ad_item(p->map) : ad_at(p->map, i);
    return p->pixels;
}
