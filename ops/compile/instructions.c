/* instructions.c: writes runs of instructions as C: loops with their bodies, or statements one after the other. */
#include "ops/compile/source.h"

/* The body of a run as it is written. */
typedef struct {
    ad__writer *w;
    const ad__segment *g;
    int64_t i; /* the instruction in the body */
    const ad__insn *in;
    const ad__ref *ref; /* of its operands; NULL outside of loops */
} place_in_body;

static const ad__insn *body_insn(const ad__writer *w, const ad__segment *g, int64_t i) {
    return &w->e->insns.at[w->s->order.at[g->start + i]];
}

static const ad__ref *body_refs(const ad__writer *w, const ad__segment *g) {
    return g->n > 1 ? &w->s->refs.at[g->refs] : NULL;
}

/* ---- pointers ---------------------------------------------------------------------------------------------------- */

/* The buffer that a function takes a pointer to, and the offset in it. Functions may use many buffers of the work
   memory, and tables may lead to several of them: then the pointer is to the work memory. */
static int buffer_and_offset(const ad__writer *w, const ad__ref *f, int64_t *offset) {
    int b = ad__buffer_of(f->first);
    const ad__buffer *x = &w->e->buffers.at[b];
    bool absolute = f->kind == AD__TABLE && f->absolute, through_work = absolute || w->absolute;
    *offset = f->kind == AD__TABLE ? 0 : ad__offset_of(f->first);
    if (x->kind != AD__WORK || !through_work) return b;
    if (!absolute) *offset += x->index / (x->dtype == AD_F32 ? 4 : 8);
    return -1 - (int)x->dtype;
}

/* The pointer is to the lowest place of the first repetition. Loops of different lengths then have the same text. */
static void point_to(ad__writer *w, const ad__ref *f, bool written) {
    int64_t from;
    int b = buffer_and_offset(w, f, &from);
    if (f->kind == AD__TABLE && f->absolute) w->aliased = true;
    ad__pointer_to(w, b, from, written);
}

/* A number of the code that is the same in all repetitions is written as such. */
static bool is_number(const ad__writer *w, const ad__ref *f) {
    return ad__buffer_of(f->first) == AD__NUMBER_BUFFER && f->kind == AD__AFFINE && f->stride == 0 &&
           w->s->literal[ad__offset_of(f->first)];
}

static ad__ref ref_of(const ad__writer *w, const ad__segment *g, ad__place at) {
    ad__ref f = { .kind = AD__AFFINE };
    int64_t position = ad__buffer_of(at) == 0 ? w->s->position[ad__offset_of(at)] : -1;
    if (position >= g->start) f.kind = AD__LOCAL, f.q = (int32_t)(position - g->start);
    else f.first = ad__home_of(w->s, at);
    return f;
}

/* The reference of operand o; that of the out place for o = in->n. */
static ad__ref operand_ref(const ad__writer *w, const ad__segment *g, const ad__insn *in, const ad__ref *refs, int o) {
    if (refs) return refs[o];
    return ref_of(w, g, o < in->n ? w->e->places.at[in->in + o] : in->out);
}

static void point_to_all(ad__writer *w, const ad__segment *g) {
    const ad__ref *refs = body_refs(w, g);
    for (int64_t i = 0; i < g->period; i++) {
        const ad__insn *in = body_insn(w, g, i);
        const ad__home *h = &w->s->homes.at[g->homes + i];
        for (int o = 0; o < in->n + (in->kind != AD__DEFINE); o++) {
            if (o < in->n && !(w->e->forms.at[in->form].used >> o & 1)) continue;
            ad__ref f = operand_ref(w, g, in, refs, o);
            if (f.kind == AD__CARRIED) f = (ad__ref){ .kind = AD__AFFINE, .first = f.first };
            if (f.kind != AD__LOCAL && !is_number(w, &f)) point_to(w, &f, o == in->n);
        }
        if (h->at >= 0) {
            ad__ref f = { .kind = AD__AFFINE, .first = h->at, .stride = !h->last_only };
            point_to(w, &f, true);
        }
        if (refs) refs += in->n + 1;
    }
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

/* The pointer that a reference counts from. *at: the offset of its first element from there. */
static int pointer_of(ad__writer *w, const ad__ref *f, int64_t *at) {
    int b = buffer_and_offset(w, f, at), p = ad__pointer_to(w, b, *at, false);
    *at -= w->pointer[p].least;
    return p;
}

/* pointer[index], where the index in repetition r follows from a reference without a table. */
static void write_affine(ad__writer *w, const ad__ref *f, const char *r) {
    int64_t at;
    int p = pointer_of(w, f, &at);
    if (f->stride == 0) {
        ad__text_put(&w->body, "p%d[%lld]", p, (long long)at);
        return;
    }
    ad__text_put(&w->body, "p%d[", p);
    if (at) ad__text_put(&w->body, "%lld + ", (long long)at);
    if (f->stride != 1) ad__text_put(&w->body, "%lld * ", (long long)f->stride);
    ad__text_put(&w->body, "%s]", r);
}

/* The same for any reference. table: the first one of the loop. */
static void write_element(ad__writer *w, const ad__ref *f, int64_t table, const char *r) {
    int64_t at;
    if (f->kind != AD__TABLE) {
        write_affine(w, f, r);
        return;
    }
    int p = pointer_of(w, f, &at);
    ad__text_put(&w->body, "p%d[%lld + t[%lld + %s]]", p, (long long)at, (long long)(f->table - table), r);
}

static ad_dtype dtype_at(const ad__writer *w, const ad__segment *g, const ad__ref *f) {
    if (f->kind == AD__LOCAL || f->kind == AD__CARRIED) return w->e->forms.at[body_insn(w, g, f->q)->form].dtype;
    return w->e->buffers.at[ad__buffer_of(f->first)].dtype;
}

/* The table offsets of a loop are counted from its first table on, so that equal loops have equal texts. */
static int64_t first_table(const ad__writer *w, const ad__segment *g) {
    const ad__ref *f = body_refs(w, g);
    if (f == NULL) return -1;
    for (int64_t i = 0; i < g->period; i++) {
        const ad__insn *in = body_insn(w, g, i);
        for (int o = 0; o < in->n + (in->kind != AD__DEFINE); o++)
            if (f[o].kind == AD__TABLE) return f[o].table;
        f += in->n + 1;
    }
    return -1;
}

static void write_operand(ad__text *t, void *context, int i) {
    const place_in_body *c = context;
    ad__writer *w = c->w;
    ad__ref f = operand_ref(w, c->g, c->in, c->ref, i);
    ad_dtype dtype = w->e->forms.at[c->in->form].dtype;
    (void)t; /* the body itself */
    if (f.kind != AD__LOCAL && is_number(w, &f)) {
        ad__text_number(&w->body, dtype, w->e->numbers.at[ad__offset_of(f.first)]);
        return;
    }
    if (dtype_at(w, c->g, &f) != dtype) ad__text_put(&w->body, "(%s)", ad__c_type(dtype));
    if (f.kind == AD__LOCAL) ad__text_put(&w->body, "v%d", f.q);
    else if (f.kind == AD__CARRIED) ad__text_put(&w->body, "c%lld_%d", (long long)c->i, i);
    else write_element(w, &f, first_table(w, c->g), "r");
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static void write_value(ad__writer *w, const ad__segment *g, int64_t i, const ad__ref *refs) {
    const ad__insn *in = body_insn(w, g, i);
    const ad__form *f = &w->e->forms.at[in->form];
    place_in_body c = { w, g, i, in, refs };
    ad__form_write(&w->body, f, false, &w->macros[f->dtype][0], write_operand, &c);
}

static void write_statement(ad__writer *w, const ad__segment *g, int64_t i, const ad__ref *refs, const char *r) {
    const ad__insn *in = body_insn(w, g, i);
    const ad__home *h = &w->s->homes.at[g->homes + i];
    const char *type = ad__c_type(w->e->forms.at[in->form].dtype);
    if (in->kind == AD__DEFINE) ad__text_put(&w->body, "const %s v%lld = (%s)(", type, (long long)i, type);
    else {
        ad__ref out = operand_ref(w, g, in, refs, in->n);
        write_element(w, &out, first_table(w, g), r);
        ad__text_put(&w->body, in->kind == AD__STORE ? " = (%s)(" : " += (%s)(", type);
    }
    write_value(w, g, i, refs);
    ad__text_put(&w->body, ");\n");
    if (h->at < 0) return;
    if (h->last_only) {
        ad__text_put(&w->body, "l%lld = v%lld;\n", (long long)i, (long long)i);
        return;
    }
    ad__ref f = { .kind = AD__AFFINE, .first = h->at, .stride = g->n > 1 };
    write_affine(w, &f, r);
    ad__text_put(&w->body, " = v%lld;\n", (long long)i);
}

/* Calls fn for each operand that is carried from one repetition to the next. */
typedef void carried_fn(ad__writer *w, const ad__segment *g, const ad__ref *f, int64_t i, int o);
static void each_carried(ad__writer *w, const ad__segment *g, carried_fn *fn) {
    const ad__ref *f = body_refs(w, g);
    for (int64_t i = 0; f && i < g->period; i++) {
        const ad__insn *in = body_insn(w, g, i);
        for (int o = 0; o < in->n; o++)
            if (f[o].kind == AD__CARRIED) fn(w, g, &f[o], i, o);
        f += in->n + 1;
    }
}

static void begin_carried(ad__writer *w, const ad__segment *g, const ad__ref *f, int64_t i, int o) {
    ad__ref first = { .kind = AD__AFFINE, .first = f->first };
    ad_dtype t = dtype_at(w, g, f);
    ad__text_put(&w->body, "%s c%lld_%d = ", ad__c_type(t), (long long)i, o);
    if (is_number(w, &first)) ad__text_number(&w->body, t, w->e->numbers.at[ad__offset_of(first.first)]);
    else write_affine(w, &first, "0");
    ad__text_put(&w->body, ";\n");
}

static void carry(ad__writer *w, const ad__segment *g, const ad__ref *f, int64_t i, int o) {
    (void)g;
    ad__text_put(&w->body, "c%lld_%d = v%d;\n", (long long)i, o, f->q);
}

static void write_last(ad__writer *w, const ad__segment *g, bool before) {
    for (int64_t i = 0; i < g->period; i++) {
        const ad__home *h = &w->s->homes.at[g->homes + i];
        if (h->at < 0 || !h->last_only) continue;
        ad__ref f = { .kind = AD__AFFINE, .first = h->at };
        if (before) {
            const char *type = ad__c_type(w->e->forms.at[body_insn(w, g, i)->form].dtype);
            ad__text_put(&w->body, "%s l%lld = 0;\n", type, (long long)i);
            continue;
        }
        write_affine(w, &f, "0");
        ad__text_put(&w->body, " = l%lld;\n", (long long)i);
    }
}

void ad__write_run(ad__writer *w, const ad__segment *g) {
    const ad__ref *refs = body_refs(w, g);
    bool loop = g->n > 1;
    ad__function_begin(w);
    point_to_all(w, g);
    if (w->overflow) {
        ad__function_begin(w);
        w->absolute = true;
        point_to_all(w, g);
    }
    if (loop) {
        each_carried(w, g, begin_carried);
        write_last(w, g, true);
        ad__text_put(&w->body, "for (long r = 0; r < n; r++) {\n");
    }
    for (int64_t i = 0; i < g->period; i++) {
        write_statement(w, g, i, refs, "r");
        if (refs) refs += body_insn(w, g, i)->n + 1;
    }
    if (loop) {
        each_carried(w, g, carry);
        ad__text_put(&w->body, "}\n");
        write_last(w, g, false);
    }
    w->repetitions = g->n;
    ad__function_end(w, loop ? g->n : -1, first_table(w, g));
}
