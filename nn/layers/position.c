/* position.c: position encodings that are added to a sequence, learned or of sines, and rotary ones. */
#include <math.h>

#include "nn/layers/attention.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

/* ---- a table [length, d] of which the rows of the time steps are added ------------------------------------------- */

typedef struct {
    ad_var *table;
    int64_t at; /* the first time step of the next call while steps are cached, otherwise -1 */
} positions;

/* x [.., t, d] */
static ad_var *positions_forward(nn_module *m, ad_var *x) {
    positions *p = nn_self(m);
    ad_graph *g = nn_graph_of(m);
    ad_shape s = ad_shape_of(x), table = ad_shape_of(p->table);
    int64_t from = p->at < 0 ? 0 : p->at, t = s.ndim < 2 ? 0 : s.dim[s.ndim - 2];
    if (s.ndim < 2 || s.dim[s.ndim - 1] != table.dim[1] || t > table.dim[0] - from) {
        ad_fail(g, AD_ESHAPE, "%s: x is %s after %lld time steps; it must be [.., time, %lld], %lld steps at most",
                m->kind, ad_shape_str(s).text, (long long)from, (long long)table.dim[1], (long long)table.dim[0]);
        return ad_nil(g);
    }
    if (p->at >= 0) p->at += t;
    return ad_add(x, from == 0 && t == table.dim[0] ? p->table : ad_narrow(p->table, 0, from, t));
}

int64_t *nn__position_of(nn_module *m) { return m->forward == positions_forward ? &((positions *)m->self)->at : NULL; }

static nn_module *positions_new(ad_graph *g, const char *kind, int64_t length, int64_t d) {
    if (!nn__is_size(g, kind, "length", length) || !nn__is_size(g, kind, "d", d)) return NULL;
    nn_module *m = nn_module_new(g, kind, positions_forward, sizeof(positions));
    if (m != NULL) ((positions *)nn_self(m))->at = -1;
    return m;
}

nn_module *nn_learned_positions(ad_graph *g, ad_dtype t, int64_t length, int64_t d) {
    nn_module *m = positions_new(g, "learned_positions", length, d);
    if (m == NULL) return NULL;
    positions *p = nn_self(m);
    nn__zero_parameter(m, &p->table, "weight", t, AD_SHAPE(length, d));
    nn_init_normal(p->table, 0, 1);
    return ad_ok(g) ? m : NULL;
}

/* Column 2 k is the sine of position 10000^(-2 k / d), column 2 k + 1 the cosine. */
static ad_var *sines(ad_graph *g, ad_dtype t, int64_t length, int64_t d) {
    ad_var *y = ad_zeros(g, t, AD_SHAPE(length, d));
    void *to = ad_data_mut(y);
    for (int64_t i = 0; to != NULL && i < length * d; i++) {
        int64_t column = i % d;
        double angle = (double)(i / d) * pow(10000, -(double)(column / 2 * 2) / (double)d);
        ad_write_element(t, to, i, column % 2 ? cos(angle) : sin(angle));
    }
    return y;
}

nn_module *nn_sinusoidal_positions(ad_graph *g, ad_dtype t, int64_t length, int64_t d) {
    nn_module *m = positions_new(g, "sinusoidal_positions", length, d);
    if (m == NULL) return NULL;
    nn__buffer(m, &((positions *)nn_self(m))->table, "pe", sines(g, t, length, d));
    return ad_ok(g) ? m : NULL;
}

/* ---- rotary ------------------------------------------------------------------------------------------------------ */

static ad_var *rotary_forward(nn_module *m, ad_var *x) { return ad_rotary(x, 0, *(const double *)nn_self(m)); }

nn_module *nn_rotary(ad_graph *g, double base) {
    base = ad_option(base, 10000);
    if (!(base > 0) || !isfinite(base))
        return ad_fail(g, AD_EVALUE, "rotary: base %g: it must be a finite number > 0", base), NULL;
    nn_module *m = nn_module_new(g, "rotary", rotary_forward, sizeof base);
    if (m != NULL) *(double *)nn_self(m) = base;
    return m;
}
