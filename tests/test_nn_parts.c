/* test_nn_parts.c: walks over modules, hooks, several inputs and results, replacement of modules. */
#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

static void assert_same(const ad_var *a, const ad_var *b) {
    assert_true(ad_shape_equal(ad_shape_of(a), ad_shape_of(b)));
    for (int64_t i = 0; i < ad_numel(a); i++) assert_true(ad_at(a, i) == ad_at(b, i));
}

/* ---- walks --------------------------------------------------------------------------------------------------- */

/* 0: linear, 1: residual of the module that is 2 too */
static nn_module *tree(ad_graph *g) {
    nn_module *block = nn_sequential(g, nn_linear(g, AD_F64, 3, 3, true), nn_tanh(g));
    return nn_sequential(g, nn_linear(g, AD_F64, 3, 3, false), nn_residual(g, block, NULL), block);
}

typedef struct {
    char text[400];
    int stop, calls;
} notes;

static int note(nn_module *m, const char *path, void *data) {
    notes *n = data;
    size_t at = strlen(n->text);
    snprintf(n->text + at, sizeof n->text - at, "%s=%s ", path, nn_kind(m));
    return ++n->calls == n->stop ? 7 : 0;
}

/* As torch's named_modules: parents first, a shared module once, under its first path. */
static void each_module_is_visited_once(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = tree(g);
    for (int twice = 0; twice < 2; twice++) {
        notes n = { "", 0, 0 };
        assert_int_equal(nn_each_module(m, note, &n), 0);
        assert_string_equal(n.text, "=sequential 0=linear 1=residual 1.body=sequential 1.body.0=linear "
                                    "1.body.1=tanh ");
    }
    notes n = { "", 2, 0 };
    assert_int_equal(nn_each_module(m, note, &n), 7);
    assert_int_equal(n.calls, 2);
    assert_ptr_equal(nn_find_module(m, "1.body"), nn_find_module(m, "2"));
    assert_ptr_equal(nn_find_module(m, ""), m);
    assert_string_equal(nn_kind(nn_find_module(m, "2.1")), "tanh");
    static const char *const none[] = { "3", "1.", ".", "1..body", "1.bod", "1.body.0.weight", "0.weight" };
    for (int i = 0; i < COUNT(none); i++) assert_null(nn_find_module(m, none[i]));
    assert_ok(g);
    assert_int_equal(nn_each_module(m, NULL, NULL), AD_EVALUE);
    assert_contains(ad_error(g), "each_module: no function is given");
    ad_graph_free(g);
}

static int fail_there(nn_module *m, const char *path, void *data) {
    (void)data;
    if (strcmp(path, "1") == 0) ad_fail(nn_graph_of(m), AD_EVALUE, "no");
    return 0;
}

static void errors_end_a_walk(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_int_equal(nn_each_module(tree(g), fail_there, NULL), AD_EVALUE);
    assert_string_equal(ad_error(g), "no");
    ad_graph_free(g);
}

/* ---- hooks --------------------------------------------------------------------------------------------------- */

typedef struct {
    int before, after, order;
    int n, n_y; /* inputs and results of the last call */
    ad_shape x, y;
    double factor;     /* of the result; 0: it stays */
    nn_module *module; /* that a hook takes itself away from */
    int number;
} calls;

static void count_before(nn_module *m, int n, ad_var *x[], void *data) {
    calls *c = data;
    (void)m;
    c->before++;
    c->n = n;
    c->x = ad_shape_of(x[0]);
}

static void count_after(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], void *data) {
    calls *c = data;
    (void)m, (void)n, (void)x;
    c->after++;
    c->n_y = n_y;
    c->y = ad_shape_of(y[0]);
    if (c->factor != 0) y[0] = ad_muls(y[0], c->factor);
}

static void double_input(nn_module *m, int n, ad_var *x[], void *data) {
    (void)m, (void)n, (void)data;
    x[0] = ad_muls(x[0], 2);
}

static void hooks_see_and_change(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = tree(g), *inner = nn_find_module(m, "1.body.0");
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3)), *plain = nn_apply(m, x);
    calls c = { 0 };
    int a = nn_hook_before(inner, count_before, &c), b = nn_hook_after(inner, count_after, &c);
    assert_true(a > 0 && b > a);
    assert_same(nn_apply(m, x), plain);
    assert_int_equal(c.before, 2); /* it is used in two places */
    assert_int_equal(c.after, 2);
    assert_true(ad_shape_equal(c.x, AD_SHAPE(2, 3)) && ad_shape_equal(c.y, AD_SHAPE(2, 3)));
    assert_int_equal(nn_unhook(inner, a), AD_OK);
    assert_int_equal(nn_unhook(inner, b), AD_OK);
    assert_same(nn_apply(m, x), plain);
    assert_int_equal(c.before, 2);
    /* 2x in, 3y out, of the outermost module, with gradients through both */
    nn_module *l = nn_linear(g, AD_F64, 3, 2, false);
    c.factor = 3;
    nn_hook_before(l, double_input, NULL);
    nn_hook_after(l, count_after, &c);
    ad_var *y = nn_apply(l, x), *w = nn_find_parameter(l, "weight");
    ad_var *want = ad_muls(ad_affine(ad_muls(x, 2), w, NULL), 3);
    for (int64_t i = 0; i < ad_numel(y); i++) assert_close(ad_at(y, i), ad_at(want, i), 1e-14);
    assert_int_equal(ad_backward(ad_sum(y)), AD_OK);
    for (int64_t j = 0; j < 3; j++) assert_close(ad_grad_at(x, j), 6 * (ad_at(w, j) + ad_at(w, 3 + j)), 1e-14);
    assert_ok(g);
    ad_graph_free(g);
}

static void add_digit(nn_module *m, int n, ad_var *x[], void *data) {
    (void)n;
    calls *c = *(calls **)nn_self(m);
    c->order = 10 * c->order + *(const int *)data;
    (void)x;
}

static ad_var *same(nn_module *m, ad_var *x) { return (void)m, x; }

static void go_away(nn_module *m, int n, ad_var *x[], void *data) {
    calls *c = data;
    (void)n, (void)x;
    c->before++;
    assert_int_equal(nn_unhook(m, c->number), AD_OK);
}

static void hooks_run_in_order_and_end(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    calls c = { 0 };
    nn_module *m = nn_module_new(g, "same", same, sizeof(calls *));
    *(calls **)nn_self(m) = &c;
    static const int one = 1, two = 2, three = 3;
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2));
    nn_hook_before(m, add_digit, (void *)&one);
    c.number = nn_hook_before(m, go_away, &c);
    int second = nn_hook_before(m, add_digit, (void *)&two);
    ad_mark scope = ad_begin(g);
    nn_hook_before(m, add_digit, (void *)&three);
    nn_apply(m, x);
    assert_int_equal(c.order, 123);
    ad_end(g, scope); /* and with it the third */
    c.order = 0;
    nn_apply(m, x);
    assert_int_equal(c.order, 12);
    assert_int_equal(c.before, 1); /* it took itself away */
    assert_int_equal(nn_unhook(m, second), AD_OK);
    c.order = 0;
    nn_apply(nn_copy(m), x);
    assert_int_equal(c.order, 0); /* copies have no hooks */
    nn_apply(m, x);
    assert_int_equal(c.order, 1);
    assert_int_equal(nn_unhook(m, second), AD_EVALUE);
    assert_contains(ad_error(g), "unhook: same has no hook of number 3");
    ad_graph_free(g);
}

static void set_null(nn_module *m, int n, ad_var *x[], void *data) { (void)m, (void)n, (void)data, x[0] = NULL; }
static void set_null_after(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], void *data) {
    (void)m, (void)n, (void)x, (void)n_y, (void)data;
    y[0] = NULL;
}

static void hooks_that_give_nothing_are_errors(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *l = nn_linear(g, AD_F64, 3, 2, true);
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3));
    int hook = nn_hook_before(l, set_null, NULL);
    assert_fails(g, nn_apply(l, x), AD_EVALUE, "apply: a hook before of linear set number 0 to NULL");
    nn_unhook(l, hook);
    nn_hook_after(l, set_null_after, NULL);
    assert_fails(g, nn_apply(l, x), AD_EVALUE, "apply: a hook after of linear set number 0 to NULL");
    assert_int_equal(nn_hook_after(l, NULL, NULL), AD_EVALUE);
    assert_contains(ad_error(g), "hook_after: no function is given");
    ad_graph_free(g);
}

/* Every layer runs its hooks once, however it is applied. */
static void layers_of_several_inputs_have_hooks(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_transformer_opts o = { .width = 4, .heads = 2, .feedforward = 5, .layers = 2, .dropout = AD_ZERO };
    nn_module *encoder = nn_transformer_encoder(g, AD_F64, o), *decoder = nn_transformer_decoder(g, AD_F64, o);
    static const char *const paths[] = { "layers.1.self_attn", "layers.0", "", "layers.1.norm2" };
    static const int inputs[2][4] = { { 5, 3, 3, 1 }, { 5, 6, 6, 1 } };
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3, 4)), *memory = ad_muls(x, 0.5);
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < COUNT(paths); i++) {
            nn_module *m = d ? decoder : encoder, *part = nn_find_module(m, paths[i]);
            calls c = { 0 };
            int a = nn_hook_before(part, count_before, &c), b = nn_hook_after(part, count_after, &c);
            if (d) nn_apply_decoder(m, x, memory, (nn_attention_masks){ 0 }, (nn_attention_masks){ 0 });
            else nn_apply_encoder(m, x, (nn_attention_masks){ .causal = true });
            assert_ok(g);
            assert_int_equal(c.before, 1);
            assert_int_equal(c.after, 1);
            assert_int_equal(c.n, inputs[d][i]);
            nn_apply(m, x);
            assert_int_equal(c.before, 2);
            nn_unhook(part, a), nn_unhook(part, b);
        }
    nn_module *lstm = nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 4, .hidden = 3 });
    ad_var *plain = nn_apply(lstm, x);
    calls c = { 0 };
    nn_hook_after(lstm, count_after, &c);
    nn_rnn_state s = { NULL, NULL };
    assert_same(nn_apply_rnn(lstm, x, &s), plain);
    assert_int_equal(c.n_y, 3);
    assert_shape(s.c, AD_SHAPE(1, 2, 3));
    nn_apply(lstm, x);
    assert_int_equal(c.after, 2);
    nn_module *pair = nn_bilinear(g, AD_F64, 4, 4, 2, true);
    nn_hook_after(pair, count_after, &c);
    nn_apply_bilinear(pair, wave_of(g, AD_F64, AD_SHAPE(2, 4)), wave_of(g, AD_F64, AD_SHAPE(2, 4)));
    assert_int_equal(c.after, 3);
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- several inputs and results ------------------------------------------------------------------------------ */

/* The sum and the difference of two inputs; the second may be left out. */
static void sum_and_difference(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    if (n > 2 || n_y > 2) {
        ad_fail(nn_graph_of(m), AD_EVALUE, "pair: two of each");
        return;
    }
    ad_var *b = n == 2 && x[1] ? x[1] : ad_muls(x[0], 0);
    y[0] = ad_add(x[0], b);
    if (n_y == 2) y[1] = ad_sub(x[0], b);
}

static void own_modules_take_and_give_several(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_module_new_n(g, "pair", sum_and_difference, 0);
    ad_var *a = wave_of(g, AD_F64, AD_SHAPE(3)), *b = ad_square(a), *y[2];
    assert_int_equal(nn_apply_n(m, 2, (ad_var *[]){ a, b }, 2, y), AD_OK);
    assert_same(y[0], ad_add(a, b));
    assert_same(y[1], ad_sub(a, b));
    assert_int_equal(nn_apply_n(m, 2, (ad_var *[]){ a, NULL }, 1, y), AD_OK);
    assert_same(y[0], a);
    assert_same(nn_apply(m, a), a);
    assert_same(nn_apply(nn_sequential(g, m, nn_tanh(g)), a), ad_tanh(a));
    assert_int_equal(nn_apply_n(nn_tanh(g), 1, &a, 1, y), AD_OK);
    assert_same(y[0], ad_tanh(a));
    nn_module *copy = nn_copy(m);
    assert_int_equal(nn_apply_n(copy, 2, (ad_var *[]){ a, b }, 2, y), AD_OK);
    assert_same(y[1], ad_sub(a, b));
    assert_int_equal(nn_apply_n(m, 3, (ad_var *[]){ a, b, b }, 1, y), AD_EVALUE);
    assert_fails(g, y[0], AD_EVALUE, "pair: two of each");
    assert_int_equal(nn_apply_n(nn_tanh(g), 2, (ad_var *[]){ a, b }, 1, y), AD_EVALUE);
    assert_fails(g, y[0], AD_EVALUE, "apply_n: tanh has one input and one result, not 2 and 1");
    assert_int_equal(nn_apply_n(m, 0, &a, 1, y), AD_EVALUE);
    assert_fails(g, y[0], AD_EVALUE, "apply_n: 0 inputs and 1 results: there are 1 to 16 of both");
    assert_int_equal(nn_apply_n(m, 2, (ad_var *[]){ a, ad_nil(g) }, 1, y), AD_EVALUE);
    assert_fails(g, y[0], AD_EVALUE, "apply: what pair is applied to is nil");
    assert_null(nn_module_new_n(g, "none", NULL, 0));
    assert_contains(ad_error(g), "module_new: a module needs a kind and a forward function");
    ad_graph_free(g);
}

static void layers_take_their_inputs_in_order(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3, 4)), *k = ad_muls(x, 0.5), *v = ad_square(x), *y[3];
    ad_var *mask = ad_tensor(g, AD_F64, (double[]){ 0, -1, 2, 1, 0, -3, 0.5, 0, 0 }, AD_SHAPE(3, 3));
    ad_var *padding = ad_tensor(g, AD_F64, (double[]){ 0, 0, 1, 0, 0, 0 }, AD_SHAPE(2, 3));
    nn_attention_masks masks = { .mask = mask, .padding = padding };
    nn_module *a = nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2 });
    assert_int_equal(nn_apply_n(a, 5, (ad_var *[]){ x, k, v, mask, padding }, 1, y), AD_OK);
    assert_same(y[0], nn_apply_attention(a, x, k, v, masks));
    assert_int_equal(nn_apply_n(a, 2, (ad_var *[]){ x, k }, 1, y), AD_OK);
    assert_same(y[0], nn_apply_attention(a, x, k, k, (nn_attention_masks){ 0 }));
    nn_transformer_opts o = { .width = 4, .heads = 2, .feedforward = 5, .layers = 2, .dropout = AD_ZERO };
    nn_module *e = nn_transformer_encoder(g, AD_F64, o), *d = nn_transformer_decoder(g, AD_F64, o);
    assert_int_equal(nn_apply_n(e, 3, (ad_var *[]){ x, mask, padding }, 1, y), AD_OK);
    assert_same(y[0], nn_apply_encoder(e, x, masks));
    assert_int_equal(nn_apply_n(d, 6, (ad_var *[]){ x, k, mask, NULL, NULL, padding }, 1, y), AD_OK);
    assert_same(y[0], nn_apply_decoder(d, x, k, (nn_attention_masks){ .mask = mask },
                                       (nn_attention_masks){ .padding = padding }));
    nn_module *lstm = nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 4, .hidden = 3 });
    ad_var *h = wave_of(g, AD_F64, AD_SHAPE(1, 2, 3)), *c = ad_square(h);
    nn_rnn_state s = { h, c };
    assert_int_equal(nn_apply_n(lstm, 3, (ad_var *[]){ x, h, c }, 3, y), AD_OK);
    assert_same(y[0], nn_apply_rnn(lstm, x, &s));
    assert_same(y[1], s.h);
    assert_same(y[2], s.c);
    nn_module *gru = nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 4, .hidden = 3 });
    assert_int_equal(nn_apply_n(gru, 2, (ad_var *[]){ x, h }, 2, y), AD_OK);
    assert_int_equal(nn_apply_n(gru, 3, (ad_var *[]){ x, h, c }, 1, y), AD_EVALUE);
    assert_fails(g, y[0], AD_EVALUE, "apply_n: gru has up to 2 inputs and 2 results, not 3 and 1");
    nn_module *b = nn_bilinear(g, AD_F64, 4, 3, 2, true);
    ad_var *p = wave_of(g, AD_F64, AD_SHAPE(2, 4)), *q = wave_of(g, AD_F64, AD_SHAPE(2, 3));
    assert_int_equal(nn_apply_n(b, 2, (ad_var *[]){ p, q }, 1, y), AD_OK);
    assert_same(y[0], nn_apply_bilinear(b, p, q));
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- replacement --------------------------------------------------------------------------------------------- */

static void names_of(const nn_module *m, char *to, size_t size) {
    to[0] = '\0';
    for (int i = 0; i < nn_parameter_count(m); i++) {
        size_t at = strlen(to);
        snprintf(to + at, size - at, "%s ", nn_parameter_at(m, i).name);
    }
}

static void a_replaced_module_is_used_everywhere(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    char names[200];
    nn_module *m = tree(g),
              *with = nn_sequential(g, nn_linear(g, AD_F64, 3, 4, true), nn_linear(g, AD_F64, 4, 3, false));
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3));
    ad_var *first = nn_apply(nn_find_module(m, "0"), x), *block = nn_apply(with, first);
    ad_var *want = nn_apply(with, ad_add(block, first));
    assert_int_equal(nn_replace_module(m, "1.body", with), AD_OK);
    assert_same(nn_apply(m, x), want);
    assert_ptr_equal(nn_find_module(m, "2"), with);
    names_of(m, names, sizeof names);
    assert_string_equal(names, "0.weight 1.body.0.weight 1.body.0.bias 1.body.1.weight ");
    assert_non_null(nn_find_parameter(m, "2.1.weight"));
    assert_null(nn_find_parameter(m, "2.1.bias"));
    /* a second time, deeper; the old module goes on by itself */
    nn_module *old = nn_find_module(m, "2.1");
    assert_int_equal(nn_replace_module(m, "2.1", nn_linear(g, AD_F64, 4, 3, true)), AD_OK);
    assert_non_null(nn_find_parameter(m, "1.body.1.bias"));
    assert_shape(nn_apply(old, wave_of(g, AD_F64, AD_SHAPE(2, 4))), AD_SHAPE(2, 3));
    nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.1 });
    assert_int_equal(ad_backward(ad_sum(nn_apply(m, x))), AD_OK);
    assert_int_equal(nn_step(opt), AD_OK);
    nn_module *copy = nn_copy(m);
    assert_same(nn_apply(copy, x), nn_apply(m, x));
    assert_ok(g);
    ad_graph_free(g);
}

/* A low-rank addition to a layer, as adapters make it. */
static void a_module_is_wrapped(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = tree(g), *old = nn_find_module(m, "0");
    nn_module *low = nn_sequential(g, nn_linear(g, AD_F64, 3, 1, false), nn_linear(g, AD_F64, 1, 3, false));
    nn_module *both = nn_residual(g, low, old);
    assert_int_equal(nn_replace_module(m, "0", both), AD_OK);
    assert_ptr_equal(nn_find_module(m, "0.shortcut"), old);
    assert_non_null(nn_find_parameter(m, "0.shortcut.weight"));
    assert_non_null(nn_find_parameter(m, "0.body.1.weight"));
    assert_int_equal(nn_replace_module(m, "0", nn_find_module(m, "0.shortcut")), AD_OK); /* and back */
    assert_non_null(nn_find_parameter(m, "0.weight"));
    assert_null(nn_find_parameter(m, "0.body.1.weight"));
    assert_ok(g);
    ad_graph_free(g);
}

/* A layer of a transformer that is replaced by a module without masks. */
static void layers_of_transformers_are_replaced(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_transformer_opts o = { .width = 4, .heads = 2, .feedforward = 5, .layers = 2, .dropout = AD_ZERO };
    nn_module *e = nn_transformer_encoder(g, AD_F64, o);
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3, 4));
    nn_attention_masks causal = { .causal = true };
    ad_var *half = nn_apply_encoder(nn_find_module(e, "layers.0"), x, causal);
    assert_int_equal(nn_replace_module(e, "layers.1", nn_tanh(g)), AD_OK);
    assert_same(nn_apply_encoder(e, x, causal), ad_tanh(half));
    nn_module *l = nn_linear(g, AD_F64, 4, 4, true);
    assert_int_equal(nn_replace_module(e, "layers", l), AD_OK);
    assert_same(nn_apply(e, x), nn_apply(l, x));
    assert_int_equal(nn_parameter_count(e), 2);
    assert_ok(g);
    ad_graph_free(g);
}

typedef struct {
    nn_module *child;
    ad_var *inner; /* a parameter of the child's */
    nn_module *unnamed;
} pointers;

static ad_var *apply_pointers(nn_module *m, ad_var *x) { return nn_apply(((pointers *)nn_self(m))->child, x); }

static nn_module *with_pointers(ad_graph *g, bool inner, bool unnamed) {
    nn_module *m = nn_module_new(g, "pointers", apply_pointers, sizeof(pointers)),
              *l = nn_linear(g, AD_F64, 3, 3, true);
    pointers *p = nn_self(m);
    p->child = nn_add_child(m, "child", l);
    nn_add_reference(m, &p->child);
    if (inner) p->inner = nn_find_parameter(l, "bias");
    if (unnamed) p->unnamed = l;
    return m;
}

static void assert_refused(nn_module *m, const char *path, nn_module *with, int code, const char *text) {
    ad_graph *g = nn_graph_of(m);
    char before[400], after[400];
    names_of(m, before, sizeof before);
    assert_int_equal(nn_replace_module(m, path, with), code);
    assert_contains(ad_error(g), text);
    ad_clear_error(g);
    names_of(m, after, sizeof after);
    assert_string_equal(before, after);
}

static void wrong_replacements_are_errors(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    nn_module *m = tree(g), *l = nn_linear(g, AD_F64, 3, 3, true);
    assert_refused(m, "7", l, AD_EVALUE, "replace_module: sequential has no module \"7\" below it");
    assert_refused(m, "", l, AD_EVALUE, "has no module \"\" below it");
    assert_refused(m, NULL, l, AD_EVALUE, "has no module \"\" below it");
    assert_refused(m, "0", NULL, AD_EVALUE, "the new module is NULL");
    assert_refused(m, "0", nn_tanh(other), AD_EGRAPH, "the modules belong to two graphs");
    assert_refused(nn_find_module(m, "1"), "body", l, AD_EVALUE, "call it for the outermost one");
    assert_refused(m, "0", m, AD_EVALUE, "the new module contains sequential, in which it would be");
    assert_refused(m, "1.body.0", nn_sequential(g, nn_find_module(m, "1.body")), AD_EVALUE,
                   "sequential at \"1.body\" is part of another module too");
    nn_module *second = nn_sequential(g, nn_find_module(m, "1"));
    assert_refused(m, "1.body", l, AD_EVALUE, "residual at \"1\" is part of another module too");
    assert_ok(other);
    assert_non_null(second);
    assert_refused(with_pointers(g, true, false), "child", l, AD_EVALUE, "a pointer to a part of the module that is");
    char where[120];
    snprintf(where, sizeof where, "byte %zu of pointers's struct begins a pointer to the module that is replaced, and "
             "nn_add_reference", offsetof(pointers, unnamed));
    assert_refused(with_pointers(g, false, true), "child", l, AD_EVALUE, where);
    assert_int_equal(nn_replace_module(with_pointers(g, false, false), "child", l), AD_OK);
    ad_mark scope = ad_begin(g);
    assert_refused(m, "0", nn_linear(g, AD_F64, 3, 3, true), AD_EGRAPH, "was made before the open scope");
    ad_end(g, scope);
    assert_ok(g);
    ad_graph_free(g);
    ad_graph_free(other);
}

/* The graph's memory ends at different places of the replacement: the module is as it was, or has the new one. */
static void short_memory_changes_nothing(void **state) {
    (void)state;
    int failed = 0;
    for (size_t padding = 0; padding < 140000; padding += 104) {
        test_memory memory = { .fail_at = -1 };
        ad_graph *g = test_graph(&memory);
        nn_module *m = tree(g), *with = nn_mlp(g, AD_F64, 3, (int64_t[]){ 3, 4, 3 }, ad_tanh);
        ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3)), *before = nn_apply(m, x);
        for (size_t done = 0; done < padding; done += 104) ad_scope_alloc(g, 104);
        memory.fail_at = memory.calls + (padding > 0), memory.fail_on = true; /* the first one is that of the list */
        int rc = nn_replace_module(m, "1.body", with);
        memory.fail_at = -1, memory.fail_on = false;
        failed += rc != AD_OK;
        ad_clear_error(g);
        assert_int_equal(nn_find_module(m, "1.body") == with, rc == AD_OK);
        assert_int_equal(nn_find_module(m, "2") == with, rc == AD_OK);
        assert_int_equal(nn_find_parameter(m, "1.body.2.weight") != NULL, rc == AD_OK);
        assert_int_equal(nn_parameter_count(m), rc == AD_OK ? 5 : 3);
        if (rc != AD_OK) assert_same(nn_apply(m, x), before);
        if (rc != AD_OK) assert_int_equal(nn_replace_module(m, "1.body", with), AD_OK);
        assert_ok(g);
        ad_graph_free(g);
        assert_all_released(&memory);
    }
    assert_true(failed > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_module_is_visited_once),
        cmocka_unit_test(errors_end_a_walk),
        cmocka_unit_test(hooks_see_and_change),
        cmocka_unit_test(hooks_run_in_order_and_end),
        cmocka_unit_test(hooks_that_give_nothing_are_errors),
        cmocka_unit_test(layers_of_several_inputs_have_hooks),
        cmocka_unit_test(own_modules_take_and_give_several),
        cmocka_unit_test(layers_take_their_inputs_in_order),
        cmocka_unit_test(a_replaced_module_is_used_everywhere),
        cmocka_unit_test(a_module_is_wrapped),
        cmocka_unit_test(layers_of_transformers_are_replaced),
        cmocka_unit_test(wrong_replacements_are_errors),
        cmocka_unit_test(short_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
