/* anomaly.c: ad_detect_anomaly: finding the op whose value or gradient is the first that is not finite. */
#include "autodiff/graph/anomaly.h"

#include <math.h>

#include "autodiff/graph/flat.h"
#include "autodiff/graph/memory.h"

bool ad_detect_anomaly(ad_graph *g, bool on) {
    if (g == NULL) return false;
    bool was = g->anomalies;
    if (on) ad__flat_drop(g); /* its instructions do not look at what they compute */
    g->anomalies = on;
    ad__choose_paths(g);
    return was;
}

/* ---- looking at numbers ------------------------------------------------------------------------------- */

/* The index of the first element that is not finite; -1 if there is none. */
static int64_t first_bad(ad_dtype t, const void *a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(ad_read_element(t, a, i))) return i;
    return -1;
}

static bool is_finite(const ad_var *x) { return first_bad(x->layout->dtype, x->data, x->layout->numel) < 0; }

static bool has_finite_operands(const ad_op *op) {
    for (int i = 0; i < op->n_in; i++)
        if (!is_finite(op->in[i])) return false;
    return true;
}

/* A program that gives an op an infinite number, such as the value of a masked fill, means it. */
static bool has_finite_attributes(const ad_op *op) {
    const char *attrs = ad__attrs_of(op);
    for (const ad_attr *a = op->type->attr_size ? op->type->attrs : NULL; a != NULL && a->name != NULL; a++)
        if (a->kind == AD_ATTR_DOUBLE && !isfinite(*(const double *)(const void *)(attrs + a->offset))) return false;
    return true;
}

/* ---- sentences -------------------------------------------------------------------------------------------- */

/* Adds "operand 0 is in -1..2, operand 1 ..": the first few. */
static void add_ranges(char *to, size_t size, const ad_op *op) {
    enum { SHOWN = 3 };
    size_t at = 0;
    to[0] = '\0';
    for (int i = 0; i < op->n_in && i < SHOWN && at < size; i++) {
        const ad__layout *l = op->in[i]->layout;
        double lo = l->numel ? INFINITY : 0, hi = l->numel ? -INFINITY : 0;
        for (int64_t k = 0; k < l->numel; k++) {
            double x = ad_read_element(l->dtype, op->in[i]->data, k);
            lo = x < lo ? x : lo, hi = x > hi ? x : hi;
        }
        at += (size_t)snprintf(to + at, size - at, "%soperand %d is in %.6g..%.6g", i ? ", " : "", i, lo, hi);
    }
    if (op->n_in > SHOWN && at < size) snprintf(to + at, size - at, ", ..");
}

/* "op 12", and the name that the program gave to the result. */
static void name_op(char *to, size_t size, const ad_op *op) {
    const char *name = ad_name_of(ad__out(op));
    snprintf(to, size, "op %lu%s%s", (unsigned long)op->id, name ? ", " : "", name ? name : "");
}

static int fail_value(const ad_op *op, bool derived) {
    const ad_var *out = ad__out(op);
    const ad__layout *l = out->layout;
    int64_t k = first_bad(l->dtype, out->data, l->numel);
    char ranges[160], which[60];
    add_ranges(ranges, sizeof ranges, op);
    name_op(which, sizeof which, op);
    const char *part = derived ? ", a part of a derivative," : "";
    return ad_op_fail(op, AD_EVALUE, "anomaly: element %lld of the result%s is %g (%s); %s", (long long)k, part,
                      ad_read_element(l->dtype, out->data, k), which, ranges);
}

static int fail_slope(const ad_op *op, int i, const ad__layout *l, const void *grad) {
    int64_t k = first_bad(l->dtype, grad, l->numel);
    char ranges[160], which[60];
    add_ranges(ranges, sizeof ranges, op);
    name_op(which, sizeof which, op);
    return ad_op_fail(op, AD_EVALUE, "anomaly: element %lld of the gradient of operand %d is %g (%s); %s",
                      (long long)k, i, ad_read_element(l->dtype, grad, k), which, ranges);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static bool is_anomaly(const ad_op *op) {
    return !(op->type->flags & AD_OP_VIEW) && !is_finite(ad__out(op)) && has_finite_operands(op) &&
           has_finite_attributes(op);
}

int ad__check_value(const ad_op *op) {
    /* what a rule records may be infinite where ad_where leaves it out */
    if (ad__owner(ad__out(op))->vjp_rules > 0 || !is_anomaly(op)) return AD_OK;
    return fail_value(op, false);
}

static bool is_derived(const ad_op *op) {
    const ad__derived *d = ad__owner(ad__out(op))->derived;
    while (d != NULL && d->after >= op->id) d = d->prev;
    return d != NULL && op->id <= d->until;
}

int ad__check_value_again(const ad_op *op) {
    return is_anomaly(op) && !is_derived(op) ? fail_value(op, false) : AD_OK;
}

/* Goes from y along results that are not finite to an Op that made one of finite ones. */
int ad__check_result(const ad_var *y) {
    const ad_op *op = y->creator;
    if (op == NULL || is_finite(y)) return AD_OK;
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i]->creator != NULL && !is_finite(op->in[i])) op = op->in[i]->creator, i = -1;
    return is_anomaly(op) ? fail_value(op, true) : AD_OK;
}

int ad__note_derived(ad_graph *g, uint32_t n) {
    if (g->n_ops == n) return AD_OK;
    ad__derived *d = ad_scope_alloc(g, sizeof *d);
    if (d == NULL) return AD_ENOMEM;
    *d = (ad__derived){ g->derived, n, g->n_ops };
    g->derived = d;
    return AD_OK;
}

/* ---- gradients ------------------------------------------------------------------------------------------------ */

enum { BITS = 64 };
static uint64_t bit_of(int i) { return (uint64_t)1 << (i < BITS - 1 ? i : BITS - 1); }

static bool has_bad_grad(const ad_var *x) {
    const ad__layout *l = x->layout;
    return x->flags & AD__HAS_GRAD && first_bad(l->dtype, x->grad, l->numel) >= 0;
}

uint64_t ad__finite_before(const ad_op *op) {
    if (has_bad_grad(ad__out(op)) || !has_finite_operands(op) || !has_finite_attributes(op)) return 0;
    uint64_t mask = 0, bad = 0;
    for (int i = 0; i < op->n_in; i++) {
        if (!ad__wants(op, i)) continue;
        mask |= bit_of(i);
        /* gradients of results start from zero in each pass; that of a leaf may have been infinite before */
        if (op->in[i]->creator == NULL && has_bad_grad(op->in[i])) bad |= bit_of(i);
    }
    return mask & ~bad;
}

int ad__check_slopes(const ad_op *op, uint64_t mask) {
    for (int i = 0; i < op->n_in; i++)
        if (mask & bit_of(i) && ad__wants(op, i) && has_bad_grad(op->in[i]))
            return fail_slope(op, i, op->in[i]->layout, op->in[i]->grad);
    return AD_OK;
}

int ad__check_vjp(const ad_op *op, const ad_var *cotangent, ad_var *const dx[]) {
    if (!is_finite(cotangent) || !has_finite_operands(op) || !has_finite_attributes(op)) return AD_OK;
    for (int i = 0; i < op->n_in; i++)
        if (ad_vjp_wants(op, i) && !ad__absent(dx[i]) && !is_finite(dx[i]))
            return fail_slope(op, i, dx[i]->layout, dx[i]->data);
    return AD_OK;
}
