/* sample.c: passing an op's samples, its own test cases, to a callback. */
#include "autodiff/check/sample.h"

#include "autodiff/base/spread.h"

struct ad_sampler {
    ad_graph *g;
    const ad_optype *type;
    ad_sample_fn *fn;
    void *data;
    int index, rc;
};

/* Values for one operand, distributed over lo to hi; NULL, with the graph's error, if memory is short. */
static double *spread_values(ad_graph *g, int operand, ad_shape shape, double lo, double hi) {
    int64_t n = ad_shape_numel(shape);
    double *v = ad_scope_array(g, (size_t)(n > 0 ? n : 0) * sizeof *v);
    for (int64_t k = 0; v != NULL && k < n; k++) v[k] = lo + (hi - lo) * ad__spread_number(k, operand);
    return v;
}

/* Passes one case to fn. Everything that the case and fn allocate is in a scope of its own. */
static void pass_case(ad_sampler *s, const void *attrs, int n, const ad_shape *shapes, const double *const *given,
                      const double *lo, const double *hi, unsigned flags) {
    if (s == NULL || s->rc != AD_OK) return;
    if (n < 1 || n > AD__SAMPLE_OPERANDS) {
        s->rc = ad_fail(s->g, AD_EVALUE, "%s: a sample has %d operands; give 1 to %d", s->type->name, n,
                        AD__SAMPLE_OPERANDS);
        return;
    }
    const double *values[AD__SAMPLE_OPERANDS];
    ad_mark m = ad_begin(s->g);
    for (int i = 0; i < n; i++)
        values[i] = given && given[i] ? given[i] : spread_values(s->g, i, shapes[i], lo ? lo[i] : -2, hi ? hi[i] : 2);
    const ad_sample_case c = { s->type, s->index++, attrs, n, shapes, values, flags };
    s->rc = ad_error_code(s->g);
    if (s->rc == AD_OK) s->rc = s->fn(&c, s->data);
    ad_end(s->g, m);
}

void ad_sample(ad_sampler *s, const void *attrs, int n, const ad_shape *shapes, const double *lo, const double *hi) {
    pass_case(s, attrs, n, shapes, NULL, lo, hi, 0);
}

void ad_sample_values(ad_sampler *s, const void *attrs, int n, const ad_shape *shapes, const double *const values[],
                      unsigned flags) {
    pass_case(s, attrs, n, shapes, values, NULL, NULL, flags);
}

int ad_each_sample(ad_graph *g, const ad_optype *type, ad_sample_fn *fn, void *data) {
    if (g == NULL || type == NULL || type->name == NULL || fn == NULL)
        return ad_fail(g, AD_EVALUE, "each_sample: g, type, its name or fn is NULL");
    ad_sampler s = { g, type, fn, data, 0, g->code };
    if (type->samples != NULL) type->samples(&s);
    return s.rc;
}
