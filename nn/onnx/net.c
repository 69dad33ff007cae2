/* net.c: the forms in ONNX of convolutions, pools, norms, recurrent cells and attention. */
#include <math.h>
#include <string.h>

#include "nn/onnx/form.h"
#include "ops/ops.h"

/* ---- convolutions ------------------------------------------------------------------------------------------------ */

static void pair(const nn__traced *s, const char *to, const char *attr) {
    const int64_t v[] = { nn__attr_count(s, attr, 0).at[0], nn__attr_count(s, attr, 1).at[0] };
    nn__ints(s->m, to, 2, v);
}

static nn__value convolution(const nn__traced *s, const char *type) {
    nn__value in[] = { nn__in(s, 0), nn__in(s, 1), nn__in(s, 2) }, y = nn__node(s->m, type, ad_op_arity(s->op[0]), in);
    const int64_t h = nn__attr_count(s, "padding", 0).at[0], w = nn__attr_count(s, "padding", 1).at[0];
    pair(s, "strides", "stride");
    pair(s, "dilations", "dilation");
    nn__ints(s->m, "pads", 4, (int64_t[]){ h, w, h, w });
    nn__int(s->m, "group", (int64_t)nn__attr(s, "groups"));
    return y;
}
static nn__value conv2d(const nn__traced *s) { return convolution(s, "Conv"); }

static nn__value conv_transpose2d(const nn__traced *s) {
    nn__value y = convolution(s, "ConvTranspose");
    pair(s, "output_padding", "output_padding");
    return y;
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

/* Along h and along w: what ONNX is told. The padding at the end covers the last window, so that ceil_mode is not
   needed, whose rule for that window differs. */
typedef struct {
    int64_t kernel[2], stride[2], dilation[2], pads[4];
    bool uneven; /* the last window extends beyond the padding */
} window;

static bool read_window(const nn__traced *s, bool dilated, window *w) {
    int n = nn__ndim(s, 0);
    for (int i = 0; i < 2; i++) {
        nn__count in = nn__size(s, 0, n - 2 + i), out = nn__size(s, -1, n - 2 + i);
        if (in.at[0] != in.at[1]) return false;
        w->kernel[i] = nn__attr_count(s, "kernel", i).at[0], w->stride[i] = nn__attr_count(s, "stride", i).at[0];
        w->dilation[i] = dilated ? nn__attr_count(s, "dilation", i).at[0] : 1;
        w->pads[i] = w->pads[2 + i] = nn__attr_count(s, "padding", i).at[0];
        int64_t reach = (out.at[0] - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1;
        int64_t end = reach - in.at[0] - w->pads[i];
        w->uneven |= end > w->pads[2 + i];
        if (end > w->pads[2 + i]) w->pads[2 + i] = end;
    }
    return true;
}

/* A pool of planes [..,h,w]; ONNX knows [n,c,h,w]. */
static nn__value pooled(const nn__traced *s, const char *type, const window *w) {
    int n = nn__ndim(s, 0);
    nn__value x = nn__in(s, 0), y;
    if (n != 4) {
        const int64_t planes[] = { -1, 1, nn__size(s, 0, n - 2).at[0], nn__size(s, 0, n - 1).at[0] };
        x = NN__NODE(s->m, "Reshape", x, nn__integers(s->m, 4, planes));
    }
    y = NN__NODE(s->m, type, x);
    nn__ints(s->m, "kernel_shape", 2, w->kernel);
    nn__ints(s->m, "strides", 2, w->stride);
    nn__ints(s->m, "pads", 4, w->pads);
    return y;
}
static nn__value in_shape(const nn__traced *s, nn__value y) {
    return nn__ndim(s, 0) == 4 ? y : NN__NODE(s->m, "Reshape", y, nn__shape(s, -1));
}

static nn__value max_pool2d(const nn__traced *s) {
    window w = { .uneven = false };
    if (!read_window(s, true, &w)) return NULL;
    nn__value y = pooled(s, "MaxPool", &w);
    nn__ints(s->m, "dilations", 2, w.dilation);
    return in_shape(s, y);
}

/* An adaptive pool whose windows are all of one size. */
static bool even_window(const nn__traced *s, window *w) {
    int n = nn__ndim(s, 0);
    *w = (window){ .uneven = false };
    for (int i = 0; i < 2; i++) {
        nn__count in = nn__size(s, 0, n - 2 + i), out = nn__size(s, -1, n - 2 + i);
        if (in.at[0] != in.at[1] || out.at[0] == 0 || in.at[0] % out.at[0] != 0) return false;
        w->kernel[i] = w->stride[i] = in.at[0] / out.at[0];
    }
    return true;
}

static nn__value avg_pool2d(const nn__traced *s) {
    window w = { .uneven = false };
    bool adaptive = nn__attr_length(s, "output") > 0, all = nn__attr(s, "count_include_pad") != 0;
    if (adaptive ? !even_window(s, &w) : !read_window(s, false, &w)) return NULL;
    if (w.uneven && all) return NULL; /* ONNX would count what lies beyond the padding */
    nn__value y = pooled(s, "AveragePool", &w);
    nn__int(s->m, "count_include_pad", all && !adaptive);
    return in_shape(s, y);
}

/* ---- norms ------------------------------------------------------------------------------------------------------- */

static nn__value filled(const nn__traced *s, double v, int n, const nn__count *size) {
    return NN__NODE(s->m, "Expand", nn__number(s->m, v), nn__counts(s->m, n, size));
}

/* Operand i if the Op has it, else ones or zeros. */
static nn__value parameter(const nn__traced *s, const char *has, int i, double otherwise, int n,
                           const nn__count *size) {
    return nn__attr(s, has) != 0 ? nn__in(s, i) : filled(s, otherwise, n, size);
}

static nn__value layer_norm(const nn__traced *s) {
    nn__count size[AD_MAX_NDIM];
    int n = nn__attr_length(s, "normalized_shape");
    for (int i = 0; i < n; i++) size[i] = nn__attr_count(s, "normalized_shape", i);
    nn__value w = parameter(s, "has_weight", 1, 1, n, size), x = nn__in(s, 0);
    nn__value b = parameter(s, "has_bias", 1 + (nn__attr(s, "has_weight") != 0), 0, n, size);
    nn__value y = NN__NODE(s->m, "LayerNormalization", x, w, b);
    nn__int(s->m, "axis", -n);
    nn__float(s->m, "epsilon", nn__attr(s, "eps"));
    return y;
}

static nn__value batch_norm(const nn__traced *s) {
    nn__count channels = nn__size(s, 0, 1);
    nn__value w = parameter(s, "has_weight", 3, 1, 1, &channels), x = nn__in(s, 0);
    nn__value b = parameter(s, "has_bias", ad_op_arity(s->op[0]) - 1, 0, 1, &channels);
    nn__value y = NN__NODE(s->m, "BatchNormalization", x, w, b, nn__in(s, 1), nn__in(s, 2));
    nn__float(s->m, "epsilon", nn__attr(s, "eps"));
    return y;
}

static nn__value rms_norm(const nn__traced *s) {
    nn__value x = nn__in(s, 0), mean = NN__NODE(s->m, "ReduceMean", NN__NODE(s->m, "Mul", x, x));
    nn__ints(s->m, "axes", 1, (int64_t[]){ -1 });
    nn__value size = NN__NODE(s->m, "Sqrt", NN__NODE(s->m, "Add", mean, nn__number(s->m, nn__attr(s, "eps"))));
    nn__value y = NN__NODE(s->m, "Div", x, size), w = nn__in(s, 1);
    return w ? NN__NODE(s->m, "Mul", y, w) : y;
}

static nn__value along_axis(const nn__traced *s, const char *type) {
    nn__value y = NN__NODE(s->m, type, nn__in(s, 0));
    nn__int(s->m, "axis", (int64_t)nn__attr(s, "axis"));
    return y;
}
static nn__value softmax(const nn__traced *s) { return along_axis(s, "Softmax"); }
static nn__value log_softmax(const nn__traced *s) { return along_axis(s, "LogSoftmax"); }

/* ---- attention --------------------------------------------------------------------------------------------------- */

static nn__value last_two_swapped(const nn__traced *s, int i) {
    int64_t order[AD_MAX_NDIM];
    int n = nn__ndim(s, i);
    for (int k = 0; k < n; k++) order[k] = k < n - 2 ? k : 2 * n - 3 - k;
    nn__value y = NN__NODE(s->m, "Transpose", nn__in(s, i));
    nn__ints(s->m, "perm", n, order);
    return y;
}

/* Query i sees the keys up to offset + i. */
static nn__value hide_later(const nn__traced *s, nn__value scores) {
    nn__count size[] = { nn__size(s, 0, nn__ndim(s, 0) - 2), nn__size(s, 1, nn__ndim(s, 1) - 2) };
    const int64_t offset = (int64_t)nn__attr(s, "offset");
    nn__value hidden = filled(s, -INFINITY, 2, size), first = nn__integers(s->m, 1, (int64_t[]){ offset + 1 });
    nn__value above = NN__NODE(s->m, "Trilu", hidden, NN__NODE(s->m, "Squeeze", first));
    nn__int(s->m, "upper", 1);
    return NN__NODE(s->m, "Add", scores, above);
}

/* The weights of a query that sees no key are 0. */
static nn__value zero_where_none(const nn__traced *s, nn__value scores, nn__value p) {
    nn__value most = NN__NODE(s->m, "ReduceMax", scores);
    nn__ints(s->m, "axes", 1, (int64_t[]){ -1 });
    nn__value none = NN__NODE(s->m, "Equal", most, nn__number(s->m, -INFINITY));
    return NN__NODE(s->m, "Where", none, nn__number(s->m, 0), p);
}

static nn__value attention(const nn__traced *s) {
    double given = nn__attr(s, "scale"), width = (double)nn__size(s, 0, nn__ndim(s, 0) - 1).at[0];
    nn__value q = NN__NODE(s->m, "Mul", nn__in(s, 0), nn__number(s->m, given != 0 ? given : 1 / sqrt(width)));
    nn__value scores = NN__NODE(s->m, "MatMul", q, last_two_swapped(s, 1)), mask = nn__in(s, 3);
    if (mask != NULL) scores = NN__NODE(s->m, "Add", scores, mask);
    if (nn__attr(s, "causal") != 0) scores = hide_later(s, scores);
    nn__value p = NN__NODE(s->m, "Softmax", scores);
    nn__int(s->m, "axis", -1);
    bool some_see_none = mask != NULL || (nn__attr(s, "causal") != 0 && nn__attr(s, "offset") < 0);
    if (some_see_none) p = zero_where_none(s, scores, p);
    return NN__NODE(s->m, "MatMul", p, nn__in(s, 2));
}

/* ---- recurrent cells --------------------------------------------------------------------------------------------- */

/* ONNX's order of the gates: for each of its gates, the number of ours. */
typedef struct {
    const char *type;
    int gates, order[4];
} cell;
static const cell rnn_cell = { "RNN", 1, { 0 } };
static const cell lstm_cell = { "LSTM", 4, { 0, 3, 1, 2 } }; /* i f g o -> i o f g */
static const cell gru_cell = { "GRU", 3, { 1, 0, 2 } };      /* r z n -> z r n */

/* The rows of w [gates hidden, ..] in ONNX's order, with an axis of one direction in front. */
static nn__value in_order(const nn__traced *s, const cell *c, nn__value w) {
    int64_t hidden = nn__size(s, 1, 1).at[0], n = c->gates * hidden;
    int64_t *rows = ad_scope_alloc(ad_graph_of(ad_op_result(s->op[0])), (size_t)n * sizeof *rows + 1);
    for (int64_t i = 0; rows && i < n; i++) rows[i] = c->order[i / hidden] * hidden + i % hidden;
    if (rows == NULL) return "";
    nn__value y = c->gates == 1 ? w : NN__NODE(s->m, "Gather", w, nn__integers(s->m, (int)n, rows));
    return NN__NODE(s->m, "Unsqueeze", y, nn__integers(s->m, 1, (int64_t[]){ 0 }));
}

/* What the inputs contribute to the gates is an operand, mostly the result of affine: then ONNX's cell gets the
   operands of affine, else the result and a matrix of ones and zeros. */
typedef struct {
    nn__value x, w, b; /* b NULL: zeros */
} projection;

static projection projection_of(const nn__traced *s) {
    const ad_op *made = ad_creator(ad_op_operand(s->op[0], 0));
    if (made != NULL && strcmp(ad_op_name(made), "affine") == 0) {
        const ad_var *b = ad_op_operand(made, 2);
        return (projection){ nn__find_value(s->m, ad_op_operand(made, 0)), nn__find_value(s->m, ad_op_operand(made, 1)),
                             b ? nn__find_value(s->m, b) : NULL };
    }
    nn__count size[] = { nn__size(s, 1, 0), nn__size(s, 1, 0) };
    return (projection){ nn__in(s, 0), NN__NODE(s->m, "EyeLike", filled(s, 0, 2, size)), NULL };
}

static nn__value biases(const nn__traced *s, const cell *c, nn__value of_x, nn__value of_h) {
    nn__count size = nn__size(s, 1, 0);
    nn__value x = in_order(s, c, of_x ? of_x : filled(s, 0, 1, &size));
    nn__value h = in_order(s, c, of_h ? of_h : filled(s, 0, 1, &size)), both = NN__NODE(s->m, "Concat", x, h);
    nn__int(s->m, "axis", 1);
    return both;
}

static nn__value swap_time(const nn__traced *s, nn__value x) {
    nn__value y = NN__NODE(s->m, "Transpose", x);
    nn__ints(s->m, "perm", 3, (int64_t[]){ 1, 0, 2 });
    return y;
}

/* x [n,time,k] -> h [n,time,hidden]. *last, unless NULL, gets c after the last step, [1,n,hidden]. */
static nn__value recurrent(const nn__traced *s, const cell *c, nn__value bias_of_h, nn__value c0, nn__value *last) {
    projection p = projection_of(s);
    nn__value front = nn__integers(s->m, 1, (int64_t[]){ 0 });
    nn__value in[] = { swap_time(s, p.x), in_order(s, c, p.w), in_order(s, c, nn__in(s, 1)),
                       biases(s, c, p.b, bias_of_h), NULL, NN__NODE(s->m, "Unsqueeze", nn__in(s, 2), front), NULL };
    if (c0 != NULL) in[6] = NN__NODE(s->m, "Unsqueeze", c0, front);
    nn__value y = nn__node(s->m, c->type, c0 ? 7 : 6, in);
    if (last != NULL) *last = nn__third(s->m);
    nn__int(s->m, "hidden_size", nn__size(s, 1, 1).at[0]);
    nn__text(s->m, "direction", nn__attr(s, "reverse") != 0 ? "reverse" : "forward");
    if (c == &gru_cell) nn__int(s->m, "linear_before_reset", 1);
    if (c == &rnn_cell) nn__texts(s->m, "activations", nn__attr(s, "relu") != 0 ? "Relu" : "Tanh");
    return swap_time(s, NN__NODE(s->m, "Squeeze", y, nn__integers(s->m, 1, (int64_t[]){ 1 })));
}

static nn__value rnn(const nn__traced *s) { return recurrent(s, &rnn_cell, NULL, NULL, NULL); }
static nn__value gru(const nn__traced *s) { return recurrent(s, &gru_cell, nn__in(s, 3), NULL, NULL); }

/* Whether a slice takes one place of an axis, counted from the first. */
static bool takes_one(const nn__traced *s, const ad_op *op, int axis, int64_t place) {
    int64_t axes[AD_MAX_NDIM];
    nn__traced t = { .m = s->m, .op = { op, op }, .type = ad_find_op(ad_graph_of(ad_op_result(op)), ad_op_name(op)) };
    if (strcmp(ad_op_name(op), "slice") != 0 || nn__attr_axes(&t, "axes", axes) != 1 || axes[0] != axis) return false;
    int64_t start = nn__attr_count(&t, "start", 0).at[0];
    return nn__size(&t, -1, axis).at[0] == 1 && (start < 0 ? start + nn__size(&t, 0, axis).at[0] : start) == place;
}

/* The result [2,n,time,hidden] holds h and c. ONNX has c after the last step only: nothing else of it may be used. */
static nn__value lstm(const nn__traced *s) {
    const ad_var *y = ad_op_result(s->op[0]);
    int64_t end = nn__attr(s, "reverse") != 0 ? 0 : nn__size(s, 0, 1).at[0] - 1;
    bool has_c = false;
    if (s->is_output) return NULL;
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < ad_op_arity(s->all[i]); k++) {
            if (ad_op_operand(s->all[i], k) != y || takes_one(s, s->all[i], 0, 0)) continue;
            if (!takes_one(s, s->all[i], 2, end)) return NULL;
            has_c = true;
        }
    nn__value c = NULL, h = recurrent(s, &lstm_cell, NULL, nn__in(s, 3), has_c ? &c : NULL);
    h = NN__NODE(s->m, "Unsqueeze", h, nn__integers(s->m, 1, (int64_t[]){ 0 }));
    if (!has_c) return h;
    nn__count size[] = { { { 1, 1 } }, nn__size(s, -1, 1), nn__size(s, -1, 2), nn__size(s, -1, 3) };
    c = NN__NODE(s->m, "Unsqueeze", c, nn__integers(s->m, 1, (int64_t[]){ 2 }));
    c = NN__NODE(s->m, "Expand", c, nn__counts(s->m, 4, size));
    nn__value both = NN__NODE(s->m, "Concat", h, c);
    nn__int(s->m, "axis", 0);
    return both;
}

const nn__form nn__net_forms[] = {
    { "conv2d", conv2d },         { "conv_transpose2d", conv_transpose2d },
    { "max_pool2d", max_pool2d }, { "avg_pool2d", avg_pool2d },
    { "layer_norm", layer_norm }, { "batch_norm_eval", batch_norm },
    { "rms_norm", rms_norm },     { "softmax", softmax },
    { "log_softmax", log_softmax }, { "attention", attention },
    { "rnn", rnn },               { "lstm", lstm },
    { "gru", gru },               { 0 },
};
