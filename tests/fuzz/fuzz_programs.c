/* fuzz_programs.c: programs of random ops with odd shapes and numbers, scopes, errors and all kinds of passes: a clear
   error, or two rules that agree. */
#define _GNU_SOURCE
#include <math.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "tests/fuzz/fuzz.h"

enum { MOST_CASES = 4096, MOST_VARS = 24, MOST_STEPS = 40, MOST_ELEMENTS = 512, MOST_OPERANDS = 16 };

/* ---- the ops' own samples, whose attributes and shapes the programs take ----------------------------------------- */

typedef struct {
    const ad_optype *type;
    void *attrs;
    int n;
    ad_shape shapes[MOST_OPERANDS];
} sample;
static sample samples[MOST_CASES];
static int n_samples;

static int keep_sample(const ad_sample_case *c, void *data) {
    (void)data;
    if (n_samples == MOST_CASES || c->n > MOST_OPERANDS) return 0;
    sample *s = &samples[n_samples++];
    *s = (sample){ .type = c->type, .n = c->n };
    if (c->type->attr_size > 0 && (s->attrs = malloc(c->type->attr_size)) != NULL)
        memcpy(s->attrs, c->attrs, c->type->attr_size);
    for (int i = 0; i < c->n; i++) s->shapes[i] = c->shapes[i];
    return 0;
}

static void collect_samples(void) {
    ad_graph *g = ad_graph_new();
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++) (void)ad_each_sample(g, *t, keep_sample, NULL);
    ad_graph_free(g);
}

/* ---- a program --------------------------------------------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    fuzz_choices c;
    ad_var *vars[MOST_VARS];
    int n;
    ad_mark marks[4];
    int at_mark[4]; /* Vars when it was opened */
    int scopes;
    bool compares; /* f64 only: rules are compared */
    bool traces;   /* FUZZ_TRACE=1: shows what happens */
} program;

static void add(program *p, ad_var *x) {
    if (ad_is_nil(x) || ad_numel(x) > MOST_ELEMENTS) return;
    if (p->n == MOST_VARS) return;
    p->vars[p->n++] = x;
}

static ad_var *pick(program *p) { return p->n ? p->vars[fuzz_choose(&p->c, p->n)] : ad_nil(p->g); }

static double number(program *p) {
    static const double odd[] = { 0, 1, -1, 0.5, 2, -3, NAN, INFINITY, -INFINITY,
                                  1e30, 1e-30, -0.0, 5e-324, 1e300, 3, 4 };
    int k = fuzz_choose(&p->c, 64);
    return k < 16 ? odd[k] : (k - 40) / 8.0;
}

static ad_var *leaf(program *p, ad_shape s) {
    double wide[MOST_ELEMENTS];
    float narrow[MOST_ELEMENTS];
    int64_t n = ad_shape_numel(s);
    if (n < 0 || n > MOST_ELEMENTS) return ad_nil(p->g);
    int k = fuzz_choose(&p->c, 8);
    double base = number(p), step = k < 5 ? 0.37 : 0;
    for (int64_t i = 0; i < n; i++) narrow[i] = (float)(wide[i] = k == 7 ? number(p) : base + step * (double)i);
    ad_dtype t = fuzz_choose(&p->c, 5) == 4 && !p->compares ? AD_F32 : AD_F64;
    const void *data = t == AD_F32 ? (void *)narrow : wide;
    return k % 2 ? ad_param(p->g, t, data, s) : ad_tensor(p->g, t, data, s);
}

static ad_shape shape(program *p) {
    static const ad_shape shapes[] = { { 0, { 0 } },    { 1, { 1 } },    { 1, { 3 } },       { 1, { 0 } },
                                       { 2, { 2, 3 } }, { 2, { 3, 2 } }, { 2, { 1, 3 } },    { 2, { 0, 3 } },
                                       { 2, { 2, 0 } }, { 2, { 2, 2 } }, { 3, { 2, 2, 2 } }, { 4, { 1, 2, 3, 3 } } };
    return shapes[fuzz_choose(&p->c, sizeof shapes / sizeof *shapes)];
}

/* An op on Vars of the program, or on new ones of the shapes of its sample. */
static void apply(program *p) {
    int high = fuzz_choose(&p->c, 256), low = fuzz_choose(&p->c, 256);
    const sample *s = &samples[(high * 256 + low) % n_samples];
    ad_var *in[MOST_OPERANDS];
    bool own = fuzz_choose(&p->c, 3) != 0;
    for (int i = 0; i < s->n; i++) in[i] = own && fuzz_choose(&p->c, 4) ? leaf(p, s->shapes[i]) : pick(p);
    ad_var *y = ad_apply(s->type, s->n, in, s->attrs);
    if (p->traces) fprintf(stderr, "%s makes %s ", s->type->name, ad_shape_str(ad_shape_of(y)).text);
    add(p, y);
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

static bool is_moderate(const ad_var *x, bool grads, double most) {
    for (int64_t i = 0; i < ad_numel(x); i++)
        if (!(fabs(grads ? ad_grad_at(x, i) : ad_at(x, i)) < most)) return false;
    return true;
}

/* The gradients of both rules. Numbers that grow large on the way are not compared. */
static void compare(program *p, ad_var *y, ad_var *x) {
    ad_var *d = NULL;
    if (ad_gradient(y, 1, &x, &d) != AD_OK || !ad_ok(p->g)) return;
    ad_zero_grad(y);
    ad_zero_grad(x);
    bool leaf_only = ad_creator(x) == NULL && ad_requires_grad(x); /* others may have no gradient after the pass */
    if (ad_backward(y) != AD_OK || !p->compares || !leaf_only) return;
    for (int i = 0; i < p->n; i++)
        if (!is_moderate(p->vars[i], false, 1e3) || !is_moderate(p->vars[i], true, 1e3)) return;
    for (int64_t i = 0; i < ad_numel(x); i++) {
        double a = ad_grad_at(x, i), b = ad_at(d, i);
        if (fabs(a - b) <= 1e-6 * (1 + fabs(a))) continue;
        if (!isfinite(a) && !isfinite(b)) continue;
        char text[200];
        snprintf(text, sizeof text, "%.17g by backward, %.17g by gradient", a, b);
        fuzz_fail("two rules differ", text);
    }
}

static ad_var *inside(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mul(ad_sin(xs[0]), ad_tanh(xs[0]));
}

static void pass(program *p) {
    ad_var *x = pick(p), *y = pick(p), *d = NULL;
    if (ad_numel(y) != 1) y = ad_sum(y);
    int kind = fuzz_choose(&p->c, 9);
    if (p->traces) fprintf(stderr, "pass %d of %s ", kind, ad_op_name(ad_creator(y)));
    switch (kind) {
    case 0: (void)ad_eval(y); break;
    case 1: (void)ad_backward(y); break;
    case 2: (void)ad_backward_from(pick(p), pick(p)); break;
    case 3: compare(p, y, x); break;
    case 4: add(p, ad_jvp(y, 1, &x, (ad_var *[]){ pick(p) })); break;
    case 5:
        if (ad_hvp(y, 1, &x, (ad_var *[]){ pick(p) }, &d) == AD_OK) add(p, d);
        break;
    case 6: add(p, ad_checkpoint(inside, NULL, 1, &x)); break;
    case 7:
        if (ad_numel(x) <= 8) add(p, ad_hessian(y, x));
        break;
    default:
        if (ad_gradient(y, 1, &x, &d) == AD_OK) add(p, d);
    }
}

static void set(program *p) {
    double wide[MOST_ELEMENTS] = { 0 };
    ad_var *x = pick(p);
    if (ad_is_nil(x) || ad_creator(x) != NULL) return;
    for (int64_t i = 0; i < ad_numel(x) && ad_dtype_of(x) == AD_F64; i++) wide[i] = number(p);
    (void)ad_set(x, wide);
}

static void scope(program *p) {
    if (p->scopes < 4 && fuzz_choose(&p->c, 2)) {
        p->at_mark[p->scopes] = p->n;
        p->marks[p->scopes++] = ad_begin(p->g);
    } else if (p->scopes > 0) {
        p->scopes--;
        if (p->n > p->at_mark[p->scopes]) p->n = p->at_mark[p->scopes];
        ad_end(p->g, p->marks[p->scopes]);
    }
}

static void mode(program *p) {
    bool on = fuzz_choose(&p->c, 2);
    switch (fuzz_choose(&p->c, 5)) {
    case 0: ad_enable_grad(p->g, on); break;
    case 1: ad_keep_grads(p->g, on); break;
    case 2: ad_detect_anomaly(p->g, on); break;
    case 3: ad_seed(p->g, on); break;
    default: (void)ad_set_requires_grad(pick(p), on);
    }
}

static void step(program *p) {
    int k = fuzz_choose(&p->c, 16);
    if (p->traces) fprintf(stderr, "%d Vars, %d scopes, step of kind %d: ", p->n, p->scopes, k);
    if (k < 2) add(p, leaf(p, shape(p)));
    else if (k < 9) apply(p);
    else if (k < 13) pass(p);
    else if (k == 13) set(p);
    else if (k == 14) scope(p);
    else mode(p);
    if (!ad_ok(p->g) && strlen(ad_error(p->g)) < 12) fuzz_fail("an error without a sentence", ad_error(p->g));
    if (p->traces) fprintf(stderr, "%s\n", ad_error(p->g));
    ad_clear_error(p->g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (n_samples == 0) collect_samples();
    program p = { .g = fuzz_begin(), .c = { data, data + size } };
    p.compares = fuzz_choose(&p.c, 2);
    p.traces = getenv("FUZZ_TRACE") != NULL;
    for (int i = 0; i < MOST_STEPS && p.c.at < p.c.end; i++) step(&p);
    ad_enable_grad(p.g, true);
    ad_keep_grads(p.g, true);
    ad_detect_anomaly(p.g, false);
    return fuzz_end(p.g);
}
