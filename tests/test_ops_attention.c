/* test_ops_attention.c: attention beside plain loops, over several tiles; masks, dropout, memory, failures. */
#include "tests/common.h"

/* ---- the reference: one head in f64, pair by pair ----------------------------------------------------------- */

typedef struct {
    int64_t tq, tk, d, dv;
    bool causal;
    int64_t offset;
    double scale;
    const double *q, *k, *v, *mask, *drop, *gy; /* mask and drop [tq,tk], or NULL */
    double *y, *gq, *gk, *gv, *gmask;           /* gradients are added to */
} plain;

static double dot(int64_t n, const double *a, const double *b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* The weights of query i. */
static void plain_weights(const plain *p, int64_t i, double *w) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < p->tk; j++) {
        w[j] = p->scale * dot(p->d, p->q + i * p->d, p->k + j * p->d) + (p->mask ? p->mask[i * p->tk + j] : 0);
        if (p->causal && j > p->offset + i) w[j] = -INFINITY;
        most = fmax(most, w[j]);
    }
    for (int64_t j = 0; j < p->tk; j++) sum += w[j] = most == -INFINITY ? 0 : exp(w[j] - most);
    for (int64_t j = 0; j < p->tk && sum > 0; j++) w[j] /= sum;
}

static double drop_of(const plain *p, int64_t i, int64_t j) { return p->drop ? p->drop[i * p->tk + j] : 1; }

static void plain_query(const plain *p, int64_t i, double *w) {
    const double *gy = p->gy + i * p->dv;
    double mean = 0;
    plain_weights(p, i, w);
    for (int64_t c = 0; c < p->dv; c++) p->y[i * p->dv + c] = 0;
    for (int64_t j = 0; j < p->tk; j++) {
        for (int64_t c = 0; c < p->dv; c++) {
            p->y[i * p->dv + c] += w[j] * drop_of(p, i, j) * p->v[j * p->dv + c];
            p->gv[j * p->dv + c] += w[j] * drop_of(p, i, j) * gy[c];
        }
        mean += w[j] * drop_of(p, i, j) * dot(p->dv, gy, p->v + j * p->dv);
    }
    for (int64_t j = 0; j < p->tk; j++) {
        double gs = w[j] * (drop_of(p, i, j) * dot(p->dv, gy, p->v + j * p->dv) - mean);
        p->gmask[i * p->tk + j] += gs;
        for (int64_t c = 0; c < p->d; c++) {
            p->gq[i * p->d + c] += p->scale * gs * p->k[j * p->d + c];
            p->gk[j * p->d + c] += p->scale * gs * p->q[i * p->d + c];
        }
    }
}

/* ---- the op beside it ----------------------------------------------------------------------------------------- */

typedef struct {
    int64_t heads, tq, tk, d, dv;
    bool one_k, one_v; /* all heads have the same keys, or values */
    ad_shape mask;     /* ndim 0: none */
    ad_attention_opts o;
} setting;

static double *copy_of(const ad_var *x, int64_t n, bool of_gradient) {
    double *to = calloc((size_t)(n > 0 ? n : 1), sizeof *to);
    assert_non_null(to);
    for (int64_t i = 0; i < n && x != NULL; i++) to[i] = of_gradient ? ad_grad_at(x, i) : ad_at(x, i);
    return to;
}

static ad_var *numbers(ad_graph *g, ad_dtype t, ad_shape s, uint64_t *seed) {
    ad_var *x = ad_param(g, t, NULL, s);
    void *to = ad_data_mut(x);
    for (int64_t i = 0; i < ad_numel(x); i++) {
        double v = next_between(seed, -1, 1);
        if (t == AD_F32) ((float *)to)[i] = (float)v;
        else ((double *)to)[i] = v;
    }
    return x;
}

typedef struct {
    ad_var *q, *k, *v, *key, *mask, *gy, *y;
} vars;

static vars vars_of(ad_graph *g, ad_dtype t, const setting *s) {
    uint64_t seed = 5;
    vars x = { .q = numbers(g, t, AD_SHAPE(s->heads, s->tq, s->d), &seed) };
    x.k = numbers(g, t, s->one_k ? AD_SHAPE(s->tk, s->d) : AD_SHAPE(s->heads, s->tk, s->d), &seed);
    x.v = numbers(g, t, s->one_v ? AD_SHAPE(1, s->tk, s->dv) : AD_SHAPE(s->heads, s->tk, s->dv), &seed);
    x.mask = s->mask.ndim > 0 ? numbers(g, t, s->mask, &seed) : NULL;
    x.gy = ad_detach(numbers(g, t, AD_SHAPE(s->heads, s->tq, s->dv), &seed));
    x.key = ad_random_key(x.q);
    x.y = s->o.dropout > 0 ? ad_attention_dropout(x.q, x.k, x.v, x.key, x.mask, s->o)
                           : ad_attention(x.q, x.k, x.v, x.mask, s->o);
    return x;
}

/* What a mask of fewer elements adds to each score, and where its gradient goes: its element for a score. */
static int64_t mask_element(const ad_var *mask, int64_t head, int64_t i, int64_t j) {
    ad_shape s = ad_shape_of(mask);
    int64_t at[] = { j, i, head }, index = 0, step = 1;
    for (int a = 0; a < s.ndim; a++) {
        int64_t n = s.dim[s.ndim - 1 - a];
        index += n > 1 ? at[a] * step : 0;
        step *= n;
    }
    return index;
}

static plain plain_of(const setting *s, const vars *x, int64_t head, double *const a[]) {
    plain p = { .tq = s->tq,
                .tk = s->tk,
                .d = s->d,
                .dv = s->dv,
                .causal = s->o.causal,
                .offset = s->o.offset,
                .scale = s->o.scale != 0 ? s->o.scale : 1 / sqrt((double)s->d) };
    int64_t k = s->one_k ? 0 : head * s->tk * s->d, v = s->one_v ? 0 : head * s->tk * s->dv;
    p.q = a[0] + head * s->tq * s->d, p.k = a[1] + k, p.v = a[2] + v, p.gy = a[3] + head * s->tq * s->dv;
    p.gq = a[4] + head * s->tq * s->d, p.gk = a[5] + k, p.gv = a[6] + v, p.y = a[7] + head * s->tq * s->dv;
    p.mask = x->mask ? a[9] : NULL, p.drop = s->o.dropout > 0 ? a[10] + head * s->tq * s->tk : NULL, p.gmask = a[11];
    return p;
}

static void plain_head(const setting *s, const vars *x, int64_t head, double *const a[]) {
    plain p = plain_of(s, x, head, a);
    double *w = calloc((size_t)s->tk, sizeof *w);
    memset(a[11], 0, (size_t)(s->tq * s->tk) * sizeof(double));
    for (int64_t i = 0; i < s->tq * s->tk && x->mask; i++)
        a[9][i] = ad_at(x->mask, mask_element(x->mask, head, i / s->tk, i % s->tk));
    for (int64_t i = 0; i < s->tq; i++) plain_query(&p, i, w);
    for (int64_t i = 0; i < s->tq * s->tk && x->mask; i++)
        a[8][mask_element(x->mask, head, i / s->tk, i % s->tk)] += p.gmask[i];
    free(w);
}

static void compare(const char *what, const ad_var *x, bool of_gradient, const double *want, double tol) {
    for (int64_t i = 0; x != NULL && i < ad_numel(x); i++)
        assert_close_in(what, of_gradient ? ad_grad_at(x, i) : ad_at(x, i), want[i], tol);
}

/* Each gradient is computed twice, so that the second pass adds to the first. */
static void check_setting(const setting *s, ad_dtype t) {
    ad_graph *g = ad_graph_new();
    vars x = vars_of(g, t, s);
    ad_var *drop = ad_keyed_dropout_mask(x.key, AD_SHAPE(s->heads, s->tq, s->tk), s->o.dropout);
    double *a[12] = { copy_of(x.q, ad_numel(x.q), false),
                      copy_of(x.k, ad_numel(x.k), false),
                      copy_of(x.v, ad_numel(x.v), false),
                      copy_of(x.gy, ad_numel(x.gy), false),
                      copy_of(NULL, ad_numel(x.q), false),
                      copy_of(NULL, ad_numel(x.k), false),
                      copy_of(NULL, ad_numel(x.v), false),
                      copy_of(NULL, ad_numel(x.gy), false),
                      copy_of(NULL, x.mask ? ad_numel(x.mask) : 0, false),
                      copy_of(NULL, s->tq * s->tk, false),
                      copy_of(drop, ad_numel(drop), false),
                      copy_of(NULL, s->tq * s->tk, false) };
    for (int64_t h = 0; h < s->heads; h++) plain_head(s, &x, h, a);
    double tol = t == AD_F32 ? 2e-5 : 1e-12;
    assert_ok(g);
    compare("y", x.y, false, a[7], tol);
    ad_var *of[] = { x.q, x.k, x.v, NULL, x.mask };
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(ad_backward_from(x.y, x.gy), AD_OK);
        for (int i = 0; i < 5; i++)
            for (int64_t e = 0; of[i] != NULL && pass == 1 && e < ad_numel(of[i]); e++) a[4 + i][e] *= 2;
        for (int i = 0; i < 5; i++) compare((char[]){ "qkv-m"[i], '\0' }, of[i], true, a[4 + i], 20 * tol);
    }
    for (int i = 0; i < 12; i++) free(a[i]);
    ad_graph_free(g);
}

/* Sizes about those of a block of queries, 64, and of a tile of keys, 128. */
static const setting settings[] = {
    { 2, 3, 5, 4, 3, false, false, { 0 }, { 0 } },
    { 2, 64, 64, 8, 8, false, false, { 0 }, { .causal = true } },
    { 1, 65, 128, 3, 5, false, false, { 2, { 65, 128 } }, { .causal = true } },
    { 1, 65, 129, 3, 5, false, false, { 2, { 1, 129 } }, { .scale = 0.3 } },
    { 3, 130, 300, 5, 7, true, false, { 0 }, { .causal = true } },
    { 3, 70, 300, 5, 7, true, false, { 3, { 3, 1, 300 } }, { .causal = true, .offset = 230, .scale = -0.7 } },
    { 2, 200, 150, 4, 17, false, true, { 2, { 200, 1 } }, { .causal = true, .offset = -20 } },
    { 2, 150, 200, 16, 1, false, false, { 3, { 1, 150, 200 } }, { .dropout = 0.3 } },
    { 2, 150, 260, 2, 4, false, true, { 1, { 1 } }, { .causal = true, .offset = 3, .dropout = 0.6 } },
    { 2, 5, 7, 2, 4, true, true, { 1, { 7 } }, { .causal = true, .offset = 3, .dropout = 0.6 } },
    { 2, 200, 150, 4, 3, false, true, { 0 }, { .causal = true, .offset = -100 } },
    { 1, 130, 257, 1, 2, false, false, { 0 }, { .causal = true, .offset = 1000, .dropout = 1 } },
};

static void values_and_gradients_are_those_of_plain_loops(void **state) {
    (void)state;
    for (int i = 0; i < COUNT(settings); i++)
        for (int t = AD_F32; t <= AD_F64; t++) check_setting(&settings[i], (ad_dtype)t);
}

/* The gradients as Vars, which are computed with all scores at once. */
static void both_rules_agree(void **state) {
    (void)state;
    for (int i = 0; i < COUNT(settings); i++) {
        ad_graph *g = ad_graph_new();
        vars x = vars_of(g, AD_F64, &settings[i]);
        ad_var *xs[] = { x.q, x.k, x.v, x.mask }, *dxs[4];
        int n = x.mask ? 4 : 3;
        ad_backward_from(x.y, x.gy);
        assert_int_equal(ad_vjp(x.y, x.gy, n, xs, dxs), AD_OK);
        for (int k = 0; k < n; k++)
            for (int64_t e = 0; e < ad_numel(xs[k]); e++)
                assert_close_in("rules", ad_at(dxs[k], e), ad_grad_at(xs[k], e), 1e-11);
        ad_graph_free(g);
    }
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static ad_var *leaf(ad_graph *g, ad_shape s, double from) {
    ad_var *x = ad_param(g, AD_F64, NULL, s);
    double *to = ad_data_mut(x);
    for (int64_t i = 0; i < ad_numel(x); i++) to[i] = cos(from + 1.3 * (double)i);
    return x;
}

/* Self-attention of one Var: its gradient is the sum of three. */
static void one_var_as_queries_keys_and_values(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = leaf(g, AD_SHAPE(2, 70, 3), 0.2), *w = ad_detach(leaf(g, AD_SHAPE(2, 70, 3), 2));
    ad_var *parts[3], *y;
    for (int i = 0; i < 3; i++) parts[i] = ad_param(g, AD_F64, ad_data(x), ad_shape_of(x));
    ad_backward_from(ad_attention(x, x, x, NULL, (ad_attention_opts){ .causal = true }), w);
    y = ad_attention(parts[0], parts[1], parts[2], NULL, (ad_attention_opts){ .causal = true });
    ad_backward_from(y, w);
    assert_ok(g);
    for (int64_t i = 0; i < ad_numel(x); i++)
        assert_close(ad_grad_at(x, i), ad_grad_at(parts[0], i) + ad_grad_at(parts[1], i) + ad_grad_at(parts[2], i),
                     1e-13);
    ad_graph_free(g);
}

/* A mask of 0 and 1 hides keys as -inf does; a query that sees none has the result 0 and the gradient 0. */
static void a_boolean_mask(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *q = leaf(g, AD_SHAPE(3, 2), 0), *k = leaf(g, AD_SHAPE(4, 2), 1), *v = leaf(g, AD_SHAPE(4, 3), 2);
    const double sees[] = { 1, 0, 1, 1, 0, 0, 0, 0, 0, 2, -1, 0 };
    ad_var *mask = ad_tensor(g, AD_F64, sees, AD_SHAPE(3, 4));
    ad_var *y = ad_attention(q, k, v, mask, (ad_attention_opts){ .boolean_mask = true });
    ad_var *added = ad_where(mask, ad_zeros(g, AD_F64, AD_SCALAR), ad_full(g, AD_F64, -INFINITY, AD_SCALAR));
    ad_var *scores = ad_add(ad_muls(ad_matmul(q, ad_transpose(k)), 1 / sqrt(2.0)), added);
    ad_var *want = ad_matmul(ad_softmax(scores, 1), v);
    ad_backward(ad_sum(ad_square(y)));
    assert_ok(g);
    for (int64_t i = 0; i < 9; i++) assert_close(ad_at(y, i), i / 3 == 1 ? 0 : ad_at(want, i), 1e-15);
    for (int64_t i = 2; i < 4; i++) assert_true(ad_grad_at(q, i) == 0);
    for (int64_t i = 0; i < 12; i++) assert_true(isfinite(ad_grad_at(v, i)));
    ad_graph_free(g);
}

/* An infinite value behind the keys that a query sees gives the same in one tile and in several: 0 times infinity. */
static void infinite_values_of_hidden_keys(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const int64_t times[] = { 40, 300 };
    for (int i = 0; i < 2; i++) {
        int64_t n = times[i];
        ad_var *q = leaf(g, AD_SHAPE(n, 2), 0), *v = leaf(g, AD_SHAPE(n, 2), 2);
        ((double *)ad_data_mut(v))[2 * n - 1] = INFINITY;
        ad_var *y = ad_attention(q, q, v, NULL, (ad_attention_opts){ .causal = true });
        for (int64_t r = 0; r < n; r++) {
            assert_true(isfinite(ad_at(y, 2 * r)));
            assert_true(r == n - 1 ? isinf(ad_at(y, 2 * r + 1)) : isnan(ad_at(y, 2 * r + 1)));
        }
        ad_backward(ad_sum(ad_slice(y, 1, 0, 1, 1)));
        assert_true(isnan(ad_grad_at(q, 0)));
    }
    assert_ok(g);
    ad_graph_free(g);
}

/* Where one number is infinite, both rules have infinities and NaN in the same places. */
static void both_rules_agree_at_infinities(void **state) {
    (void)state;
    enum { N = 200 };
    for (int i = 0; i < 4; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *xs[4], *dxs[3];
        for (int k = 0; k < 4; k++) xs[k] = leaf(g, AD_SHAPE(N, 2), k);
        ((double *)ad_data_mut(xs[i]))[i == 3 ? 0 : 2 * N - 1] = INFINITY;
        ad_var *y = ad_attention(xs[0], xs[1], xs[2], NULL, (ad_attention_opts){ .causal = true });
        ad_var *gy = ad_detach(xs[3]);
        ad_backward_from(y, gy);
        assert_int_equal(ad_vjp(y, gy, 3, xs, dxs), AD_OK);
        for (int k = 0; k < 3; k++)
            for (int64_t e = 0; e < 2 * N; e++)
                assert_int_equal(isfinite(ad_at(dxs[k], e)) != 0, isfinite(ad_grad_at(xs[k], e)) != 0);
        ad_graph_free(g);
    }
}

/* ---- dropout ----------------------------------------------------------------------------------------------------- */

static double sum_of(const ad_var *x) {
    double sum = 0;
    for (int64_t i = 0; i < ad_numel(x); i++) sum += ad_at(x, i);
    return sum;
}

/* With equal scores and values of 1 a result is the mean of the mask. */
static void dropout_keeps_the_mean(void **state) {
    (void)state;
    enum { N = 400 };
    ad_graph *g = ad_graph_new();
    ad_seed(g, 3);
    ad_var *q = ad_zeros(g, AD_F64, AD_SHAPE(N, 1)), *v = ad_ones(g, AD_F64, AD_SHAPE(N, 1));
    ad_var *y = ad_attention(q, q, v, NULL, (ad_attention_opts){ .dropout = 0.25 });
    assert_close(sum_of(y) / N, 1, 6 * sqrt(1.0 / 3) / N); /* six standard deviations */
    double first = ad_at(y, 0), second = ad_at(y, 1);
    assert_true(first != second);
    assert_int_equal(ad_eval(y), AD_OK); /* draws anew */
    assert_true(ad_at(y, 0) != first);
    ad_seed(g, 3);
    ad_eval(y); /* and the same after the same seed */
    assert_true(ad_at(y, 0) == first && ad_at(y, 1) == second);
    ad_graph_free(g);
}

static ad_var *with_dropout(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_attention(xs[0], xs[1], xs[2], NULL, (ad_attention_opts){ .dropout = 0.5, .causal = true });
}

/* A checkpoint computes attention again with the same random numbers. */
static void a_checkpoint_repeats_the_dropout(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *grads[2][3], *xs[3], *ys[2];
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++) grads[i][k] = xs[k] = leaf(g, AD_SHAPE(2, 140, 3), k);
        ad_seed(g, 8);
        ys[i] = i ? ad_checkpoint(with_dropout, NULL, 3, xs) : with_dropout(3, xs, NULL);
        ad_random_key(xs[0]); /* moves the generator on before backward */
        assert_int_equal(ad_backward(ad_sum(ad_square(ys[i]))), AD_OK);
    }
    for (int64_t e = 0; e < ad_numel(ys[0]); e++) assert_true(ad_at(ys[0], e) == ad_at(ys[1], e));
    for (int k = 0; k < 3; k++)
        for (int64_t e = 0; e < ad_numel(xs[k]); e++)
            assert_true(ad_grad_at(grads[0][k], e) == ad_grad_at(grads[1][k], e));
    ad_graph_free(g);
}

/* f32 and f64 drop the same weights, and each number of a key counts. */
static void keys_give_masks(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double numbers_of[] = { 1, 65535, 40000, 7 };
    ad_var *first = NULL;
    for (int i = -1; i < 4; i++) {
        double changed[4];
        memcpy(changed, numbers_of, sizeof changed);
        if (i >= 0) changed[i] += i == 1 ? -1 : 1;
        ad_var *wide = ad_keyed_dropout_mask(param_of(g, AD_F64, changed, AD_SHAPE(4)), AD_SHAPE(3, 21), 0.5);
        ad_var *narrow = ad_keyed_dropout_mask(param_of(g, AD_F32, changed, AD_SHAPE(4)), AD_SHAPE(3, 21), 0.5);
        int differences = 0;
        for (int64_t e = 0; e < 63; e++) {
            assert_true(ad_at(wide, e) == ad_at(narrow, e) && (ad_at(wide, e) == 0 || ad_at(wide, e) == 2));
            differences += i >= 0 && ad_at(wide, e) != ad_at(first, e);
        }
        if (i < 0) first = wide;
        else assert_in_range(differences, 15, 48);
    }
    ad_var *key = ad_random_key(first);
    for (int64_t e = 0; e < 4; e++) assert_true(ad_at(key, e) >= 0 && ad_at(key, e) < 65536);
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static int64_t bytes_for(int64_t n, bool composed) {
    test_memory memory = { .fail_at = -1 };
    ad_graph *g = test_graph(&memory);
    ad_keep_grads(g, false);
    ad_var *q = ad_ones(g, AD_F32, AD_SHAPE(n, 16)), *k = ad_ones(g, AD_F32, AD_SHAPE(n, 16));
    ad_require_grad(q), ad_require_grad(k);
    ad_var *y = composed ? ad_matmul(ad_softmax(ad_muls(ad_matmul(q, ad_transpose(k)), 0.25), 1), k)
                         : ad_attention(q, k, k, NULL, (ad_attention_opts){ 0 });
    ad_backward(ad_sum(y));
    assert_ok(g);
    int64_t bytes = memory.live;
    ad_graph_free(g);
    return bytes;
}

static void memory_is_linear_in_the_length(void **state) {
    (void)state;
    int64_t n = test_quick() ? 512 : 2048, bytes = bytes_for(n, false), twice = bytes_for(2 * n, false);
    assert_true(twice < 3 * bytes);
    assert_true(test_quick() || 10 * bytes < bytes_for(n, true));
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void failures_name_the_cause(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *q = leaf(g, AD_SHAPE(2, 3, 4), 0), *k = leaf(g, AD_SHAPE(2, 5, 4), 1), *bad = leaf(g, AD_SHAPE(2, 5, 3), 1);
    const ad_attention_opts none = { 0 };
    assert_fails(g, ad_attention(q, bad, k, NULL, none), AD_ESHAPE, "attention: [2,3,4] x [2,5,3]");
    assert_fails(g, ad_attention(q, k, q, NULL, none), AD_ESHAPE, "takes q [..,tq,d], k [..,tk,d] and v [..,tk,dv]");
    assert_fails(g, ad_attention(q, leaf(g, AD_SHAPE(3, 5, 4), 1), k, NULL, none), AD_ESHAPE, "do not broadcast");
    assert_fails(g, ad_attention(q, k, k, leaf(g, AD_SHAPE(2, 5), 0), none), AD_ESHAPE,
                 "the mask [2,5] does not broadcast to the scores [2,3,5]");
    assert_fails(g, ad_attention(q, k, k, leaf(g, AD_SHAPE(3, 1, 3, 5), 0), none), AD_ESHAPE, "does not broadcast to");
    assert_fails(g, ad_attention(q, k, k, NULL, (ad_attention_opts){ .scale = NAN }), AD_EVALUE, "scale is nan");
    assert_fails(g, ad_attention(q, k, k, NULL, (ad_attention_opts){ .dropout = 1.5 }), AD_EVALUE, "1.5, not a prob");
    assert_fails(g, ad_attention(q, k, k, NULL, (ad_attention_opts){ .dropout = -1 }), AD_EVALUE, "-1, not a prob");
    assert_fails(g, ad_attention_dropout(q, k, k, q, NULL, (ad_attention_opts){ .dropout = 0.5 }), AD_ESHAPE,
                 "a key has 4 numbers");
    assert_fails(g, ad_attention(q, k, k, leaf(g, AD_SHAPE(3, 5), 0), (ad_attention_opts){ .boolean_mask = true }),
                 AD_EGRAD, "mask");
    assert_fails(g, ad_keyed_dropout_mask(q, AD_SHAPE(3), 0.5), AD_ESHAPE, "a key has 4 numbers");
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_those_of_plain_loops),
        cmocka_unit_test(both_rules_agree),
        cmocka_unit_test(one_var_as_queries_keys_and_values),
        cmocka_unit_test(a_boolean_mask),
        cmocka_unit_test(infinite_values_of_hidden_keys),
        cmocka_unit_test(both_rules_agree_at_infinities),
        cmocka_unit_test(dropout_keeps_the_mean),
        cmocka_unit_test(a_checkpoint_repeats_the_dropout),
        cmocka_unit_test(keys_give_masks),
        cmocka_unit_test(memory_is_linear_in_the_length),
        cmocka_unit_test(failures_name_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
