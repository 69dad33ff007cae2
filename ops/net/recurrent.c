/* recurrent.c: rnn, lstm and gru, each as one op over all time steps of a sequence. */
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/kernels/linalg/gemm.h"
#include "ops/kernels/net/recurrent.h"
#include "ops/ops.h"

/* ---- helpers: operands x [n,time,k], w [k,m], h [n,m], then c [n,m] for lstm or b [k] for gru; k is gates * m --- */

typedef struct {
    bool relu; /* for rnn only */
    bool reverse;
} recurrent_attrs;

static const ad_attr rnn_list[] = { { "relu", AD_ATTR_BOOL, offsetof(recurrent_attrs, relu) },
                                    { "reverse", AD_ATTR_BOOL, offsetof(recurrent_attrs, reverse) },
                                    { 0 } };

static const recurrent_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }

static ad__recurrent_kind kind_of(const ad_optype *type, const recurrent_attrs *a) {
    if (type == &ad_op_lstm) return AD__LSTM;
    if (type == &ad_op_gru) return AD__GRU;
    return a->relu ? AD__RNN_RELU : AD__RNN_TANH;
}

static int check_shapes(const ad_call *c, int64_t gates) {
    ad_shape x = c->shape, w = c->in[1]->layout->shape;
    int64_t n = x.ndim == 3 ? x.dim[0] : -1, m = w.ndim == 2 ? w.dim[1] : -1;
    bool fits = n >= 0 && m >= 0 && x.dim[2] == gates * m && w.dim[0] == gates * m &&
                ad_shape_equal(c->in[2]->layout->shape, AD_SHAPE(n, m));
    ad_shape last = c->type == &ad_op_gru ? AD_SHAPE(3 * m) : AD_SHAPE(n, m);
    if (fits && c->n > 3) fits = ad_shape_equal(c->in[3]->layout->shape, last);
    if (fits && x.dim[1] > 0) return AD_OK;
    if (c->type == &ad_op_lstm)
        return ad_call_fail(c, AD_ESHAPE, "takes x [n,time,4 m], w [4 m,m], h and c [n,m]; time 1 or more");
    if (c->type == &ad_op_gru)
        return ad_call_fail(c, AD_ESHAPE, "takes x [n,time,3 m], w [3 m,m], h [n,m] and b [3 m]; time 1 or more");
    return ad_call_fail(c, AD_ESHAPE, "takes x [n,time,m], w [m,m] and h [n,m]; time 1 or more");
}

static int recurrent_shape(ad_call *c) {
    ad__recurrent r = { .kind = kind_of(c->type, c->attrs) };
    int rc = check_shapes(c, ad__recurrent_gates(r.kind));
    if (rc != AD_OK) return rc;
    r.n = c->shape.dim[0], r.time = c->shape.dim[1], r.hidden = c->in[1]->layout->shape.dim[1];
    if (c->in[0]->layout->numel > AD__GEMM_MAX || c->in[1]->layout->numel > AD__GEMM_MAX)
        return ad_call_fail(c, AD_ESHAPE, "x or w has more than %d elements", AD__GEMM_MAX);
    c->scratch = ad__recurrent_scratch(&r, c->dtype);
    bool is_rnn = c->type == &ad_op_rnn;
    c->saved = is_rnn ? 0 : 4 * (size_t)(r.n * r.time * r.hidden) * ad_dtype_size(c->dtype);
    c->shape = c->type == &ad_op_lstm ? AD_SHAPE(2, r.n, r.time, r.hidden) : AD_SHAPE(r.n, r.time, r.hidden);
    return AD_OK;
}

/* The second half of the result of lstm, or of its gradient, which holds c. */
static void *c_half(const ad_var *y, void *array) { return (char *)array + ad__bytes(y) / 2; }

static ad__recurrent recurrent_of(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad_shape x = op->in[0]->layout->shape;
    ad__recurrent r = { .team = ad__op_team(op),
                        .kind = kind_of(op->type, attrs_of(op)),
                        .n = x.dim[0],
                        .time = x.dim[1],
                        .hidden = op->in[1]->layout->shape.dim[1],
                        .reverse = attrs_of(op)->reverse,
                        .x = op->in[0]->data,
                        .w = op->in[1]->data,
                        .h0 = op->in[2]->data,
                        .h = y->data,
                        .kept = ad_saved(op),
                        .scratch = ad_scratch(op) };
    if (r.kind == AD__GRU) r.b = op->in[3]->data;
    if (r.kind == AD__LSTM) r.c0 = op->in[3]->data, r.c = c_half(y, y->data);
    return r;
}

static int recurrent_evaluate(const ad_op *op) {
    ad__recurrent r = recurrent_of(op);
    AD__BY_DTYPE(ad__out(op)->layout->dtype, ad__recur, &r);
    return AD_OK;
}

static void recurrent_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad__recurrent r = recurrent_of(op);
    r.gh = y->grad;
    r.gx = ad__product_grad(op, 0, &r.beta_gx);
    r.gw = ad__product_grad(op, 1, &r.beta_gw);
    r.gh0 = ad_grad_into(op, 2);
    if (r.kind == AD__GRU) r.gb = ad_grad_into(op, 3);
    if (r.kind == AD__LSTM) r.gc = c_half(y, y->grad), r.gc0 = ad_grad_into(op, 3);
    AD__BY_DTYPE(y->layout->dtype, ad__recur_back, &r);
}

/* ---- the same in Vars, step by step, for the vjp rules ----------------------------------------------------------- */

typedef struct {
    ad_var *h, *c;
} moment;

/* One step: x [n,k] is the input at one time step, in are the operands of the op. */
typedef moment step_fn(const recurrent_attrs *a, ad_var *x, ad_var *const in[], moment before);

/* x [n,k] -> gate i [n,m] */
static ad_var *gate(ad_var *x, int i, const ad_var *h) {
    int64_t m = ad_shape_of(h).dim[1];
    return ad_narrow(x, 1, i * m, m);
}

static moment rnn_step(const recurrent_attrs *a, ad_var *x, ad_var *const in[], moment before) {
    ad_var *sum = ad_add(x, ad_affine(before.h, in[1], NULL));
    return (moment){ a->relu ? ad_relu(sum) : ad_tanh(sum), NULL };
}

static moment lstm_step(const recurrent_attrs *a, ad_var *x, ad_var *const in[], moment before) {
    (void)a;
    ad_var *sum = ad_add(x, ad_affine(before.h, in[1], NULL));
    ad_var *i = ad_sigmoid(gate(sum, 0, before.h)), *f = ad_sigmoid(gate(sum, 1, before.h));
    ad_var *g = ad_tanh(gate(sum, 2, before.h)), *o = ad_sigmoid(gate(sum, 3, before.h));
    ad_var *c = ad_add(ad_mul(f, before.c), ad_mul(i, g));
    return (moment){ ad_mul(o, ad_tanh(c)), c };
}

static moment gru_step(const recurrent_attrs *a, ad_var *x, ad_var *const in[], moment before) {
    (void)a;
    ad_var *u = ad_affine(before.h, in[1], in[3]), *h = before.h;
    ad_var *r = ad_sigmoid(ad_add(gate(x, 0, h), gate(u, 0, h)));
    ad_var *z = ad_sigmoid(ad_add(gate(x, 1, h), gate(u, 1, h)));
    ad_var *n = ad_tanh(ad_add(gate(x, 2, h), ad_mul(r, gate(u, 2, h))));
    return (moment){ ad_lerp(n, h, z), NULL };
}

static ad_var *in_vars(const ad_op *op, ad_var *const in[], step_fn *step) {
    ad_graph *g = ad__owner(in[0]);
    bool is_lstm = op->type == &ad_op_lstm;
    int time = (int)op->in[0]->layout->shape.dim[1];
    ad_var **h = ad_scope_alloc(g, 2 * (size_t)time * sizeof *h), **c = h + time;
    moment now = { in[2], is_lstm ? in[3] : NULL };
    for (int i = 0; h != NULL && i < time && g->code == AD_OK; i++) {
        int t = attrs_of(op)->reverse ? time - 1 - i : i;
        now = step(attrs_of(op), ad_select(in[0], 1, t), in, now);
        h[t] = now.h;
        c[t] = now.c;
    }
    if (g->code != AD_OK) return ad_nil(g);
    ad_var *y = ad_stack(time, h, 1);
    return is_lstm ? ad_stack(2, (ad_var *[]){ y, ad_stack(time, c, 1) }, 0) : y;
}

static ad_var *rnn_in_vars(const ad_op *op, ad_var *const in[]) { return in_vars(op, in, rnn_step); }
static ad_var *lstm_in_vars(const ad_op *op, ad_var *const in[]) { return in_vars(op, in, lstm_step); }
static ad_var *gru_in_vars(const ad_op *op, ad_var *const in[]) { return in_vars(op, in, gru_step); }

static void rnn_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { ad__vjp_of_expression(op, g, dx, rnn_in_vars); }
static void lstm_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { ad__vjp_of_expression(op, g, dx, lstm_in_vars); }
static void gru_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { ad__vjp_of_expression(op, g, dx, gru_in_vars); }

/* ---- the same as loops, step by step, for programs --------------------------------------------------------------- */

#define SIGMOID "1 / (1 + exp(-x))"
#define SIGMOID_BACK "g * (exp(-fabs(x)) / ((1 + exp(-fabs(x))) * (1 + exp(-fabs(x)))))"
#define TANH_BACK "g * (1 - y * y)"

/* The operands as arrays; what a step starts from and gives. */
typedef struct {
    ad_emit *e;
    ad_dtype t;
    ad_emit_array w, last; /* w [k,m]; b of gru */
    int64_t n, m, k;
    bool relu;
} steps;
typedef struct {
    ad_emit_array h, c; /* [n,m] */
} moments;
typedef moments emit_fn(const steps *r, ad_emit_array x, moments before);

/* before [n,k,1], which may broadcast, + h w^T -> [n,k] */
static ad_emit_array emit_sums(const steps *r, ad_emit_array before, ad_emit_array h) {
    ad_emit_array y = ad_emit_new(r->e, r->t, AD_SHAPE(r->n, r->k, 1));
    ad__emit_copy(r->e, before, y);
    y = ad_emit_run(r->e, &(ad_emit_loop){ .kind = AD_EMIT_ADD, .dtype = r->t, .shape = AD_SHAPE(r->n, r->k, r->m),
                                           .reduced = 1u << 2, .names = "a b", .value = "a * b",
                                           .slope = { "g * b", "g * a" }, .n = 2,
                                           .in = { ad__emit_unsqueeze(h, 1), r->w }, .into = &y });
    y.shape.ndim = 2;
    return y;
}

static ad_emit_array emit_gate(const steps *r, ad_emit_array x, int i, const char *value, const char *slope) {
    return ad__emit_map(r->e, r->t, ad__emit_part(x, 1, i * r->m, r->m, 1), value, slope);
}

static ad_emit_array emit_product(const steps *r, ad_emit_array a, ad_emit_array b) {
    return ad__emit_map2(r->e, r->t, AD_SHAPE(r->n, r->m), a, b, "a * b", "g * b", "g * a");
}

static moments emit_rnn(const steps *r, ad_emit_array x, moments before) {
    ad_emit_array sum = emit_sums(r, x, before.h);
    if (r->relu) before.h = ad__emit_map(r->e, r->t, sum, "x < 0 ? 0 : x", "x <= 0 ? 0 : g");
    else before.h = ad__emit_map(r->e, r->t, sum, "tanh(x)", TANH_BACK);
    return before;
}

static moments emit_lstm(const steps *r, ad_emit_array x, moments before) {
    ad_emit_array sum = emit_sums(r, x, before.h);
    ad_emit_array i = emit_gate(r, sum, 0, SIGMOID, SIGMOID_BACK), f = emit_gate(r, sum, 1, SIGMOID, SIGMOID_BACK);
    ad_emit_array g = emit_gate(r, sum, 2, "tanh(x)", TANH_BACK), o = emit_gate(r, sum, 3, SIGMOID, SIGMOID_BACK);
    ad_emit_array kept = emit_product(r, f, before.c), taken = emit_product(r, i, g);
    moments now = { .c = ad__emit_map2(r->e, r->t, AD_SHAPE(r->n, r->m), kept, taken, "a + b", "g", "g") };
    now.h = emit_product(r, o, ad__emit_map(r->e, r->t, now.c, "tanh(x)", TANH_BACK));
    return now;
}

/* A sigmoid of x + u in one gate. */
static ad_emit_array emit_gru_gate(const steps *r, ad_emit_array x, ad_emit_array u, int i) {
    x = ad__emit_part(x, 1, i * r->m, r->m, 1), u = ad__emit_part(u, 1, i * r->m, r->m, 1);
    ad_emit_array sum = ad__emit_map2(r->e, r->t, x.shape, x, u, "a + b", "g", "g");
    return ad__emit_map(r->e, r->t, sum, SIGMOID, SIGMOID_BACK);
}

static moments emit_gru(const steps *r, ad_emit_array x, moments before) {
    ad_emit_array u = emit_sums(r, ad__emit_unsqueeze(ad__emit_unsqueeze(r->last, 1), 0), before.h), sum;
    x.shape.ndim = 2;
    ad_emit_array reset = emit_gru_gate(r, x, u, 0), z = emit_gru_gate(r, x, u, 1);
    ad_emit_array part = emit_product(r, reset, ad__emit_part(u, 1, 2 * r->m, r->m, 1));
    sum = ad__emit_map2(r->e, r->t, part.shape, ad__emit_part(x, 1, 2 * r->m, r->m, 1), part, "a + b", "g", "g");
    before.h = ad_emit_run(r->e, &(ad_emit_loop){
        .dtype = r->t, .shape = sum.shape, .names = "a b c", .n = 3,
        .value = "c < (T)0.5 ? a + c * (b - a) : b - (b - a) * (1 - c)",
        .slope = { "g * (1 - c)", "g * c", "g * (b - a)" },
        .in = { ad__emit_map(r->e, r->t, sum, "tanh(x)", TANH_BACK), before.h, z } });
    return before;
}

/* y [n,time,m], or [2,n,time,m] with c, from x [n,time,k]; a state is an array of its own, which products take. */
AD_COLD static int emit_steps(ad_emit *e, const ad_op *op, emit_fn *step) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    ad_shape s = ad__out(op)->layout->shape;
    bool is_lstm = op->type == &ad_op_lstm, reverse = attrs_of(op)->reverse;
    int axis = s.ndim - 2;
    int64_t time = s.dim[axis];
    steps r = { .e = e, .t = x.dtype, .w = ad_emit_operand(e, op, 1), .n = x.shape.dim[0], .k = x.shape.dim[2],
                .relu = attrs_of(op)->relu };
    r.m = s.dim[s.ndim - 1];
    if (ad__out(op)->layout->numel == 0) return AD_EABSENT;
    if (op->n_in > 3) r.last = ad_emit_operand(e, op, 3);
    moments now = { .h = ad_emit_operand(e, op, 2), .c = r.last };
    ad_emit_array y = ad_emit_new(e, r.t, s);
    for (int64_t i = 0; i < time; i++) {
        int64_t t = reverse ? time - 1 - i : i;
        now = step(&r, ad__emit_swap(ad__emit_part(x, 1, t, 1, 1), 1, 2), now);
        ad_emit_array at = ad__emit_part(y, axis, t, 1, 1), h = is_lstm ? ad__emit_part(at, 0, 0, 1, 1) : at;
        ad__emit_copy(e, ad__emit_unsqueeze(now.h, 1), h);
        if (is_lstm) ad__emit_copy(e, ad__emit_unsqueeze(now.c, 1), ad__emit_part(at, 0, 1, 1, 1));
    }
    ad_emit_result(e, op, y);
    return AD_OK;
}

static int rnn_emit(ad_emit *e, const ad_op *op) { return emit_steps(e, op, emit_rnn); }
static int lstm_emit(ad_emit *e, const ad_op *op) { return emit_steps(e, op, emit_lstm); }
static int gru_emit(ad_emit *e, const ad_op *op) { return emit_steps(e, op, emit_gru); }

/* ---- samples ---------------------------------------------------------------------------------------------------- */

static void recurrent_samples(ad_sampler *s, int64_t gates, int n, const recurrent_attrs *a) {
    static const int64_t sizes[][3] = { /* n, time, m */
                                        { 1, 1, 1 }, { 2, 3, 2 }, { 3, 1, 4 }, { 0, 2, 3 }, { 1, 2, 17 }
    };
    static const double lo[] = { -2, -1, -0.9, -1.5 }, hi[] = { 2, 1, 0.9, 1.5 };
    for (int i = 0; i < AD__COUNT(sizes); i++) {
        int64_t rows = sizes[i][0], m = sizes[i][2];
        ad_shape state = AD_SHAPE(rows, m), last = gates == 3 ? AD_SHAPE(3 * m) : state;
        ad_shape shapes[] = { AD_SHAPE(rows, sizes[i][1], gates * m), AD_SHAPE(gates * m, m), state, last };
        ad_sample(s, a, n, shapes, lo, hi);
    }
}

static void rnn_samples(ad_sampler *s) {
    for (int k = 0; k < 4; k++) recurrent_samples(s, 1, 3, &(recurrent_attrs){ k & 1, k & 2 });
}
static void lstm_samples(ad_sampler *s) {
    for (int k = 0; k < 2; k++) recurrent_samples(s, 4, 4, &(recurrent_attrs){ false, k == 1 });
}
static void gru_samples(ad_sampler *s) {
    for (int k = 0; k < 2; k++) recurrent_samples(s, 3, 4, &(recurrent_attrs){ false, k == 1 });
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

#define RECURRENT                                                                                                      \
    .attr_size = sizeof(recurrent_attrs), .shape = recurrent_shape,                                                    \
    .evaluate = { recurrent_evaluate, recurrent_evaluate }, .backward = { recurrent_backward, recurrent_backward }

AD_OPTYPE(rnn,
          .doc = "Elman's recurrent network. x [n,time,m] is the part of the sums that comes from the inputs, w is "
                 "[m,m], h [n,m] is the state before the first step. The result is the states at all time steps "
                 "[n,time,m]",
          .formula = "h_t = tanh(x_t + h_(t-1) w^T), or relu",
          .gradient = "backpropagation through time; the slope of relu at 0 is 0", .arity = 3, .attrs = rnn_list,
          .vjp = rnn_vjp, .emit = rnn_emit, RECURRENT);
AD_OPTYPE(lstm,
          .doc = "long short-term memory (Hochreiter and Schmidhuber 1997, Gers 1999). x [n,time,4 m] is the part of "
                 "the gates i f g o that comes from the inputs, w is [4 m,m], h and c [n,m] are the state before the "
                 "first step. The result [2,n,time,m] is h and c at all time steps",
          .formula = "with i f g o = x_t + h_(t-1) w^T: c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g), "
                     "h_t = sigmoid(o) tanh(c_t)",
          .gradient = "backpropagation through time", .arity = 4, .attrs = rnn_list + 1,
          .vjp = lstm_vjp, .emit = lstm_emit, RECURRENT);
AD_OPTYPE(gru,
          .doc = "gated recurrent unit (Cho et al. 2014, with PyTorch's reset gate). x [n,time,3 m] is the part of the "
                 "gates r z n that comes from the inputs, w is [3 m,m], h [n,m] is the state before the first step, "
                 "b "
                 "is [3 m]. The result is the states at all time steps [n,time,m]",
          .formula = "with u = h_(t-1) w^T + b, r = sigmoid(x_r + u_r), z = sigmoid(x_z + u_z), n = tanh(x_n + r u_n): "
                     "h_t = (1 - z) n + z h_(t-1)",
          .gradient = "backpropagation through time", .arity = 4, .attrs = rnn_list + 1,
          .vjp = gru_vjp, .emit = gru_emit, RECURRENT);

ad_var *ad_rnn(ad_var *x, ad_var *w, ad_var *h, bool relu, bool reverse) {
    return ad_apply(&ad_op_rnn, 3, (ad_var *[]){ x, w, h }, &(recurrent_attrs){ relu, reverse });
}
ad_var *ad_lstm(ad_var *x, ad_var *w, ad_var *h, ad_var *c, bool reverse) {
    return ad_apply(&ad_op_lstm, 4, (ad_var *[]){ x, w, h, c }, &(recurrent_attrs){ false, reverse });
}
ad_var *ad_gru(ad_var *x, ad_var *w, ad_var *h, ad_var *b, bool reverse) {
    return ad_apply(&ad_op_gru, 4, (ad_var *[]){ x, w, h, b }, &(recurrent_attrs){ false, reverse });
}
