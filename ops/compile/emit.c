/* emit.c: lowers the Ops of a graph to instructions and nests. */
#include "ops/compile/emit.h"

#include <stdlib.h>
#include <string.h>

#include "autodiff/graph/memory.h"
#include "autodiff/graph/plan.h"
#include "autodiff/pass/pass.h"

typedef struct ad__leaf_value leaf_value;
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad_scope_array(e->g, size)
#define uthash_free(p, size) ((void)(p), (void)(size))
#define uthash_nonfatal_oom(entry) ((entry)->leaf = NULL)
#include <uthash.h>

/* The value of a leaf, for a hash table by address. */
struct ad__leaf_value {
    const ad_var *leaf;
    int64_t value; /* as in ad_emit's values */
    UT_hash_handle hh;
};

bool ad__vec_reserve(ad_graph *g, void *v, int64_t more, size_t size) {
    AD__VEC(char) *vec = v;
    int64_t capacity = vec->capacity ? vec->capacity : 64;
    while (capacity < vec->n + more) capacity *= 2;
    char *at = ad_scope_closing(g, (size_t)capacity * size, NULL);
    if (at == NULL) return false;
    if (vec->n) memcpy(at, vec->at, (size_t)vec->n * size);
    vec->at = at, vec->capacity = capacity;
    return true;
}

/* ---- buffers, instructions, nests -------------------------------------------------------------------------------- */

int ad__buffer_new(ad_emit *e, ad__buffer_kind kind, ad_dtype t, int64_t size, int64_t index) {
    ad__buffer b = { .kind = kind, .dtype = t, .size = size, .index = index };
    if (!AD__PUSH(e->g, &e->buffers, b)) return e->code = AD_ENOMEM, 0;
    return (int)e->buffers.n - 1;
}

ad__place ad__insn_add(ad_emit *e, ad__insn_kind kind, int form, int n, const ad__place in[], ad__place out) {
    ad__insn i = { .form = form, .kind = (uint8_t)kind, .n = (uint8_t)n, .in = e->places.n, .out = out };
    if (!AD__RESERVE(e->g, &e->places, n) || !AD__PUSH(e->g, &e->insns, i)) return e->code = AD_ENOMEM, AD__NOWHERE;
    for (int k = 0; k < n; k++) e->places.at[e->places.n++] = in[k];
    return ad__place_of(0, e->insns.n - 1);
}

ad__nest *ad__nest_add(ad_emit *e, ad__nest_kind kind, int form, int ndim, const int64_t *dim) {
    ad__nest n = { .kind = kind, .form = form, .ndim = ndim, .at = e->insns.n };
    for (int d = 0; d < ndim; d++) n.dim[d] = dim[d];
    if (!AD__PUSH(e->g, &e->nests, n)) return e->code = AD_ENOMEM, NULL;
    return &e->nests.at[e->nests.n - 1];
}

ad__place ad__number(ad_emit *e, double k) {
    if (!AD__PUSH(e->g, &e->numbers, k)) e->code = AD_ENOMEM;
    return ad__place_of(AD__NUMBER_BUFFER, e->numbers.n - 1);
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

static ad_emit_array contiguous(ad_dtype t, ad_shape s, ad__place at) {
    ad_emit_array a = { .dtype = t, .shape = s, .place = at };
    int64_t stride = 1;
    for (int d = s.ndim; d-- > 0;) a.stride[d] = stride, stride *= s.dim[d];
    return a;
}

static bool is_contiguous(const ad_emit_array *a) {
    int64_t stride = 1;
    for (int d = a->shape.ndim; d-- > 0;) {
        if (a->shape.dim[d] != 1 && a->stride[d] != stride) return false;
        stride *= a->shape.dim[d];
    }
    return true;
}

/* False, with the graph's error, unless there is an emitter, and arrays of this dtype and shape can be. */
static bool is_possible(ad_emit *e, ad_dtype t, ad_shape s, const char *caller) {
    if (e == NULL) return false;
    bool known = t == AD_F32 || t == AD_F64;
    if (known && ad__shape_valid(s)) return true;
    if (!known) e->code = ad_fail(e->g, AD_EDTYPE, "%s: %d is not a dtype", caller, (int)t);
    else e->code = ad_fail(e->g, AD_ESHAPE, "%s: %s is not a shape", caller, ad_shape_str(s).text);
    return false;
}

ad_emit_array ad_emit_index(ad_emit *e, ad_dtype t, ad_shape s, int axis) {
    if (!is_possible(e, t, s, "emit_index")) return (ad_emit_array){ 0 };
    ad_emit_array a = { .dtype = t, .shape = s, .place = ad__place_of(AD__INDEX_BUFFER, 0) };
    if (axis >= 0 && axis < s.ndim) a.stride[axis] = 1;
    else if (axis != 0)
        e->code = ad_fail(e->g, AD_ESHAPE, "emit_index: axis %d is no axis of %s", axis, ad_shape_str(s).text);
    return a;
}

ad_emit_array ad_emit_new(ad_emit *e, ad_dtype t, ad_shape s) {
    if (!is_possible(e, t, s, "emit_new")) return (ad_emit_array){ 0 };
    return contiguous(t, s, ad__place_of(ad__buffer_new(e, AD__WORK, t, ad_shape_numel(s), 0), 0));
}

/* Where a nest over shape s reads x, which broadcasts to s. */
static ad__map map_of(const ad_emit_array *x, ad_shape s) {
    ad__map m = { .at = x->place };
    for (int d = s.ndim, i = x->shape.ndim; d-- > 0 && i-- > 0;) m.stride[d] = x->shape.dim[i] == 1 ? 0 : x->stride[i];
    return m;
}

/* ---- values of Vars ---------------------------------------------------------------------------------------------- */

static ad_emit_array array_of(const ad_emit *e, const ad_var *x, int64_t value) {
    const ad__layout *l = x->layout;
    if (value < 0) return e->arrays.at[~value];
    return contiguous(l->dtype, l->shape, value);
}

static int64_t value_of_array(ad_emit *e, const ad_emit_array *a) {
    if (is_contiguous(a)) return a->place;
    if (!AD__PUSH(e->g, &e->arrays, *a)) return e->code = AD_ENOMEM, 0;
    return ~(e->arrays.n - 1);
}

static void set_leaf(ad_emit *e, const ad_var *x, int64_t value) {
    leaf_value *v = ad_scope_alloc(e->g, sizeof *v);
    if (v == NULL) {
        e->code = AD_ENOMEM;
        return;
    }
    v->leaf = x, v->value = value;
    HASH_ADD_PTR(e->leaf_values, leaf, v);
    if (v->leaf == NULL) e->code = ad_no_memory(e->g, "a table of leaves", sizeof *v);
}

/* Leaves of one element are gathered in one buffer for each dtype, in the order in which they are met. */
static int64_t leaf_scalar(ad_emit *e, const ad_var *x) {
    ad_dtype t = x->layout->dtype;
    if (e->leaf_scalars[t] == 0) e->leaf_scalars[t] = ad__buffer_new(e, AD__SCALARS, t, 0, t);
    if (!AD__PUSH(e->g, &e->scalars, x)) return e->code = AD_ENOMEM, 0;
    return ad__place_of(e->leaf_scalars[t], e->buffers.at[e->leaf_scalars[t]].size++);
}

static int64_t leaf_array(ad_emit *e, const ad_var *x) {
    if (!AD__PUSH(e->g, &e->leaves, x)) return e->code = AD_ENOMEM, 0;
    return ad__place_of(ad__buffer_new(e, AD__LEAF, x->layout->dtype, x->layout->numel, e->leaves.n - 1), 0);
}

static int64_t leaf_value_of(ad_emit *e, const ad_var *x) {
    leaf_value *v;
    HASH_FIND_PTR(e->leaf_values, &x, v);
    if (v) return v->value;
    int64_t value = x->layout->numel == 1 ? leaf_scalar(e, x) : leaf_array(e, x);
    set_leaf(e, x, value);
    return value;
}

static int64_t *slot(ad_emit *e, const ad_var *x) { return &e->values[x->creator->id - e->first_id]; }

ad_emit_array ad__value_of(ad_emit *e, const ad_var *x) {
    return array_of(e, x, x->creator ? *slot(e, x) : leaf_value_of(e, x));
}

ad_emit_array ad_emit_operand(ad_emit *e, const ad_op *op, int i) {
    ad_var *x = e ? ad_op_operand(op, i) : NULL;
    return x ? ad__value_of(e, x) : (ad_emit_array){ 0 };
}

/* An array in row-major order may get another shape. */
void ad_emit_result(ad_emit *e, const ad_op *op, ad_emit_array y) {
    if (e != NULL && op != NULL) *slot(e, ad__out(op)) = value_of_array(e, &y);
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

static ad_shape result_shape(const ad_emit_loop *l) {
    ad_shape s = l->shape;
    for (int d = 0; d < s.ndim; d++)
        if (l->reduced >> d & 1) s.dim[d] = 1;
    return s;
}

static int slope_form(ad_emit *e, const ad_emit_loop *l, int i) {
    const char *text = l->slope[i];
    if (text == NULL || strcmp(text, "0") == 0) return AD__ZERO_SLOPE;
    if (strcmp(text, "g") == 0) return AD__UNIT_SLOPE;
    return ad__form_of_text(e, text, 1 + i, l->dtype, text, (int)strlen(text));
}

static bool is_form_of(const ad__form *f, const ad_emit_loop *l) {
    if (strcmp(f->names, l->names) != 0) return false;
    for (int i = 0; i < AD__COUNT(f->slope_text); i++)
        if (f->slope_text[i] != l->slope[i]) return false;
    return true;
}

/* The formulas of a loop. They are known by the texts. */
static int loop_form(ad_emit *e, const ad_emit_loop *l) {
    enum { LOOP = -1 }; /* part: the first of its text; the others follow */
    int part = LOOP, known;
    while ((known = ad__form_find(e, l->value, part, l->dtype)) >= 0 && !is_form_of(&e->forms.at[known], l)) part--;
    if (known >= 0) return known;
    int form = ad__form_make(e, l->value, part, l->dtype, l->value, (int)strlen(l->value), l->names);
    if (e->code == AD_OK) e->forms.at[form].names = l->names;
    for (int i = 0; i < AD__COUNT(l->slope) && e->code == AD_OK; i++) {
        int slope = i < l->n ? slope_form(e, l, i) : AD__ZERO_SLOPE;
        e->forms.at[form].slope[i] = slope;
        e->forms.at[form].slope_text[i] = l->slope[i];
    }
    return form;
}

static bool all_single(const ad_emit_loop *l) {
    if (ad_shape_numel(l->shape) != 1 || l->into) return false;
    for (int i = 0; i < l->n; i++)
        if (l->in[i].dtype != l->dtype && l->n > 1) return false;
    return true;
}

static ad__place number_of_element(ad_emit *e, ad__place at) {
    return ad__buffer_of(at) == AD__INDEX_BUFFER ? ad__number(e, (double)ad__offset_of(at)) : at;
}

/* y for one index: an instruction. */
static ad_emit_array run_once(ad_emit *e, const ad_emit_loop *l, int form) {
    ad__place in[AD__NAMES];
    int n = 0;
    for (int i = 0; i < l->n; i++) in[n++] = number_of_element(e, l->in[i].place);
    for (int i = 0; i < l->n_parameters; i++) in[n++] = ad__number(e, l->parameter[i]);
    return contiguous(l->dtype, result_shape(l), ad__insn_add(e, AD__DEFINE, form, n, in, AD__NOWHERE));
}

static ad__nest_kind nest_kind(ad_emit_kind k) {
    static const ad__nest_kind kinds[] = { [AD_EMIT_SET] = AD__SET,
                                           [AD_EMIT_SUM] = AD__SUM,
                                           [AD_EMIT_ADD] = AD__ADD_TO,
                                           [AD_EMIT_MAX] = AD__LARGEST,
                                           [AD_EMIT_MIN] = AD__SMALLEST };
    return kinds[k];
}

/* Every name stands for an operand or a parameter. */
static int check_names(ad_emit *e, const ad_emit_loop *l, int form) {
    int named = e->forms.at[form].n, given = l->n + l->n_parameters;
    if (named == given) return AD_OK;
    return ad_fail(e->g, AD_EVALUE, "emit_run: \"%s\" has %d names, for %d operands and parameters", l->names, named,
                   given);
}

ad_emit_array ad_emit_run(ad_emit *e, const ad_emit_loop *l) {
    if (e == NULL || l == NULL) return (ad_emit_array){ 0 };
    ad_emit_array y = { .dtype = l->dtype };
    int form = e->code == AD_OK ? loop_form(e, l) : 0;
    if (e->code == AD_OK) e->code = check_names(e, l, form);
    if (e->code != AD_OK) return y;
    if (all_single(l)) return run_once(e, l, form);
    ad_shape s = result_shape(l);
    y = l->into ? *l->into : ad_emit_new(e, l->dtype, s);
    ad__nest *nest = ad__nest_add(e, nest_kind(l->kind), form, l->shape.ndim, l->shape.dim);
    if (nest == NULL) return y;
    ad__buffer *b = &e->buffers.at[ad__buffer_of(y.place)];
    nest->out = map_of(&y, l->shape), nest->overwrites = b->is_set && l->kind == AD_EMIT_SET;
    b->is_set |= l->into == NULL || ad_shape_numel(s) == b->size;
    for (int i = 0; i < l->n; i++) nest->in[nest->n++] = map_of(&l->in[i], l->shape);
    for (int i = 0; i < l->n_parameters; i++) {
        ad__place k = ad__number(e, l->parameter[i]);
        nest->in[nest->n++] = (ad__map){ .at = k };
    }
    return y;
}

ad_emit_array ad_emit_contiguous(ad_emit *e, ad_emit_array x) {
    if (e == NULL || is_contiguous(&x)) return x;
    ad_emit_array y = ad_emit_new(e, x.dtype, x.shape);
    return ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = x.shape, .names = "x", .value = "x",
                                           .slope = { "g" }, .n = 1, .in = { x }, .into = &y });
}

/* ---- elementwise ops --------------------------------------------------------------------------------------------- */

/* The slopes in a descriptor's text "a; b; c". */
static void read_slopes(ad_emit *e, const ad_op *op, int form, ad_dtype t) {
    const char *p = op->type->gradient;
    for (int i = 0; p != NULL && i < op->n_in && e->code == AD_OK; i++) {
        const char *end = strchr(p, ';');
        int n = end ? (int)(end - p) : (int)strlen(p), slope;
        if (n == 1 && *p == '0') slope = AD__ZERO_SLOPE;
        else if (n == 1 && *p == 'g') slope = AD__UNIT_SLOPE;
        else slope = ad__form_of_text(e, op->type, 1 + i, t, p, n);
        if (e->code == AD_OK && !ad__takes_no_grad(op->type->no_grad, i)) e->forms.at[form].slope[i] = slope;
        p = end ? end + 1 : NULL;
        while (p && *p == ' ') p++;
    }
}

static int elementwise_form(ad_emit *e, const ad_op *op, ad_dtype t) {
    int known = ad__form_find(e, op->type, 0, t);
    if (known >= 0) return known;
    static const char *const operands[] = { "x", "a b", "a b c" };
    char names[256];
    int n = 0;
    strcpy(names, operands[op->n_in - 1]);
    n = (int)strlen(names);
    for (const ad_attr *a = op->type->attrs; a && a->name; a++) {
        names[n++] = ' ';
        memcpy(names + n, a->name, strlen(a->name) + 1), n += (int)strlen(a->name);
    }
    char *kept = ad_scope_alloc(e->g, (size_t)n + 1);
    if (kept == NULL) return e->code = AD_ENOMEM, 0;
    memcpy(kept, names, (size_t)n + 1);
    int form = ad__form_make(e, op->type, 0, t, op->type->formula, (int)strlen(op->type->formula), kept);
    if (e->code == AD_OK) read_slopes(e, op, form, t);
    return form;
}

int ad_emit_elementwise(ad_emit *e, const ad_op *op) {
    if (e == NULL || op == NULL) return AD_EVALUE;
    const ad_var *out = ad__out(op);
    const double *k = ad__attrs_of(op);
    ad_dtype t = out->layout->dtype;
    bool known = ad__form_find(e, op->type, 0, t) >= 0;
    if (!known && (!ad__text_is_c(op->type->formula) || !ad__text_is_c(op->type->gradient))) return AD_EABSENT;
    int form = elementwise_form(e, op, t), n_numbers = (int)(op->type->attr_size / sizeof *k), n = 0;
    if (e->code != AD_OK) return e->code;
    ad_emit_array in[3];
    for (int i = 0; i < op->n_in; i++) in[i] = ad_emit_operand(e, op, i);
    if (out->layout->numel == 1) {
        ad__place places[AD__NAMES];
        for (int i = 0; i < op->n_in; i++) places[n++] = in[i].place;
        for (int i = 0; i < n_numbers; i++) places[n++] = ad__number(e, k[i]);
        *slot(e, out) = ad__insn_add(e, AD__DEFINE, form, n, places, AD__NOWHERE);
        return e->code;
    }
    ad_shape s = out->layout->shape;
    ad__place y = ad__place_of(ad__buffer_new(e, AD__WORK, t, out->layout->numel, 0), 0);
    ad__nest *nest = ad__nest_add(e, AD__SET, form, s.ndim, s.dim);
    if (nest == NULL) return e->code;
    ad_emit_array result = contiguous(t, s, y);
    nest->out = map_of(&result, s);
    for (int i = 0; i < op->n_in; i++) nest->in[nest->n++] = map_of(&in[i], s);
    for (int i = 0; i < n_numbers; i++) nest->in[nest->n++].at = ad__number(e, k[i]);
    *slot(e, out) = y;
    return e->code;
}

/* ---- the Ops of a graph ------------------------------------------------------------------------------------------ */

static bool can_be_called(const ad_emit *e, const ad_op *op) {
    enum { OPERANDS_MOST = 63 };
    return e->patterns || !(e->portable || op->n_in > OPERANDS_MOST || op->type->flags & AD_OP_VIEW);
}

/* An Op without a form: its evaluate is called. Its operands must be arrays in row-major order. */
static void emit_call(ad_emit *e, const ad_op *op) {
    const ad_var *out = ad__out(op);
    ad__place *places = ad_scope_alloc(e->g, (size_t)(op->n_in + 1) * sizeof *places);
    if (places == NULL || !can_be_called(e, op)) {
        if (places == NULL) e->code = AD_ENOMEM;
        else e->refused = op->type->name;
        return;
    }
    e->calls = true;
    for (int i = 0; i < op->n_in; i++) places[i] = ad_emit_contiguous(e, ad_emit_operand(e, op, i)).place;
    places[op->n_in] = ad__place_of(ad__buffer_new(e, AD__WORK, out->layout->dtype, out->layout->numel, 0), 0);
    ad__nest *nest = ad__nest_add(e, AD__CALL, 0, 0, NULL);
    if (nest == NULL || !AD__RESERVE(e->g, &e->places, op->n_in + 1)) {
        e->code = AD_ENOMEM;
        return;
    }
    for (const ad_op *b = e->g->branch; b != NULL; b = ad__branch_of(b)->prev) nest->keep |= b == op;
    nest->op = op, nest->n = op->n_in, nest->in[0].at = e->places.n, nest->out.at = places[op->n_in];
    for (int i = 0; i < op->n_in; i++) e->places.at[e->places.n++] = places[i];
    *slot(e, ad__out(op)) = nest->out.at;
}

/* The form of an Op. A pattern is not read off texts: then what was emitted of such a form is dropped. */
static int lower_form(ad_emit *e, const ad_op *op) {
    int64_t nests = e->nests.n, insns = e->insns.n;
    e->opaque = false;
    int rc = op->type->emit(e, op);
    if (!(e->patterns && e->opaque) || rc != AD_OK) return rc;
    e->nests.n = nests, e->insns.n = insns;
    return AD_EABSENT;
}

static int lower_op(ad_emit *e, const ad_op *op) {
    bool has_form = op->type->emit && !(e->patterns && op->type->pattern);
    int rc = has_form ? lower_form(e, op) : AD_EABSENT;
    if (rc == AD_EABSENT) emit_call(e, op);
    return e->code;
}

/* The end of the group that begins with Var i: consecutive Vars of one element and one dtype, of one array. */
static int group_end(int n, ad_var *const xs[], const int *array, int i) {
    const ad__layout *l = xs[i]->layout;
    int to = i + 1;
    while (to < n && l->numel == 1 && xs[to]->layout->numel == 1 && xs[to]->layout->dtype == l->dtype &&
           (array == NULL || array[to] == array[i]))
        to++;
    return to;
}

/* An argument for each group of the xs. */
static void make_arguments(ad_emit *e, int n, ad_var *const xs[]) {
    for (int i = 0, to; i < n && e->code == AD_OK; i = to) {
        const ad__layout *l = xs[i]->layout;
        to = group_end(n, xs, e->x_array, i);
        int64_t size = l->numel == 1 ? to - i : l->numel;
        int b = ad__buffer_new(e, AD__ARGUMENT, l->dtype, size, e->first_x.n);
        e->buffers.at[b].cells = l->numel == 1;
        for (int k = i; k < to; k++) set_leaf(e, xs[k], ad__place_of(b, k - i));
        if (!AD__PUSH(e->g, &e->first_x, i)) e->code = AD_ENOMEM;
    }
}

static int by_id(const void *a, const void *b) {
    const ad_op *x = *(ad_op *const *)a, *y = *(ad_op *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The Ops that y depends on now, without branches, and without the plan that the graph keeps. */
static int list_for_pattern(ad_emit *e, ad_var *y) {
    ad__plan p = { 0 };
    int rc = ad__plan_make(&p, 1, &y, 0);
    if (rc == AD_OK && !AD__RESERVE(e->g, &e->ops, (int64_t)p.n)) rc = AD_ENOMEM;
    for (size_t i = 0; i < p.n && rc == AD_OK; i++) e->ops.at[e->ops.n++] = p.ops[i];
    ad__plan_free(e->g, &p);
    return e->code = rc;
}

/* The Ops that the ys depend on, oldest first. */
static int list_ops(ad_emit *e, int m, ad_var *const ys[]) {
    if (e->patterns) return list_for_pattern(e, ys[0]);
    for (int i = 0; i < m; i++) {
        const ad__plan *p = ad__plan_for(ys[i]);
        if (p == NULL || !AD__RESERVE(e->g, &e->ops, (int64_t)p->n)) return e->code = AD_ENOMEM;
        if (p->n) memcpy(e->ops.at + e->ops.n, p->ops, p->n * sizeof *p->ops);
        e->ops.n += (int64_t)p->n;
    }
    if (m < 2 || e->ops.n == 0) return AD_OK;
    int64_t n = 1;
    qsort(e->ops.at, (size_t)e->ops.n, sizeof *e->ops.at, by_id);
    for (int64_t i = 1; i < e->ops.n; i++)
        if (e->ops.at[i] != e->ops.at[n - 1]) e->ops.at[n++] = e->ops.at[i];
    e->ops.n = n;
    return AD_OK;
}

int ad__lower(ad_emit *e, int m, ad_var *const ys[], int n, ad_var *const xs[]) {
    ad__buffer_new(e, AD__RESULTS, AD_F64, 0, 0);
    ad__buffer_new(e, AD__NUMBERS, AD_F64, 0, 0);
    ad__buffer_new(e, AD__INDEX, AD_F64, 0, 0);
    make_arguments(e, n, xs);
    if (e->code != AD_OK || list_ops(e, m, ys) != AD_OK || e->ops.n == 0) return e->code;
    e->first_id = e->ops.at[0]->id;
    e->n_ids = e->ops.at[e->ops.n - 1]->id - e->first_id + 1;
    e->values = ad_scope_closing(e->g, e->n_ids * sizeof *e->values, NULL);
    if (e->values == NULL) return e->code = AD_ENOMEM;
    for (int64_t i = 0; i < e->ops.n && e->code == AD_OK && e->refused == NULL; i++) lower_op(e, e->ops.at[i]);
    return e->code;
}

int ad__copy_form(ad_emit *e, ad_dtype t) {
    int copy = ad__form_make(e, "x", 0, t, "x", 1, "x");
    if (e->code == AD_OK) e->forms.at[copy].slope[0] = AD__UNIT_SLOPE;
    return copy;
}

static void copy_array(ad_emit *e, ad_emit_array x, ad__place to) {
    ad_emit_array y = contiguous(x.dtype, x.shape, to);
    ad__nest *nest = ad__nest_add(e, AD__SET, ad__copy_form(e, x.dtype), x.shape.ndim, x.shape.dim);
    if (nest == NULL) return;
    nest->out = map_of(&y, x.shape), nest->in[0] = map_of(&x, x.shape), nest->n = 1;
}

static void write_out(ad_emit *e, ad_emit_array y, ad__place to) {
    if (ad_shape_numel(y.shape) == 1) ad__insn_add(e, AD__STORE, ad__copy_form(e, y.dtype), 1, &y.place, to);
    else copy_array(e, y, to);
}

/* An output for each group of the ys. */
void ad__emit_outputs(ad_emit *e, int m, ad_var *const ys[]) {
    for (int i = 0, to; i < m && e->code == AD_OK; i = to) {
        const ad__layout *l = ys[i]->layout;
        to = group_end(m, ys, e->y_array, i);
        if (!AD__PUSH(e->g, &e->first_y, i)) e->code = AD_ENOMEM;
        int index = e->n_outputs++;
        if (e->into && e->into[i] != AD__NOWHERE) continue;
        int b = ad__buffer_new(e, AD__OUTPUT, l->dtype, l->numel == 1 ? to - i : l->numel, index);
        for (int j = i; j < to && e->code == AD_OK; j++) write_out(e, ad__value_of(e, ys[j]), ad__place_of(b, j - i));
    }
}

/* A copy of an array, or of a number, which may be an argument's, in the work memory. */
static ad_emit_array kept(ad_emit *e, ad_emit_array x) {
    int copy = ad__copy_form(e, x.dtype);
    if (ad_shape_numel(x.shape) == 1) {
        x.place = ad__insn_add(e, AD__DEFINE, copy, 1, &x.place, AD__NOWHERE);
        return x;
    }
    if (e->code != AD_OK || e->buffers.at[ad__buffer_of(x.place)].kind != AD__ARGUMENT) return x;
    ad_emit_array y = ad_emit_new(e, x.dtype, x.shape);
    copy_array(e, x, y.place);
    return y;
}

/* The other ys replace arguments, after all else was read. */
void ad__emit_replaced(ad_emit *e, int m, ad_var *const ys[]) {
    ad_emit_array *y = ad_scope_array(e->g, (size_t)m * sizeof *y);
    if (y == NULL) e->code = AD_ENOMEM;
    for (int i = 0; i < m && e->code == AD_OK; i++)
        if (e->into && e->into[i] != AD__NOWHERE) y[i] = kept(e, ad__value_of(e, ys[i]));
    for (int i = 0; i < m && e->code == AD_OK; i++)
        if (e->into && e->into[i] != AD__NOWHERE) write_out(e, y[i], e->into[i]);
}
