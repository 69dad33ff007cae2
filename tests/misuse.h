/* misuse.h: good and bad values of every type of parameter, for test_misuse.c.

   pick_TYPE(k, name) is the good value of a parameter with this name if k is -1, and bad value k otherwise; there are
   BAD_TYPE of these. What a value needs is made in the graph `now.g` when it is asked for. */
#ifndef TESTS_MISUSE_H
#define TESTS_MISUSE_H

#include <assert.h>
#include <float.h>
#include <limits.h>

#include "autodiff/extend.h"
#include "autodiff/thread.h"
#include "nn/nn.h"
#include "ops/compile.h"
#include "ops/sparse.h"
#include "tests/common.h"

enum { WORLDS = 6, ROOM = 16, ELEMENTS = 4096 };

/* The call that is being made. */
static struct {
    const char *function;
    int world;           /* decides about the shapes and kinds of good values */
    ad_graph *g, *other; /* the call's graph and another one */
    bool given;          /* the call got something that belongs to g */
    bool in_array;       /* it got an array of such things */
    bool uncounted;      /* it was told that arrays have no elements */
    bool closed;         /* a scope was closed for a value of a closed scope */
    ad_var *leaf;        /* see shared_leaf */
    nn_module *module;   /* the good module, and its optimiser */
    nn_optim *optim;
    char *text;          /* where the bad values are described; NULL: nowhere */
    size_t size;
} now;

/* Zeroed memory for parameters that point to elements, of which a call has fewer than ARRAYS. */
enum { ARRAYS = 8 };
static double buffers[ARRAYS][ELEMENTS];
static int used;
static double *fresh_elements(void) {
    used = (used + 1) % ARRAYS;
    return memset(buffers[used], 0, sizeof buffers[used]);
}

static void note(const char *name, const char *value) {
    if (now.text == NULL) return;
    size_t at = strlen(now.text);
    snprintf(now.text + at, now.size - at, "%s%s %s", at ? ", " : "", name, value);
}

/* A pointer to the good value, or NULL for its one bad value. */
static void *good_or_null(int k, const char *name, void *good) {
    if (k >= 0) note(name, "NULL");
    return k < 0 ? good : NULL;
}

static int field_pick(int *k, int n) {
    int pick = *k >= 0 && *k < n ? *k : -1;
    *k = *k < 0 ? -1 : *k < n ? -1000000 : *k - n;
    return pick;
}

static bool is_one_of(const char *name, const char *names) {
    const char *at = strstr(names, name);
    size_t n = strlen(name);
    for (; at != NULL; at = strstr(at + 1, name))
        if ((at == names || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) return n > 0;
    return false;
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *names;
    int64_t value;
} good_numbers[] = {
    { "group axis start flat i fold class_number average_from from row column index padding padding_w output_padding "
      "output_padding_w prefetch patience checkpoint_steps max_eval ignore_index offset shift init reps level "
      "axis0 blank padding_idx draws",
      0 },
    { "stop in out features hidden kernel batch classes width height total_steps depth end each steps k c", 2 },
    { "code", AD_EVALUE },
};

static int64_t good_number(const char *name) {
    if (strstr(now.function, "_unpool") && is_one_of(name, "h w l")) return 6;
    if (is_one_of(now.function, "ad_bincount") && is_one_of(name, "n")) return 2;
    if (is_one_of(now.function, "ad_run_starts")) return 4;
    if (is_one_of(now.function, "nn_class_weights")) return 2;
    if (is_one_of(now.function, "nn_find_rate") && is_one_of(name, "steps")) return 5;
    for (size_t i = 0; i < sizeof good_numbers / sizeof *good_numbers; i++)
        if (is_one_of(name, good_numbers[i].names)) return good_numbers[i].value;
    return 1;
}

/* Numbers that ask for so much work that it may take as long as it likes. */
static bool is_amount_of_work(const char *name) {
    return is_one_of(name, "epochs max_iter max_eval") ||
           (is_one_of(now.function, "nn_find_rate") && strcmp(name, "steps") == 0) ||
           (is_one_of(now.function, "ad_parallel") && strcmp(name, "n") == 0);
}

static const struct {
    const char *name;
    int64_t value;
} bad_numbers[] = {
    { "0", 0 }, { "-1", -1 }, { "7", 7 }, { "100003", 100003 }, { "INT_MAX", INT_MAX }, { "INT_MIN", INT_MIN },
    { "2^32", 1LL << 32 }, { "2^40", 1LL << 40 }, { "2^62", 1LL << 62 }, { "INT64_MAX", INT64_MAX },
    { "INT64_MIN", INT64_MIN },
};
enum { BAD_int = 6, BAD_int64_t = 11, BAD_count_int = 4, BAD_count_int64_t = 4, BAD_count_unsigned = 4 };

static int64_t pick_int64_t(int k, const char *name) {
    if (k < 0) return good_number(name);
    note(name, bad_numbers[k].name);
    return is_amount_of_work(name) && bad_numbers[k].value > 7 ? 7 : bad_numbers[k].value;
}
static int pick_int(int k, const char *name) { return (int)pick_int64_t(k, name); }

/* The number of elements of an array, of which there are ROOM. */
static int pick_count_int(int k, const char *name) {
    static const int bad[] = { 0, -1, INT_MIN, 9 };
    static const char *const names[] = { "0", "-1", "INT_MIN", "9" };
    if (k < 0) return now.world % 2 ? 1 : 2;
    note(name, names[k]);
    now.uncounted |= bad[k] <= 0;
    return bad[k];
}
static int64_t pick_count_int64_t(int k, const char *name) { return pick_count_int(k, name); }

enum { BAD_double = 11 };
static double pick_double(int k, const char *name) {
    static const double bad[] = { NAN, INFINITY, -INFINITY, 0, -1, DBL_MAX, -DBL_MAX, 5e-324, 1e18, 3, AD_ZERO };
    static const char *const names[] = { "NaN",      "inf",     "-inf", "0", "-1",     "DBL_MAX",
                                         "-DBL_MAX", "5e-324", "1e18", "3", "AD_ZERO" };
    if (k < 0) {
        if (is_one_of(name, "label_smoothing")) return 0;
        if (is_one_of(name, "divergence")) return 2;
        return is_one_of(name, "lr stop hi n to") ? 1 : is_one_of(name, "start lo test validation from") ? 0.25 : 0.5;
    }
    note(name, names[k]);
    return bad[k];
}

enum { BAD_bool = 1 };
/* nn_fit's compile is true beside good options of the compiler, which are refused without it. */
static bool pick_bool(int k, const char *name) {
    bool usual = is_one_of(name, "compile");
    if (k >= 0) note(name, usual ? "false" : "true");
    return usual != (k >= 0);
}

enum { BAD_size_t = 6, BAD_text_size = 2, BAD_unsigned = 1, BAD_uint64_t = 1, BAD_char = 5 };
static size_t pick_size_t(int k, const char *name) {
    static const size_t bad[] = { 0, 1, SIZE_MAX >> 24, SIZE_MAX / 2, SIZE_MAX - 63, SIZE_MAX };
    static const char *const names[] = { "0", "1", "SIZE_MAX >> 24", "SIZE_MAX / 2", "SIZE_MAX - 63", "SIZE_MAX" };
    if (k < 0) return 16;
    note(name, names[k]);
    return bad[k];
}
static size_t pick_text_size(int k, const char *name) {
    if (k >= 0) note(name, k ? "1" : "0");
    return k < 0 ? 64 : (size_t)k;
}
static unsigned pick_unsigned(int k, const char *name) {
    if (k >= 0) note(name, "UINT_MAX");
    return k < 0 ? 0 : UINT_MAX;
}
static uint64_t pick_uint64_t(int k, const char *name) {
    if (k >= 0) note(name, "UINT64_MAX");
    return k < 0 ? 0 : UINT64_MAX;
}
static char pick_char(int k, const char *name) {
    static const char bad[] = { '"', '\n', 'x', '\r', (char)0xff };
    if (k >= 0) note(name, "a character that is no delimiter");
    return k < 0 ? ',' : bad[k];
}

/* ---- enums and shapes -------------------------------------------------------------------------------------------- */

enum { BAD_ad_dtype = 3, BAD_ad_reduction = 5, BAD_ad_interpolation = 6, BAD_ad_shape = 14 };
static int pick_enum(int k, const char *name, int good, int n) {
    static const char *const names[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12" };
    if (k < 0) return good;
    assert(n <= (int)(sizeof names / sizeof *names));
    note(name, k < n ? names[k] : k == n ? "-1" : "1000000");
    return k < n ? k : k == n ? -1 : 1000000;
}
static ad_dtype good_dtype(void) { return now.world == 4 ? AD_F32 : AD_F64; }
static ad_dtype pick_ad_dtype(int k, const char *name) {
    return (ad_dtype)pick_enum(k, name, (int)good_dtype(), 1);
}
static ad_reduction pick_ad_reduction(int k, const char *name) {
    return (ad_reduction)pick_enum(k < 0 ? k : k + 1, name, AD_MEAN, 4);
}
static ad_interpolation pick_ad_interpolation(int k, const char *name) {
    return (ad_interpolation)pick_enum(k < 0 ? k : k + 1, name, AD_LINEAR, 5);
}

#define ENUM(type, good, n)                                                                                            \
    enum { BAD_##type = (n) + 2 };                                                                                     \
    static type pick_##type(int k, const char *name) { return (type)pick_enum(k, name, good, n); }
ENUM(ad_scatter_kind, AD_SCATTER_MEAN, 5)
ENUM(ad_resample, AD_RESAMPLE_LINEAR, 5)
ENUM(ad_matrix_norm_kind, AD_NORM_FRO, 5)
ENUM(ad_grid_padding, AD_GRID_ZEROS, 3)
ENUM(ad_special_kind, is_one_of(now.function, "ad_special_pair") ? AD_GAMMAINC : AD_BESSEL_I, 13)
ENUM(ad_export_number, AD_EXPORT_AS_IS, 3)
ENUM(ad_sparse_format, AD_CSR, 3)
ENUM(ad_sparse_triangle, AD_TRIANGLE_BOTH, 3)
ENUM(ad_colouring, AD_COLOUR_AUTO, 6)
ENUM(ad_colour_order, AD_ORDER_AUTO, 6)

static ad_shape world_shape(void) {
    static const ad_shape shapes[WORLDS] = { { 2, { 2, 3 } }, { 0, { 0 } },  { 2, { 3, 3 } },
                                             { 4, { 2, 2, 5, 5 } }, { 1, { 4 } }, { 3, { 2, 3, 4 } } };
    return shapes[now.world];
}

static ad_shape good_shape(const char *name) {
    ad_shape s = world_shape();
    for (int i = 0; i < s.ndim; i++)
        if (is_one_of(name, "axes")) s.dim[i] = i;
        else if (is_one_of(name, "before after reps")) s.dim[i] = name[0] == 'r';
    if (is_one_of(name, "weight")) return AD_SHAPE(2, 2, 2, 2);
    return is_one_of(name, "normalized_shape") && s.ndim > 1 ? AD_SHAPE(s.dim[s.ndim - 1]) : s;
}

static ad_shape pick_ad_shape(int k, const char *name) {
    static const struct {
        const char *name;
        ad_shape shape;
    } bad[BAD_ad_shape] = {
        { "of ndim -1", { -1, { 1 } } },
        { "of ndim 7", { 7, { 1, 1, 1, 1, 1, 1 } } },
        { "of ndim 100000", { 100000, { 1 } } },
        { "of ndim INT_MIN", { INT_MIN, { 1 } } },
        { "[]", { 0, { 0 } } },
        { "[-1]", { 1, { -1 } } },
        { "[INT64_MAX]", { 1, { INT64_MAX } } },
        { "[2^32,2^32]", { 2, { 1LL << 32, 1LL << 32 } } },
        { "[0]", { 1, { 0 } } },
        { "[3,0]", { 2, { 3, 0 } } },
        { "[2^40]", { 1, { 1LL << 40 } } },
        { "[INT64_MIN,2]", { 2, { INT64_MIN, 2 } } },
        { "[1,1,1,1,1,1]", { 6, { 1, 1, 1, 1, 1, 1 } } },
        { "[INT64_MAX,..] of the good ndim", { 2, { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX } } },
    };
    if (k < 0) return good_shape(name);
    note(name, bad[k].name);
    ad_shape s = bad[k].shape;
    if (k == BAD_ad_shape - 1) s.ndim = world_shape().ndim;
    bool has_arrays = is_one_of(now.function, "nn_augment"); /* of this shape, which must be as large as it says */
    return has_arrays && ad_shape_numel(s) > ELEMENTS ? AD_SHAPE(-1) : s;
}

/* ---- graphs and Vars --------------------------------------------------------------------------------------------- */

static ad_graph *mine(void) {
    now.given = true;
    return now.g;
}

enum { BAD_ad_graph_p = 3 };
static ad_graph *pick_ad_graph_p(int k, const char *name) {
    static const char *const names[] = { "NULL", "another graph", "a graph with an error" };
    if (k >= 0) note(name, names[k]);
    if (k == 0) return NULL;
    if (k == 1) return now.other;
    if (k == 2) (void)ad_fail(now.g, AD_EVALUE, "an error from before");
    return mine();
}

/* A leaf of this shape with the values at 0, at + step, .. */
static ad_var *leaf(ad_graph *g, ad_dtype t, ad_shape s, double start, double step, bool parameter) {
    double value[ELEMENTS];
    float narrow[ELEMENTS];
    int64_t n = ad_shape_numel(s);
    for (int64_t i = 0; i < n && i < ELEMENTS; i++) narrow[i] = (float)(value[i] = start + step * (double)i);
    const void *data = t == AD_F32 ? (void *)narrow : value;
    return parameter ? ad_param(g, t, data, s) : ad_tensor(g, t, data, s);
}

/* Operands of which the op wants a shape of their own. */
static const struct {
    const char *functions, *name;
    ad_shape shape;
    enum { PARAMETER, NUMBERS, ONES, TWOS } kind; /* numbers: 0 and 1 in turn */
} shapes_of_operands[] = {
    { "ad_affine", "w", { 2, { 2, 3 } }, PARAMETER },
    { "ad_affine", "b", { 1, { 2 } }, PARAMETER },
    { "ad_rnn", "w", { 2, { 4, 4 } }, PARAMETER },
    { "ad_rnn", "h", { 2, { 2, 4 } }, PARAMETER },
    { "ad_lstm", "w", { 2, { 4, 1 } }, PARAMETER },
    { "ad_lstm", "h", { 2, { 2, 1 } }, PARAMETER },
    { "ad_lstm", "c", { 2, { 2, 1 } }, PARAMETER },
    { "ad_gru", "x", { 3, { 2, 3, 3 } }, PARAMETER },
    { "ad_gru", "w", { 2, { 3, 1 } }, PARAMETER },
    { "ad_gru", "h", { 2, { 2, 1 } }, PARAMETER },
    { "ad_gru", "b", { 1, { 3 } }, PARAMETER },
    { "ad_conv1d", "w", { 3, { 2, 3, 2 } }, PARAMETER },
    { "ad_conv1d", "b", { 1, { 2 } }, PARAMETER },
    { "ad_conv_transpose1d", "w", { 3, { 3, 2, 2 } }, PARAMETER },
    { "ad_conv_transpose1d", "b", { 1, { 2 } }, PARAMETER },
    { "ad_conv2d_weight", "g", { 4, { 2, 2, 4, 4 } }, PARAMETER },
    { "ad_col2im", "x", { 3, { 2, 4, 1 } }, PARAMETER },
    { "ad_slice_scatter_axes", "src", { 3, { 1, 3, 4 } }, PARAMETER },
    { "nn_fit nn_fit_ranks nn_evaluate nn_evaluate_with nn_find_rate", "y", { 2, { 2, 2 } }, PARAMETER },
    { "ad_ctc nn_ctc nn_ctc_with", "labels", { 2, { 3, 1 } }, ONES },
    { "ad_ctc nn_ctc nn_ctc_with", "times", { 1, { 3 } }, TWOS },
    { "ad_ctc nn_ctc nn_ctc_with", "lengths", { 1, { 3 } }, ONES },
    { "ad_conv3d ad_conv_transpose3d", "x", { 5, { 1, 2, 3, 3, 3 } }, PARAMETER },
    { "ad_conv3d ad_conv_transpose3d", "w", { 5, { 2, 2, 2, 2, 2 } }, PARAMETER },
    { "ad_conv3d ad_conv_transpose3d", "b", { 1, { 2 } }, PARAMETER },
    { "ad_max_unpool1d ad_max_unpool2d", "index", { 2, { 2, 3 } }, ONES },
    { "ad_index_put", "values", { 1, { 2 } }, PARAMETER },
    { "ad_fold", "x", { 3, { 2, 4, 1 } }, PARAMETER },
    { "ad_grid_sample", "grid", { 4, { 2, 3, 3, 2 } }, PARAMETER },
    { "ad_affine_grid", "theta", { 3, { 2, 2, 3 } }, PARAMETER },
    { "ad_embedding_bag", "indices", { 2, { 2, 2 } }, NUMBERS },
    { "ad_bincount", "x", { 1, { 4 } }, NUMBERS },
    { "ad_trapezoid ad_cumulative_trapezoid", "y", { 2, { 2, 3 } }, PARAMETER },
    { "ad_select_scatter", "src", { 1, { 3 } }, PARAMETER },
    { "ad_diagonal_scatter", "src", { 1, { 2 } }, PARAMETER },
    { "ad_bce_logits_weighted nn_bce_logits_weighted", "weight", { 2, { 2, 3 } }, PARAMETER },
    { "ad_attention_dropout nn_apply_attention nn_apply_encoder nn_apply_decoder", "mask", { 2, { 3, 3 } }, NUMBERS },
    { "nn_apply_attention nn_apply_encoder nn_apply_decoder", "padding", { 2, { 2, 3 } }, NUMBERS },
    { "ad_lu_solve ad_lu_unpack", "order", { 1, { 3 } }, NUMBERS },
    { "ad_householder_product ad_ormqr", "tau", { 1, { 3 } }, PARAMETER },
    { "ad_special_pair ad_gammainc ad_gammaincc", "a", { 2, { 2, 3 } }, TWOS },
    { "ad_zeta", "s", { 2, { 2, 3 } }, TWOS },
    { "nn_export_c", "target", { 2, { 2, 2 } }, PARAMETER },
};

/* Class numbers, indices and masks: 0 and 1 in turn. */
static ad_var *numbers_of_two(ad_shape s) {
    ad_var *x = leaf(now.g, good_dtype(), s, 0, 1, false);
    for (int64_t i = 0; i < ad_numel(x); i++) ad_write_element(ad_dtype_of(x), ad_data_mut(x), i, (double)(i % 2));
    return x;
}

/* NULL, or the operand of the present function by this name if it has a shape of its own. */
static ad_var *operand_of_own_shape(const char *name) {
    for (size_t i = 0; i < sizeof shapes_of_operands / sizeof *shapes_of_operands; i++) {
        ad_shape s = shapes_of_operands[i].shape;
        int kind = (int)shapes_of_operands[i].kind;
        if (!is_one_of(now.function, shapes_of_operands[i].functions) || strcmp(name, shapes_of_operands[i].name) != 0)
            continue;
        if (kind == NUMBERS) return numbers_of_two(s);
        return kind == PARAMETER ? leaf(now.g, good_dtype(), s, 0.1, 0.1, true)
                                 : leaf(now.g, good_dtype(), s, kind == ONES ? 1 : 2, 0, false);
    }
    return NULL;
}

/* Of these losses, weights of classes may be NULL, and take no gradient. */
static bool has_no_weights(const char *name) {
    if (is_one_of(now.function, "nn_fit nn_fit_ranks") && is_one_of(name, "weights draw_weights"))
        return true;
    return is_one_of(name, "weight pos_weight") &&
           (strstr(now.function, "cross_entropy") || strstr(now.function, "nll") || strstr(now.function, "margin") ||
            strstr(now.function, "bce_logits") || strstr(now.function, "class_targets"));
}

static ad_var *symmetric(void) {
    return ad_param(now.g, AD_F64, (double[]){ 4, 1, 0, 1, 3, 1, 0, 1, 2 }, AD_SHAPE(3, 3));
}

/* The leaf that the y of a pass depends on, which is xs[0] too. */
static ad_var *shared_leaf(void) {
    if (now.leaf == NULL) now.leaf = leaf(now.g, good_dtype(), world_shape(), 0.1, 0.1, true);
    return now.leaf;
}

static ad_var *good_var(const char *name) {
    ad_shape s = world_shape();
    ad_dtype t = good_dtype();
    int64_t c = s.ndim > 1 ? s.dim[1] : s.ndim == 1 ? s.dim[0] : 1;
    ad_var *own = operand_of_own_shape(name);
    if (own != NULL || has_no_weights(name)) return own;
    if (is_one_of(now.function, "ad_attention_dropout") && strcmp(name, "key") == 0)
        return ad_random_key(ad_ones(now.g, t, AD_SHAPE(1)));
    if (is_one_of(now.function, "ad_rebind")) return ad_input(now.g, t, fresh_elements(), s);
    if (strstr(now.function, "cosine_embedding") && strcmp(name, "target") == 0)
        return leaf(now.g, t, AD_SHAPE(s.ndim ? s.dim[0] : 1), 1, 0, false);
    if (is_one_of(now.function, "ad_jacobian_blocks") && strcmp(name, "y") == 0) return ad_square(shared_leaf());
    if (strcmp(name, "y") == 0 && strncmp(now.function, "ad_", 3) == 0) return ad_sum(ad_square(shared_leaf()));
    if (is_one_of(name, "classes index indices positive")) return numbers_of_two(s.ndim ? AD_SHAPE(s.dim[0]) : s);
    if (is_one_of(name, "mask cond target labels")) return numbers_of_two(s);
    if (is_one_of(name, "mean var")) return leaf(now.g, t, AD_SHAPE(c), 1, 0.5, false);
    if (is_one_of(name, "weight bias b") && now.world == 3) return leaf(now.g, t, AD_SHAPE(2), 1, 0.5, true);
    if (is_one_of(name, "w") && now.world == 3) return leaf(now.g, t, AD_SHAPE(2, 2, 2, 2), 1, 0.1, true);
    return now.world == 2 ? symmetric() : leaf(now.g, t, s, 0.1, 0.1, true);
}

/* A Var of a scope that is closed. For functions that look whether the scope is open, where reading it is no error. */
static bool looks_for_closed(void) {
#ifdef SANITIZED
    return false;
#else
    return is_one_of(now.function, "ad_eval ad_backward"); /* which get nothing else that would use the memory again */
#endif
}

enum { BAD_ad_var_p = 14 };
static ad_var *bad_var(int k, const char *name) {
    ad_shape s = world_shape();
    switch (k) {
    case 0: return NULL;
    case 1: return ad_nil(mine());
    case 2: return ad_nil(NULL);
    case 3: return leaf(now.other, good_dtype(), s, 0.1, 0.1, true);
    case 4: return leaf(mine(), good_dtype() == AD_F32 ? AD_F64 : AD_F32, s, 0, 0.1, true);
    case 5: return leaf(mine(), good_dtype(), AD_SHAPE(0), 0, 0, true);
    case 6: return leaf(mine(), good_dtype(), s, NAN, 0, true);
    case 7: return leaf(mine(), good_dtype(), AD_SHAPE(1, 1, 1, 1, 1, 2), 0, 1, true);
    case 8: return ad_scalar(mine(), good_dtype(), 2);
    case 9: return leaf(mine(), good_dtype(), s, 1e30, 1e30, false);
    case 10: return leaf(mine(), good_dtype(), s, -3, 0.5, true);
    case 11: return leaf(mine(), good_dtype(), s, INFINITY, 0, true);
    case 12: return leaf(mine(), good_dtype(), s.ndim ? AD_SHAPE(0, s.dim[s.ndim - 1]) : AD_SHAPE(0, 2), 0, 0, true);
    default: break;
    }
    if (!looks_for_closed()) return good_var(name);
    ad_mark m = ad_begin(mine());
    ad_var *x = ad_square(leaf(now.g, good_dtype(), s, 0, 1, true));
    ad_end(now.g, m);
    now.closed = true;
    return x;
}
static ad_var *pick_ad_var_p(int k, const char *name) {
    static const char *const names[] = { "NULL", "nil", "the nil of no graph", "of another graph", "of another dtype",
                                         "[0]", "NaN", "of 6 dimensions", "a scalar", "1e30", "negative", "inf",
                                         "without rows", "of a closed scope" };
    if (k < 0) {
        ad_var *x = good_var(name);
        now.given |= x != NULL;
        return x;
    }
    note(name, names[k]);
    return bad_var(k, name);
}

/* Element i of an array of Vars. */
static ad_var *good_element(const char *name, int i) {
    if (is_one_of(now.function, "ad_index ad_index_put ad_ravel_multi_index") && strcmp(name, "index") == 0)
        return numbers_of_two(AD_SHAPE(2));
    return i ? good_var("x") : shared_leaf();
}

enum { BAD_ad_var_p_in = 7, BAD_ad_var_p_out = 1, BAD_ad_var_p_p = 1 };
static ad_var **pick_ad_var_p_in(int k, const char *name) {
    ad_var **xs = (ad_var **)(void *)fresh_elements();
    static const int kinds[] = { -1, 0, 1, 3, 4, 5, 13 };
    static const char *const names[] = { "NULL", "NULLs", "nils", "of another graph", "of another dtype", "[0]",
                                         "of a closed scope" };
    if (k >= 0) note(name, names[k]);
    if (k == 0) return NULL;
    bool given = now.given;
    if (k < 0) mine();
    for (int i = 0; i < ROOM; i++) xs[i] = k > 0 ? bad_var(kinds[k], name) : good_element(name, i);
    now.in_array |= now.given;
    now.given = given;
    return xs;
}
static ad_var **pick_ad_var_p_out(int k, const char *name) {
    return good_or_null(k, name, fresh_elements());
}
static ad_var **pick_ad_var_p_p(int k, const char *name) { return pick_ad_var_p_out(k, name); }

/* ---- arrays and texts -------------------------------------------------------------------------------------------- */

enum { BAD_void_in = 1, BAD_void_out = 1, BAD_void_in_in = 1, BAD_int_in = 4, BAD_int64_t_in = 4, BAD_int64_t_out = 1 };
static void *pick_void_in(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }
static ad_objective *good_objective(void);
static ad_residuals *good_residuals(void);
static ad_program *good_program(void);
static void *good_row_stream(void);
static void *pick_void_out(int k, const char *name) {
    if (k < 0 && strcmp(name, "row_stream") == 0) return good_row_stream();
    if (k < 0 && strcmp(name, "objective") == 0) return good_objective();
    if (k < 0 && strcmp(name, "residuals") == 0) return good_residuals();
    if (k < 0 && strcmp(name, "program") == 0) return good_program();
    return good_or_null(k, name, fresh_elements());
}
static void *pick_void_in_in(int k, const char *name) {
    return good_or_null(k, name, fresh_elements());
}
static const int *pick_int_in(int k, const char *name) {
    static const int good[ROOM] = { 0, 1, 2, 3 }, bad[][ROOM] = { { -100, -100 }, { INT_MAX, INT_MAX }, { 0 } };
    static const char *const names[] = { "NULL", "-100", "INT_MAX", "twice the same" };
    if (k >= 0) note(name, names[k]);
    return k < 0 ? good : k == 0 ? NULL : bad[k - 1];
}
static const int64_t *pick_int64_t_in(int k, const char *name) {
    static const int64_t good[ROOM] = { 1, 2, 3, 4 },
                         bad[][ROOM] = { { -1, -1 }, { INT64_MAX, INT64_MAX }, { INT64_MIN, 0 } };
    static const char *const names[] = { "NULL", "-1", "INT64_MAX", "INT64_MIN" };
    if (k >= 0) note(name, names[k]);
    return k < 0 ? good : k == 0 ? NULL : bad[k - 1];
}
static int64_t *pick_int64_t_out(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }

enum { BAD_double_in = 2, BAD_double_out = 1, BAD_double_in_in = 1, BAD_bool_p = 1, BAD_uint32_t_p = 1,
       BAD_int32_t_p = 1 };
static const double *pick_double_in(int k, const char *name) {
    static const double nans[ROOM] = { NAN, NAN, NAN };
    if (k == 1) note(name, "NaN");
    return k == 1 ? nans : good_or_null(k, name, fresh_elements());
}
static double *pick_double_out(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }
static void *pick_double_in_in(int k, const char *name) { return pick_void_in_in(k, name); }
static bool *pick_bool_p(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }
static uint32_t *pick_uint32_t_p(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }
static int32_t *pick_int32_t_p(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }

enum { BAD_ad_shape_in = 1 + BAD_ad_shape, BAD_ad_range_in = 4 };
static const ad_shape *pick_ad_shape_in(int k, const char *name) {
    static ad_shape s[ROOM];
    for (int i = 0; i < ROOM; i++) s[i] = k < 1 ? world_shape() : pick_ad_shape(k - 1, i ? "" : name);
    return k == 0 ? good_or_null(k, name, NULL) : s;
}
static const ad_range *pick_ad_range_in(int k, const char *name) {
    static const ad_range good[ROOM] = { { 0, 0, 1, 1 } },
                          bad[][ROOM] = { { { INT_MAX, 0, 1, 1 }, { INT_MIN, 0, 1, 1 } },
                                          { { 0, INT64_MIN, INT64_MAX, INT64_MAX }, { 0, 5, -5, INT64_MIN } },
                                          { { 0, INT64_MAX, INT64_MIN, INT64_MIN }, { 1, 0, 0, -1 } } };
    static const char *const names[] = { "NULL", "axis INT_MAX", "step INT64_MAX", "step INT64_MIN" };
    if (k >= 0) note(name, names[k]);
    return k < 0 ? good : k == 0 ? NULL : bad[k - 1];
}

static const char *good_text(const char *name) {
    static const struct {
        const char *functions, *path;
    } files[] = { { "nn_read_csv", "table.csv" },
                  { "nn_load_npy nn_map_npy", "x.npy" },
                  { "nn_load_npz", "x.npz" },
                  { "nn_load_idx nn_map_idx", "x.idx" },
                  { "nn_load nn_load_with", "net.safetensors" },
                  { "nn_replace_module", "1" },
                  { "ad_export_c ad_export_functions nn_export_c", "export.c" } };
    if (is_one_of(name, "log checkpoint ending missing metric_name prefix pattern from to")) return NULL;
    if (is_one_of(name, "spec")) return "ij,jk->ik";
    for (size_t i = 0; i < sizeof files / sizeof *files && is_one_of(name, "path"); i++)
        if (is_one_of(now.function, files[i].functions)) return files[i].path;
    if (strstr(now.function, "_classes") || strstr(now.function, "_words")) return "b";
    return is_one_of(name, "name") ? "a" : "word";
}

enum { BAD_char_p = 12, BAD_char_p_in = 4, BAD_char_out = 1 };
static const char *pick_char_p(int k, const char *name) {
    static char endless[10001];
    memset(endless, 'x', sizeof endless - 1);
    const char *const bad[] = { NULL,    "",   endless,   "%s%s%s%n", "\xff\xfe\x80", ".",
                                "a/b/c", "\n", "..i,j->", "0.weight", "/dev/full",       "no folder/x.c" };
    static const char *const names[] = { "NULL",    "empty",    "of 10000 bytes", "%s%s%s%n",
                                         "no UTF-8", ".",       "a/b/c",          "newline",
                                         "..i,j->", "0.weight", "/dev/full",      "no folder/x.c" };
    if (k < 0) return good_text(name);
    note(name, names[k]);
    return bad[k];
}
/* What printf prints. Others than these would be errors of the program that compilers show. */
enum { BAD_format = 2 };
static const char *pick_format(int k, const char *name) {
    if (k >= 0) note(name, k ? "empty" : "NULL");
    return k < 0 ? "a sentence of the caller" : k == 0 ? NULL : "";
}
static const char **pick_char_p_in(int k, const char *name) {
    static const char *texts[4][ROOM] = { { "a", "b" }, { NULL }, { "", "" }, { "a", "a" } };
    static const char *const names[] = { "NULL", "NULLs", "empty texts", "twice the same" };
    static const char *words[ROOM] = { "x", "y" };
    if (k >= 0) note(name, names[k]);
    if (k < 0 && strcmp(name, "words") == 0) return words;
    return k == 0 ? NULL : texts[k < 0 ? 0 : k];
}
static char *pick_char_out(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }

enum { BAD_FILE_p = 2 };
static FILE *null_file, *read_only_file;
static FILE *pick_FILE_p(int k, const char *name) {
    if (k == 1) note(name, "open for reading only");
    return k == 1 ? read_only_file : good_or_null(k, name, null_file);
}

/* ---- functions that the library calls ---------------------------------------------------------------------------- */

static ad_var *give_null(ad_var *x) { return (void)x, NULL; }
static ad_var *give_foreign(ad_var *x) { return (void)x, ad_scalar(now.other, AD_F64, 1); }
static ad_var *sum_of_squares(int n, ad_var *const xs[], void *user) {
    (void)user;
    return n > 0 && xs != NULL ? ad_sum(ad_square(xs[0])) : NULL;
}
static ad_var *give_null_n(int n, ad_var *const xs[], void *user) { return (void)n, (void)xs, (void)user, NULL; }
static ad_var *give_foreign_n(int n, ad_var *const xs[], void *user) {
    (void)n, (void)xs, (void)user;
    return ad_scalar(now.other, AD_F64, 1);
}

enum { BAD_nn_activation_p = 3, BAD_ad_function_p = 3, BAD_ad_check_fn_p = 3, BAD_nn_forward_fn_p = 3 };
static const char *const bad_function_names[] = { "NULL", "a function that returns NULL",
                                                  "a function that returns a Var of another graph" };
static nn_activation *pick_nn_activation_p(int k, const char *name) {
    static nn_activation *const fs[] = { ad_tanh, NULL, give_null, give_foreign };
    if (k >= 0) note(name, bad_function_names[k]);
    return fs[k + 1];
}
static ad_function *pick_ad_function_p(int k, const char *name) {
    static ad_function *const fs[] = { sum_of_squares, NULL, give_null_n, give_foreign_n };
    if (k >= 0) note(name, bad_function_names[k]);
    return fs[k + 1];
}
static ad_check_fn *pick_ad_check_fn_p(int k, const char *name) { return pick_ad_function_p(k, name); }

static ad_var *forward(nn_module *m, ad_var *x) { return (void)m, x; }
static ad_var *forward_null(nn_module *m, ad_var *x) { return (void)m, (void)x, NULL; }
static ad_var *forward_foreign(nn_module *m, ad_var *x) { return (void)m, give_foreign(x); }
static nn_forward_fn *pick_nn_forward_fn_p(int k, const char *name) {
    static nn_forward_fn *const fs[] = { forward, NULL, forward_null, forward_foreign };
    if (k >= 0) note(name, bad_function_names[k]);
    return fs[k + 1];
}

static ad_var *loss_null(ad_var *y, ad_var *t) { return (void)y, (void)t, NULL; }
static ad_var *loss_foreign(ad_var *y, ad_var *t) { return (void)t, give_foreign(y); }
static ad_var *loss_of_rows(ad_var *y, ad_var *t) { return ad_sub(y, t); }
static double metric_nan(const ad_var *y, const ad_var *t) { return (void)y, (void)t, NAN; }
static ad_var *closure(void *data) {
    (void)data;
    return ad_sum(ad_square(leaf(now.g, AD_F64, AD_SHAPE(2), 1, 1, true)));
}
static ad_var *closure_null(void *data) { return (void)data, NULL; }
static ad_var *closure_foreign(void *data) { return (void)data, give_foreign(NULL); }
static void rule_same(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)y, (void)g, (void)user;
    for (int i = 0; i < n; i++) dxs[i] = ad_muls(xs[i], 2);
}
static void rule_foreign(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)xs, (void)y, (void)g, (void)user;
    for (int i = 0; i < n; i++) dxs[i] = give_foreign(NULL);
}
static int stop_at_once(const ad_sample_case *c, void *data) { return (void)c, (void)data, 1; }
static void no_loop(void *context, int worker, int64_t from, int64_t to) {
    (void)context, (void)worker, (void)from, (void)to;
}
static void on_error(ad_graph *g, int code, const char *message, void *data) {
    (void)g, (void)code, (void)message, (void)data;
}
static void close_nothing(void *memory) { (void)memory; }
static double twice(double x) { return 2 * x; }
static double give_nan(double x) { return (void)x, NAN; }
static int stop_training(const nn_training_state *s, void *data) { return (void)s, (void)data, 1; }

static void forward_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    (void)m, (void)n;
    for (int i = 0; i < n_y; i++) y[i] = x[0];
}
static void forward_n_null(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    (void)m, (void)n, (void)x;
    for (int i = 0; i < n_y; i++) y[i] = NULL;
}
static void before_nothing(nn_module *m, int n, ad_var *x[], void *data) { (void)m, (void)n, (void)x, (void)data; }
static void after_nothing(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], void *data) {
    (void)m, (void)n, (void)x, (void)n_y, (void)y, (void)data;
}
static int each_nothing(nn_module *m, const char *path, void *data) { return (void)m, (void)path, (void)data, 0; }
static bool stream_nothing(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    (void)g, (void)epoch, (void)number, (void)x, (void)y, (void)data;
    return false;
}
static bool stream_null(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    (void)g, (void)epoch, (void)data;
    *x = *y = NULL;
    return number < 3;
}
static void mix_null(ad_var **x, ad_var **y, void *data) { (void)data, *x = *y = NULL; }
static int sum_fails(ad_graph *g, int64_t n, double *values, void *data) {
    return (void)values, (void)data, ad_fail(g, AD_EIO, "the sum of %lld numbers fails", (long long)n);
}
static int gradient_fails(nn_optim *opt, double *loss, void *data) { return (void)opt, (void)loss, (void)data, AD_EIO; }
/* Ranks of one, and ones without functions. */
static int alone_sum(ad_graph *g, int64_t n, double *values, void *data) {
    return (void)n, (void)values, (void)data, ad_error_code(g);
}
static int alone_broadcast(ad_graph *g, size_t bytes, void *memory, void *data) {
    return (void)bytes, (void)memory, (void)data, ad_error_code(g);
}
static int alone_gather(ad_graph *g, const size_t *offsets, void *memory, void *data) {
    return (void)offsets, (void)memory, (void)data, ad_error_code(g);
}
static int alone_begin(ad_graph *g, int n, ad_var *const xs[], double scale, void *data) {
    return (void)n, (void)xs, (void)scale, (void)data, ad_error_code(g);
}
static int alone_add(ad_graph *g, int64_t block, double scale, void *data) {
    return (void)block, (void)scale, (void)data, ad_error_code(g);
}
static const nn_ranks *pick_nn_ranks_p(int k, const char *name) {
    static const nn_ranks all[] = {
        { .size = 1, .sum = alone_sum, .broadcast = alone_broadcast, .gather = alone_gather, .begin = alone_begin,
          .add = alone_add, .finish = alone_sum },
        { .size = 1 },
        { .rank = 2, .size = 1, .sum = alone_sum, .broadcast = alone_broadcast, .gather = alone_gather,
          .begin = alone_begin, .add = alone_add, .finish = alone_sum },
        { .size = 1, .blocks = -1, .sum = alone_sum, .broadcast = alone_broadcast, .gather = alone_gather,
          .begin = alone_begin, .add = alone_add, .finish = alone_sum },
    };
    if (k >= 0) note(name, k == 0 ? "without functions" : k == 1 ? "rank 2 of 1" : "-1 blocks");
    return &all[k + 1];
}
enum { BAD_nn_ranks_p = 3 };
static void leaf_nothing(ad_var *leaf, void *data) { (void)leaf, (void)data; }
static ad_var *loss_data_null(ad_var *y, ad_var *t, void *data) { return (void)y, (void)t, (void)data, NULL; }
static double metric_data_nan(const ad_var *y, const ad_var *t, void *data) {
    return (void)y, (void)t, (void)data, NAN;
}

/* Functions with these good and bad ones. */
#define FUNCTIONS_OF(type, n, ...)                                                                                     \
    enum { BAD_##type##_p = n };                                                                                       \
    static type *pick_##type##_p(int k, const char *name) {                                                            \
        static type *const fs[1 + n] = { __VA_ARGS__ };                                                                \
        if (k >= 0) note(name, fs[k + 1] ? "a function that gives nothing" : "NULL");                                  \
        return fs[k + 1];                                                                                              \
    }
FUNCTIONS_OF(nn_forward_n_fn, 2, forward_n, NULL, forward_n_null)
FUNCTIONS_OF(nn_before_fn, 1, before_nothing, NULL)
FUNCTIONS_OF(nn_after_fn, 1, after_nothing, NULL)
FUNCTIONS_OF(nn_each_fn, 1, each_nothing, NULL)
FUNCTIONS_OF(ad_leaf_fn, 1, leaf_nothing, NULL)
FUNCTIONS_OF(ad_sum_fn, 1, NULL, sum_fails)
FUNCTIONS_OF(nn_gradient_fn, 1, NULL, gradient_fails)
FUNCTIONS_OF(nn_stream_fn, 2, NULL, stream_nothing, stream_null)
FUNCTIONS_OF(nn_batch_fn, 2, NULL, mix_null, nn_mixup)
FUNCTIONS_OF(nn_loss_data_fn, 1, NULL, loss_data_null)
FUNCTIONS_OF(nn_metric_data_fn, 1, NULL, metric_data_nan)

enum { BAD_nn_loss_fn_p = 4, BAD_nn_metric_fn_p = 2, BAD_nn_closure_fn_p = 3, BAD_ad_custom_fn_p = 2 };
static nn_loss_fn *pick_nn_loss_fn_p(int k, const char *name) {
    static nn_loss_fn *const fs[] = { nn_mse, NULL, loss_null, loss_foreign, loss_of_rows };
    if (k >= 0) note(name, k < 3 ? bad_function_names[k] : "a function that does not reduce");
    return fs[k + 1];
}
static nn_metric_fn *pick_nn_metric_fn_p(int k, const char *name) {
    static nn_metric_fn *const fs[] = { nn_r2, NULL, metric_nan };
    if (k >= 0) note(name, k ? "a function that returns NaN" : "NULL");
    return fs[k + 1];
}
static nn_closure_fn *pick_nn_closure_fn_p(int k, const char *name) {
    static nn_closure_fn *const fs[] = { closure, NULL, closure_null, closure_foreign };
    if (k >= 0) note(name, bad_function_names[k]);
    return fs[k + 1];
}
static ad_custom_fn *pick_ad_custom_fn_p(int k, const char *name) {
    static ad_custom_fn *const fs[] = { rule_same, NULL, rule_foreign };
    if (k >= 0) note(name, bad_function_names[2 * k]);
    return fs[k + 1];
}

enum { BAD_ad_sample_fn_p = 1, BAD_ad_loop_fn_p = 1, BAD_ad_error_fn_p = 1, BAD_ad_close_fn_p = 1, BAD_function_p = 2,
       BAD_nn_callback_fn_p = 1, BAD_nn_transform_fn_p = 1 };
static ad_sample_fn *pick_ad_sample_fn_p(int k, const char *name) {
    if (k >= 0) note(name, "NULL");
    return k < 0 ? stop_at_once : NULL;
}
static ad_loop_fn *pick_ad_loop_fn_p(int k, const char *name) {
    if (k >= 0) note(name, "NULL");
    return k < 0 ? no_loop : NULL;
}
static ad_error_fn *pick_ad_error_fn_p(int k, const char *name) {
    if (k >= 0) note(name, "NULL");
    return k < 0 ? on_error : NULL;
}
static ad_close_fn *pick_ad_close_fn_p(int k, const char *name) {
    if (k >= 0) note(name, "NULL");
    return k < 0 ? close_nothing : NULL;
}
static double (*pick_function_p(int k, const char *name))(double) {
    if (k >= 0) note(name, k ? "a function that returns NaN" : "NULL");
    return k < 0 ? twice : k == 0 ? NULL : give_nan;
}
static nn_callback_fn *pick_nn_callback_fn_p(int k, const char *name) {
    if (k >= 0) note(name, "one that stops");
    return k < 0 ? NULL : stop_training;
}
static nn_transform_fn *pick_nn_transform_fn_p(int k, const char *name) {
    if (k >= 0) note(name, "nn_augment");
    return k < 0 ? NULL : nn_augment;
}

static void *no_alloc(void *data, size_t align, size_t size) { return (void)data, (void)align, (void)size, NULL; }
static void *give_alloc(void *data, size_t align, size_t size) {
    return (void)data, aligned_alloc(align, (size + align - 1) / align * align);
}
/* The allocator of the graphs: a machine with less memory than the calls ask for. */
static void *give_some(void *data, size_t align, size_t size) {
    return size > (size_t)256 << 20 ? NULL : give_alloc(data, align, size);
}
static void take_release(void *data, void *memory, size_t size) {
    (void)data, (void)size;
    free(memory);
}
enum { BAD_ad_allocator = 3 };
static ad_allocator pick_ad_allocator(int k, const char *name) {
    static const char *const names[] = { "without alloc", "without release", "without memory" };
    ad_allocator a = { give_alloc, take_release, NULL };
    if (k >= 0) note(name, names[k]);
    if (k == 0) a.alloc = NULL;
    if (k == 1) a.release = NULL;
    if (k == 2) a.alloc = no_alloc;
    return a;
}

/* ---- objects of a graph ------------------------------------------------------------------------------------------ */

static nn_module *module_in(ad_graph *g, int world) {
    int64_t last = 3;
    nn_module *linear = nn_linear(g, AD_F64, last, 2, true);
    if (world == 1) return nn_sequential(g, linear, nn_tanh(g), nn_dropout(g, 0.5));
    if (world == 3) return nn_conv2d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 2, .kernel = 2 });
    if (world == 4) return nn_batch_norm(g, AD_F32, 4, (nn_batch_norm_opts){ 0 });
    if (world == 5) return nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 4, .hidden = 2 });
    return linear;
}
/* The module that is called "part" may be NULL: all of them. Of two modules, the second is another one. */
static nn_module *good_module(const char *name) {
    const nn_transformer_opts t = { .width = 4, .heads = 2, .feedforward = 3 };
    if (is_one_of(now.function, "nn_apply_bilinear")) return nn_bilinear(now.g, AD_F64, 3, 3, 2, true);
    if (is_one_of(now.function, "nn_apply_encoder")) return nn_transformer_encoder_layer(now.g, AD_F64, t);
    if (is_one_of(now.function, "nn_apply_decoder")) return nn_transformer_decoder_layer(now.g, AD_F64, t);
    if (is_one_of(now.function, "nn_apply_attention"))
        return nn_multihead_attention(now.g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2 });
    if (is_one_of(name, "part shortcut child with")) return name[0] == 'p' ? NULL : module_in(now.g, now.world);
    if (now.module == NULL) now.module = module_in(now.g, now.world);
    if (is_one_of(now.function, "nn_unhook")) nn_hook_before(now.module, before_nothing, NULL);
    return now.module;
}
static nn_optim *optim_of(nn_module *m, int world) {
    if (world == 1) return nn_adam(m, (nn_adam_opts){ 0 });
    if (world == 2) return nn_lbfgs(m, (nn_lbfgs_opts){ .max_iter = 3 });
    return nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.5 });
}
static nn_optim *optim_in(ad_graph *g, int world) { return optim_of(module_in(g, world), world); }
static nn_optim *good_optim(const char *name) {
    (void)name;
    if (now.optim == NULL) now.optim = optim_of(good_module("m"), now.world);
    return now.optim;
}
static nn_schedule *schedule_of(nn_optim *o, int world) {
    return world % 2 ? nn_plateau_lr(o, (nn_plateau_opts){ 0 }) : nn_exponential_lr(o, 0.5);
}
static nn_schedule *schedule_in(ad_graph *g, int world) { return schedule_of(optim_in(g, 0), world); }
static nn_schedule *good_schedule(const char *name) { return (void)name, schedule_of(good_optim(""), now.world); }
static nn_loader *loader_in(ad_graph *g, int world) {
    nn_dataset d = { leaf(g, AD_F64, AD_SHAPE(4, 2), 0, 1, false), leaf(g, AD_F64, AD_SHAPE(4), 0, 0.25, false) };
    return nn_loader_new(g, d, (nn_loader_opts){ .batch = 2, .in_order = world % 2 });
}
static nn_table *table_in(ad_graph *g, int world) {
    (void)world;
    return nn_read_csv(g, "table.csv", (nn_csv_opts){ 0 });
}
static nn_average *average_in(ad_graph *g, int world) {
    nn_average *a = nn_average_new(module_in(g, world), (nn_average_opts){ .decay = 0.5 });
    if (a != NULL) nn_average_update(a);
    return a;
}
static nn_rows *rows_in(ad_graph *g, int world) { return (void)world, nn_map_npy(g, "x.npy"); }
static void *good_row_stream(void) {
    static nn_row_stream s;
    s = (nn_row_stream){ .x = rows_in(mine(), 0), .y = rows_in(mine(), 0) };
    return &s;
}
static ad_objective *objective_in(ad_graph *g, int world) {
    ad_var *x = leaf(g, AD_F64, AD_SHAPE(2), 1, 1, true);
    return (void)world, ad_objective_new(ad_sum(ad_square(x)), 1, &x);
}
static ad_residuals *residuals_in(ad_graph *g, int world) {
    ad_var *x = leaf(g, AD_F64, AD_SHAPE(2), 1, 1, true);
    return (void)world, ad_residuals_new(ad_square(x), 1, &x);
}
static ad_program *program_in(ad_graph *g, int world) {
    ad_var *x = leaf(g, AD_F64, AD_SHAPE(2), 1, 1, true), *y = ad_sum(ad_square(x));
    ad_compile_opts o = { .no_cc = true };
    return world % 2 ? ad_compile(1, &y, 1, &x, o) : ad_compile_gradient(y, 1, &x, o);
}
static ad_residuals *good_residuals(void) { return residuals_in(mine(), now.world); }
static ad_objective *good_objective(void) { return objective_in(mine(), now.world); }
static ad_program *good_program(void) { return program_in(mine(), now.world); }

/* These get more than the object of a closed scope, and that lies over it: the memory of the scope is in use again. */
static bool covers_closed(void) { return is_one_of(now.function, "nn_export_c"); }

/* An object of a scope that is closed. AddressSanitizer reports any look at it. */
#define CLOSED(make)                                                                                                   \
    ad_mark m = ad_begin(mine());                                                                                      \
    void *object = make(now.g, now.world);                                                                             \
    ad_end(now.g, m);                                                                                                  \
    now.closed = true;                                                                                                 \
    return object
#ifdef SANITIZED
#define OR_CLOSED(make) return make(mine(), now.world)
#else
#define OR_CLOSED(make) CLOSED(make)
#endif
#define OBJECT(type, make, good)                                                                                       \
    enum { BAD_##type##_p = 3 };                                                                                       \
    static type *pick_##type##_p(int k, const char *name) {                                                            \
        static const char *const names[] = { "NULL", "of another graph", "of a closed scope" };                        \
        if (k >= 0) note(name, names[k]);                                                                              \
        if (k == 0) return NULL;                                                                                       \
        if (k == 1) return make(now.other, now.world);                                                                 \
        if (k < 0 || covers_closed()) {                                                                                \
            type *object = good;                                                                                       \
            now.given |= object != NULL;                                                                               \
            return object;                                                                                             \
        }                                                                                                              \
        OR_CLOSED(make);                                                                                               \
    }
OBJECT(nn_module, module_in, good_module(name))
OBJECT(nn_optim, optim_in, good_optim(name))
OBJECT(nn_schedule, schedule_in, good_schedule(name))
OBJECT(nn_loader, loader_in, loader_in(now.g, now.world))
OBJECT(nn_table, table_in, table_in(now.g, now.world))
OBJECT(nn_average, average_in, is_one_of(name, "average") ? NULL : average_in(now.g, now.world))
OBJECT(nn_rows, rows_in, rows_in(now.g, now.world))
static ad_sparse_plan *good_sparse_plan(void) {
    ad_var *x = leaf(mine(), AD_F64, AD_SHAPE(2), 1, 1, true), *y = ad_square(x);
    ad_sparse_opts o = { .format = (ad_sparse_format)(now.world % 3), .base = now.world % 2 };
    return now.world < 3 ? ad_sparse_jacobian(y, x, o) : ad_sparse_hessian(ad_sum(y), x, o);
}
enum { BAD_ad_objective_p = 1, BAD_ad_residuals_p = 1, BAD_ad_program_p = 1, BAD_ad_sparse_plan_p = 1 };
static ad_sparse_plan *pick_ad_sparse_plan_p(int k, const char *name) {
    return k < 0 ? good_sparse_plan() : good_or_null(k, name, NULL);
}
static ad_objective *pick_ad_objective_p(int k, const char *name) {
    return k < 0 ? good_objective() : good_or_null(k, name, NULL);
}
static ad_residuals *pick_ad_residuals_p(int k, const char *name) {
    return k < 0 ? good_residuals() : good_or_null(k, name, NULL);
}
static ad_program *pick_ad_program_p(int k, const char *name) {
    return k < 0 ? good_program() : good_or_null(k, name, NULL);
}

enum { BAD_nn_module_p_in = 4 };
static nn_module **pick_nn_module_p_in(int k, const char *name) {
    static nn_module *ms[ROOM];
    static const char *const names[] = { "NULL", "NULLs", "of another graph", "twice the same" };
    if (k >= 0) note(name, names[k]);
    if (k == 0) return NULL;
    for (int i = 0; i < ROOM; i++) ms[i] = k == 1 ? NULL : module_in(k == 2 ? now.other : now.g, 0);
    if (k == 3) ms[1] = ms[0];
    now.in_array |= k < 0 || k == 3;
    return ms;
}

enum { BAD_ad_op_p = 1, BAD_ad_optype_p = 3, BAD_ad_attr_p = 1, BAD_ad_call_p = 1, BAD_ad_mark = 3, BAD_ad_team_p = 0 };
static const ad_op *pick_ad_op_p(int k, const char *name) {
    return k < 0 ? ad_creator(ad_square(good_var("x"))) : good_or_null(k, name, NULL);
}
static const ad_optype *pick_ad_optype_p(int k, const char *name) {
    static const ad_optype empty = { .name = "empty", .arity = 1 }, nameless = { 0 }, own = { .name = "own" };
    static const char *const names[] = { "NULL", "without functions", "without name" };
    if (k >= 0) note(name, names[k]);
    if (k < 0 && is_one_of(now.function, "ad_register_op")) return &own;
    return k < 0 ? now.world % 2 ? &ad_op_square : &ad_op_add : k == 0 ? NULL : k == 1 ? &empty : &nameless;
}
static const ad_attr *pick_ad_attr_p(int k, const char *name) {
    static ad_attr a = { "axis", AD_ATTR_INT, 0 };
    return good_or_null(k, name, &a);
}
static const ad_call *pick_ad_call_p(int k, const char *name) {
    static ad_call c;
    static ad_var *in[2];
    in[0] = in[1] = good_var("x");
    c = (ad_call){ .graph = mine(), .type = &ad_op_add, .n = 2, .in = in };
    return good_or_null(k, name, &c);
}
static ad_mark pick_ad_mark(int k, const char *name) {
    static const char *const names[] = { "zeroed", "of another graph", "of no scope" };
    if (k >= 0) note(name, names[k]);
    if (k == 0) return (ad_mark){ 0 };
    return k == 2 ? (ad_mark){ mine(), 1, 12345 } : ad_begin(k < 0 ? mine() : now.other);
}
static ad_team *pick_ad_team_p(int k, const char *name) { return (void)k, (void)name, NULL; }

enum { BAD_ad_random_state_p = 1, BAD_ad_random_state = 1, BAD_ad_emit_p = 0, BAD_ad_sampler_p = 0, BAD_ad_pattern_p = 0,
       BAD_ad_emit_loop_p = 1, BAD_ad_emit_code_p = 1, BAD_ad_emit_array_in = 1, BAD_ad_check_report_p = 1,
       BAD_nn_training_state_p = 1, BAD_nn_rnn_state_p = 1 };
static ad_random_state *pick_ad_random_state_p(int k, const char *name) {
    return good_or_null(k, name, fresh_elements());
}
static ad_random_state pick_ad_random_state(int k, const char *name) {
    if (k >= 0) note(name, "UINT64_MAX");
    return k < 0 ? (ad_random_state){ 1, 2 } : (ad_random_state){ UINT64_MAX, UINT64_MAX };
}
static ad_pattern *pick_ad_pattern_p(int k, const char *name) { return (void)k, (void)name, NULL; }
static ad_emit *pick_ad_emit_p(int k, const char *name) { return (void)k, (void)name, NULL; }
static ad_sampler *pick_ad_sampler_p(int k, const char *name) { return (void)k, (void)name, NULL; }
static const ad_emit_loop *pick_ad_emit_loop_p(int k, const char *name) {
    static ad_emit_loop l = { .names = "x", .value = "x", .n = 1 };
    return good_or_null(k, name, &l);
}
static const ad_emit_code *pick_ad_emit_code_p(int k, const char *name) {
    static ad_emit_code c = { .names = "x", .text = "{}", .n = 1 };
    return good_or_null(k, name, &c);
}
static ad_check_report *pick_ad_check_report_p(int k, const char *name) {
    return good_or_null(k, name, fresh_elements());
}
static nn_training_state *pick_nn_training_state_p(int k, const char *name) {
    return good_or_null(k, name, fresh_elements());
}
static nn_rnn_state *pick_nn_rnn_state_p(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }
enum { BAD_nn_load_report_p = 1, BAD_nn_rates_p = 1, BAD_nn_rename_p = 2 };
static nn_load_report *pick_nn_load_report_p(int k, const char *name) {
    return good_or_null(k, name, fresh_elements());
}
static nn_rates *pick_nn_rates_p(int k, const char *name) { return good_or_null(k, name, fresh_elements()); }
static const nn_rename *pick_nn_rename_p(int k, const char *name) {
    static const nn_rename same[] = { { "weight", "x" }, { "bias", "x" }, { NULL, NULL } },
                           all[] = { { "", NULL }, { NULL, NULL } };
    if (k >= 0) note(name, k ? "that leaves out all" : "to one name");
    return k < 0 ? NULL : k == 0 ? same : all;
}

static const char *const names_of_exports[ROOM] = { "f0", "f1", "f2",  "f3",  "f4",  "f5",  "f6",  "f7",
                                                    "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15" };
enum { BAD_ad_export_array_p = 6, BAD_ad_export_function_p = 4 };
static const ad_export_array *pick_ad_export_array_p(int k, const char *name) {
    static const char *const names[] = { "NULL",  "without Vars",     "of NULLs",
                                         "of nils", "of another graph", "without a name" };
    static ad_var *x;
    static ad_export_array a[ROOM];
    if (k >= 0) note(name, names[k]);
    if (k == 0) return NULL;
    x = k == 2 ? NULL : k == 3 ? ad_nil(NULL) : k == 4 ? ad_ones(now.other, AD_F64, AD_SHAPE(2)) : good_var("x");
    for (int i = 0; i < ROOM; i++)
        a[i] = (ad_export_array){ k == 5 ? NULL : names_of_exports[i], 1, k == 1 ? NULL : &x };
    return a;
}
static const ad_export_function *pick_ad_export_function_p(int k, const char *name) {
    static const char *const names[] = { "NULL", "without ys", "of another graph", "with a bad name" };
    static ad_var *x, *y;
    static ad_export_function f[ROOM];
    x = k == 2 ? leaf(now.other, AD_F64, AD_SHAPE(2), 1, 1, true) : good_var("x"), y = ad_sum(ad_square(x));
    for (int i = 0; i < ROOM; i++)
        f[i] = (ad_export_function){ .name = k == 3 ? "a b" : names_of_exports[i], .m = k != 1,
                                     .ys = k == 1 ? NULL : &y, .n = 1, .xs = &x };
    if (k >= 0) note(name, names[k]);
    return k == 0 ? NULL : f;
}

enum { BAD_ad_check_opts_p = 4, BAD_ad_compile_opts = 4 };
static const ad_check_opts *pick_ad_check_opts_p(int k, const char *name) {
    static const ad_check_opts bad[] = { { NAN, NAN, NAN }, { INFINITY, 0, 0 }, { -1, -1, -1 }, { 5e-324, 0, 0 } };
    static const char *const names[] = { "of NaN", "of inf", "of -1", "of 5e-324" };
    if (k >= 0) note(name, names[k]);
    return k < 0 ? NULL : &bad[k];
}
static ad_compile_opts pick_ad_compile_opts(int k, const char *name) {
    static const ad_compile_opts bad[] = { { .cc = "", .no_cache = true },
                                           { .cc = "no-such-compiler", .no_cache = true },
                                           { .cc = "   ", .flags = "  ", .no_cache = true },
                                           { .cc = "no-such-compiler", .cache = "" } };
    static const char *const names[] = { "an empty compiler", "no compiler", "blanks", "an empty cache" };
    if (k >= 0) note(name, names[k]);
    bool usual = k == 0 || k == 2; /* these are the system's compiler, whose code valgrind and others may not run */
    return k < 0 || (usual && getenv("TEST_CC")) ? (ad_compile_opts){ .no_cc = true } : bad[k];
}

#endif
