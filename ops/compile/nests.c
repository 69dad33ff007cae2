/* nests.c: writes loops over arrays as C. */
#include "ops/compile/source.h"

/* A nest as it is written: axes of size 1 are left out, and axes that can be traversed as one are merged. */
typedef struct {
    ad__writer *w;
    ad__nest n;
    const ad__form *form;
} writing;

static ad__map *map_at(ad__nest *n, int i) { return i < n->n ? &n->in[i] : &n->out; }

static void drop_axis(ad__nest *n, int d) {
    for (int k = d; k + 1 < n->ndim; k++) {
        n->dim[k] = n->dim[k + 1];
        for (int i = 0; i <= n->n; i++) map_at(n, i)->stride[k] = map_at(n, i)->stride[k + 1];
    }
    n->ndim--;
}

/* Whether each map goes from the end of axis d + 1 to the next index of axis d as from one index of d + 1 to the
   next. */
static bool is_one_axis(ad__nest *n, int d) {
    for (int i = 0; i <= n->n; i++) {
        const ad__map *m = map_at(n, i);
        if (m->stride[d] != m->stride[d + 1] * n->dim[d + 1]) return false;
    }
    return true;
}

static void merge_axes(ad__nest *n) {
    for (int d = n->ndim; d-- > 0;)
        if (n->dim[d] == 1) drop_axis(n, d);
    for (int d = n->ndim - 1; d-- > 0;)
        if (is_one_axis(n, d)) {
            n->dim[d + 1] *= n->dim[d];
            drop_axis(n, d);
        }
}

/* ---- elements ---------------------------------------------------------------------------------------------------- */

static bool is_memory(const ad__map *m) {
    return ad__buffer_of(m->at) != AD__NUMBER_BUFFER && ad__buffer_of(m->at) != AD__INDEX_BUFFER;
}

static void point_to(ad__writer *w, const ad__nest *n, const ad__map *m, bool written) {
    int64_t from = ad__offset_of(m->at);
    for (int d = 0; d < n->ndim; d++) {
        int64_t reach = m->stride[d] * (n->dim[d] - 1);
        if (reach < 0) from += reach;
    }
    ad__pointer_to(w, ad__buffer_of(m->at), from, written);
}

static void write_index(ad__text *t, const ad__nest *n, const ad__map *m, int64_t offset) {
    const char *plus = "";
    if (offset) ad__text_put(t, "%lld", (long long)offset), plus = " + ";
    for (int d = 0; d < n->ndim; d++) {
        if (m->stride[d] == 0) continue;
        if (m->stride[d] == 1) ad__text_put(t, "%si%d", plus, d);
        else ad__text_put(t, "%s%lld * i%d", plus, (long long)m->stride[d], d);
        plus = " + ";
    }
    if (*plus == '\0') ad__text_put(t, "0");
}

static void write_element(ad__writer *w, const ad__nest *n, const ad__map *m) {
    int64_t at = ad__offset_of(m->at);
    int p = ad__pointer_to(w, ad__buffer_of(m->at), at, false);
    ad__text_put(&w->body, "p%d[", p);
    write_index(&w->body, n, m, at - w->pointer[p].least);
    ad__text_put(&w->body, "]");
}

static void write_operand(ad__text *t, void *context, int i) {
    writing *c = context;
    ad__writer *w = c->w;
    const ad__map *m = &c->n.in[i];
    int b = ad__buffer_of(m->at);
    (void)t; /* the body itself */
    if (b == AD__NUMBER_BUFFER) {
        ad__text_number(&w->body, c->form->dtype, w->e->numbers.at[ad__offset_of(m->at)]);
        return;
    }
    if (b == AD__INDEX_BUFFER) {
        ad__text_put(&w->body, "(%s)(", ad__c_type(c->form->dtype));
        write_index(&w->body, &c->n, m, ad__offset_of(m->at));
        ad__text_put(&w->body, ")");
        return;
    }
    if (w->e->buffers.at[b].dtype != c->form->dtype) ad__text_put(&w->body, "(%s)", ad__c_type(c->form->dtype));
    write_element(w, &c->n, m);
}

static void write_value(writing *c) {
    ad__writer *w = c->w;
    ad__text_put(&w->body, "(%s)(", ad__c_type(c->form->dtype));
    bool vector = !w->portable;
    ad__form_write(&w->body, c->form, vector, &w->macros[c->form->dtype][vector], write_operand, c);
    ad__text_put(&w->body, ")");
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

static bool is_reduced(const ad__nest *n, int d) { return n->out.stride[d] == 0; }

/* Opens the loops over the axes that are, or are not, reduced; returns their number. */
static int open_loops(writing *c, bool reduced) {
    int loops = 0;
    for (int d = 0; d < c->n.ndim; d++) {
        if (is_reduced(&c->n, d) != reduced) continue;
        ad__text_put(&c->w->body, "for (long i%d = 0; i%d < %lld; i%d++) {\n", d, d, (long long)c->n.dim[d], d);
        loops++;
    }
    return loops;
}

static void close_loops(writing *c, int loops) {
    while (loops-- > 0) ad__text_put(&c->w->body, "}\n");
}

static void write_assignment(writing *c, const char *assign) {
    write_element(c->w, &c->n, &c->n.out);
    ad__text_put(&c->w->body, " %s ", assign);
    write_value(c);
    ad__text_put(&c->w->body, ";\n");
}

/* The reduced axis along which the first operand that has it is contiguous; -1 if there is none. */
static int inner_axis(const ad__nest *n) {
    int axis = -1;
    for (int d = 0; d < n->ndim; d++)
        if (is_reduced(n, d)) axis = d;
    if (axis < 0) return -1;
    for (int d = 0; d < n->ndim; d++) {
        bool fast = false;
        for (int i = 0; i < n->n; i++) fast |= is_memory(&n->in[i]) && n->in[i].stride[d] == 1;
        if (fast && !is_reduced(n, d) && n->out.stride[d] == 1) return -1;
    }
    return axis;
}

/* Sums row by row: the loops over the reduced axes are outside. */
static void write_sum_by_rows(writing *c) {
    if (c->n.kind == AD__SUM) {
        int loops = open_loops(c, false);
        write_element(c->w, &c->n, &c->n.out);
        ad__text_put(&c->w->body, " = 0;\n");
        close_loops(c, loops);
    }
    int loops = open_loops(c, true);
    loops += open_loops(c, false);
    write_assignment(c, "+=");
    close_loops(c, loops);
}

/* Sums in LANES numbers at once along the last reduced axis, which is the loop over i<axis>. Each lane sums at most
   BLOCK numbers before it is added to the total, a double, so rounding errors stay small. */
enum { LANES = 16, BLOCK = 4096 };

static void write_lanes(writing *c, int axis) {
    ad__text *t = &c->w->body;
    long long n = (long long)c->n.dim[axis];
    const char *type = ad__c_type(c->form->dtype);
    ad__text_put(t, "for (long b = 0; b < %lld; b += %d) {\n%s s[%d] = { 0 };\n", n, BLOCK, type, LANES);
    ad__text_put(t, "const long end = %lld - b < %d ? %lld : b + %d;\nlong m = b;\n", n, BLOCK, n, BLOCK);
    ad__text_put(t, "for (; m + %d <= end; m += %d)\nfor (int l = 0; l < %d; l++) {\nconst long i%d = m + l;\ns[l] += ",
                 LANES, LANES, LANES, axis);
    write_value(c);
    ad__text_put(t, ";\n}\nfor (; m < end; m++) {\nconst long i%d = m;\ns[0] += ", axis);
    write_value(c);
    ad__text_put(t, ";\n}\nfor (int l = 0; l < %d; l++) total += s[l];\n}\n", LANES);
}

static void write_sum_inside(writing *c, int axis) {
    ad__text *t = &c->w->body;
    int loops = open_loops(c, false), inner = 0;
    ad__text_put(t, "%s total = 0;\n", c->w->portable ? ad__c_type(c->form->dtype) : "double");
    for (int d = 0; d < c->n.ndim; d++) {
        if (!is_reduced(&c->n, d) || d == axis) continue;
        ad__text_put(t, "for (long i%d = 0; i%d < %lld; i%d++) {\n", d, d, (long long)c->n.dim[d], d);
        inner++;
    }
    if (c->n.dim[axis] >= 2 * LANES) write_lanes(c, axis);
    else {
        ad__text_put(t, "for (long i%d = 0; i%d < %lld; i%d++) total += ", axis, axis, (long long)c->n.dim[axis], axis);
        write_value(c);
        ad__text_put(t, ";\n");
    }
    close_loops(c, inner);
    write_element(c->w, &c->n, &c->n.out);
    ad__text_put(t, " %s (%s)total;\n", c->n.kind == AD__SUM ? "=" : "+=", ad__c_type(c->form->dtype));
    close_loops(c, loops);
}

static void write_extremum(writing *c) {
    ad__text *t = &c->w->body;
    const char *type = ad__c_type(c->form->dtype), *sign = c->n.kind == AD__LARGEST ? ">" : "<";
    int loops = open_loops(c, false);
    ad__text_put(t, "%s best = (%s)%sINFINITY;\n", type, type, c->n.kind == AD__LARGEST ? "-" : "");
    int inner = open_loops(c, true);
    ad__text_put(t, "const %s v = ", type);
    write_value(c);
    ad__text_put(t, ";\nbest = v %s best || v != v ? v : best;\n", sign);
    close_loops(c, inner);
    write_element(c->w, &c->n, &c->n.out);
    ad__text_put(t, " = best;\n");
    close_loops(c, loops);
}

static void write_loops(writing *c) {
    bool reduces = false;
    for (int d = 0; d < c->n.ndim; d++) reduces |= is_reduced(&c->n, d);
    int axis = reduces ? inner_axis(&c->n) : -1;
    if (c->n.kind == AD__LARGEST || c->n.kind == AD__SMALLEST) write_extremum(c);
    else if (axis >= 0) write_sum_inside(c, axis);
    else if (reduces) write_sum_by_rows(c);
    else {
        int loops = open_loops(c, false);
        write_assignment(c, c->n.kind == AD__ADD_TO ? "+=" : "=");
        close_loops(c, loops);
    }
}

/* A call of an Op's evaluate, through the host. */
static void write_call(ad__writer *w, const ad__nest *n) {
    ad__text_put(&w->calls, "{\nvoid *at[] = { ");
    for (int i = 0; i < n->n; i++) {
        ad__text_put(&w->calls, "(void *)(");
        w->address(w, &w->calls, ad__home_of(w->s, w->e->places.at[n->in[0].at + i]));
        ad__text_put(&w->calls, "), ");
    }
    w->address(w, &w->calls, n->out.at);
    ad__text_put(&w->calls, " };\nif ((code = host->call(host, %lld, at)) != 0) return code;\n}\n",
                 (long long)(n - w->e->nests.at));
}

void ad__write_nest(ad__writer *w, const ad__nest *nest) {
    if (nest->kind == AD__CALL) {
        write_call(w, nest);
        return;
    }
    writing c = { .w = w, .n = *nest, .form = &w->e->forms.at[nest->form] };
    for (int d = 0; d < c.n.ndim; d++)
        if (c.n.dim[d] == 0) return;
    for (int i = 0; i < c.n.n; i++) c.n.in[i].at = ad__home_of(w->s, c.n.in[i].at);
    merge_axes(&c.n);
    ad__function_begin(w);
    point_to(w, &c.n, &c.n.out, true);
    for (int i = 0; i < c.n.n; i++)
        if (c.form->used >> i & 1 && is_memory(&c.n.in[i])) point_to(w, &c.n, &c.n.in[i], false);
    write_loops(&c);
    ad__function_end(w, -1, -1);
}
