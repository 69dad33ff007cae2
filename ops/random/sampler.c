/* sampler.c: what ops that draw from distributions share: random numbers for one element, the loop over elements. */
#include "ops/random/sampler.h"

#include <math.h>

#include "ops/base/attrs.h"
#include "ops/ops.h"

/* ---- numbers for one element ------------------------------------------------------------------------------------- */

/* The middle of one of 2^52 equal parts of (0, 1). */
static double inner(uint32_t hi, uint32_t lo) { return ((double)(((uint64_t)hi << 32 | lo) >> 12) + 0.5) * 0x1p-52; }

double ad__stream_uniform(ad__stream *s) {
    if (s->left > 0) return s->left = 0, s->kept;
    uint32_t words[4];
    ad__random_lane(&s->at, s->lane++, words);
    s->kept = inner(words[2], words[3]), s->left = 1;
    return inner(words[0], words[1]);
}

double ad__stream_normal(ad__stream *s) {
    double radius = sqrt(-2 * log(ad__stream_uniform(s)));
    return radius * cos(6.283185307179586 * ad__stream_uniform(s));
}

double ad__stream_exponential(ad__stream *s) { return -log(ad__stream_uniform(s)); }

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

typedef struct {
    const ad_var *parameter;
    ad_var *y;
    ad_random_state start;
    ad__draw_one *draw;
} job;

static void draw_chunk(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    (void)worker;
    for (int64_t i = from; i < to; i++) {
        ad__stream s = { .at = j->start };
        s.at.counter += (uint64_t)i;
        ad__put(j->y, i, j->draw(&s, ad__get(j->parameter, i)));
    }
}

int ad__draw_each(const ad_op *op, ad__draw_one *draw) {
    enum { WORK = 64 }; /* in additions: a block, a logarithm and more */
    ad_graph *g = ad__owner(ad__out(op));
    job j = { op->in[0], ad__out(op), g->random, draw };
    int64_t n = j.y->layout->numel;
    ad_parallel(g->team, n, 0, WORK, draw_chunk, &j);
    g->random.counter += (uint64_t)n;
    return AD_OK;
}

/* ---- checks and shapes ------------------------------------------------------------------------------------------- */

int ad__check_elements(const ad_op *op, double least, double most, const char *wants) {
    const ad_var *x = op->in[0];
    for (int64_t i = 0; i < x->layout->numel; i++) {
        double v = ad__get(x, i);
        if (!(v >= least && v <= most))
            return ad_op_fail(op, AD_EVALUE, "element %lld is %g, not %s", (long long)i, v, wants);
    }
    return AD_OK;
}

bool ad__is_above(ad_var *x, double least, bool strict, const char *caller, const char *name) {
    if (ad__absent(x)) return ad_refuse_nil(x, caller), false;
    for (int64_t i = 0; i < x->layout->numel; i++) {
        double v = ad__get(x, i);
        if (strict ? v > least : v >= least) continue;
        ad_call c = AD__CALL_AS(caller, x);
        ad_call_fail(&c, AD_EVALUE, "element %lld of %s is %g; it must be %g or more%s", (long long)i, name, v, least,
                     strict ? ", and not equal" : "");
        return false;
    }
    return true;
}

int ad__same_shape(ad_call *c) { return (void)c, AD_OK; }

ad_var *ad__broadcast_pair(ad_var *a, ad_var *b) {
    if (!ad__absent(a) && !ad__absent(b) && ad_shape_equal(a->layout->shape, b->layout->shape)) return a;
    return ad_add(ad_detach(a), ad_detach(b));
}
