/* code.c: functions of whole arrays that ops give as text, for what loops cannot express: calls of them, their C. */
#include <string.h>

#include "ops/compile/source.h"

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* An array that a text may name. */
typedef struct {
    const char *name;
    int length;
    ad__place at;
} named;

/* Appends the call of a text that uses some of n arrays and writes `out`. If `adds`, it reads it, too. */
static void add_call(ad_emit *e, const ad__code *like, const char *text, int n, const named *arrays, named out,
                     bool adds) {
    ad__code c = *like;
    c.text = text, c.n = 0;
    ad__nest *nest = ad__nest_add(e, AD__CALL, 0, 0, NULL);
    if (nest == NULL || !AD__RESERVE(e->g, &e->places, n + 1) || !AD__RESERVE(e->g, &e->codes, 1)) {
        e->code = AD_ENOMEM;
        return;
    }
    nest->in[0].at = e->places.n, nest->out.at = out.at;
    for (int i = 0; i < n; i++) {
        if (!ad__text_has(text, arrays[i].name, arrays[i].length)) continue;
        e->places.at[e->places.n++] = arrays[i].at;
        c.name[c.n] = arrays[i].name, c.length[c.n++] = arrays[i].length;
    }
    nest->n = c.n + adds;
    if (adds) e->places.at[e->places.n++] = out.at;
    c.name[c.n] = out.name, c.length[c.n++] = out.length;
    e->codes.at[e->codes.n++] = c;
    nest->code = (int)e->codes.n;
}

/* The operands, and y if it is read. Returns how many there are. */
static int list_arrays(const ad_emit_code *c, ad__place y, named to[]) {
    int n = 0;
    const char *p = c->names ? c->names : "";
    for (int i = 0; i < c->n; i++, n++) {
        to[n].length = ad__next_name(&p, &to[n].name);
        to[n].at = c->in[i].place;
    }
    if (y != AD__NOWHERE) to[n++] = (named){ "y", 1, y };
    return n;
}

void ad__slope_call(ad_emit *e, int code, int k, ad__place g, ad__place d) {
    ad__code c = e->codes.at[code - 1];
    named arrays[AD__ARRAYS_MOST];
    int n = list_arrays(&c.given, c.y.place, arrays);
    arrays[n++] = (named){ "g", 1, g };
    add_call(e, &c, c.given.slope[k], n, arrays, (named){ "d", 1, d }, true);
}

/* The array in memory, in row-major order. */
static ad_emit_array in_memory(ad_emit *e, ad_emit_array x) {
    if (ad__buffer_of(x.place) != AD__INDEX_BUFFER) return ad_emit_contiguous(e, x);
    ad_emit_array y = ad_emit_new(e, x.dtype, x.shape);
    return ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = x.shape, .names = "x", .value = "x", .n = 1,
                                           .in = { x }, .into = &y });
}

ad_emit_array ad_emit_call(ad_emit *e, ad_dtype t, ad_shape s, const ad_emit_code *c) {
    if (e == NULL || c == NULL || c->text == NULL) return (ad_emit_array){ 0 };
    e->opaque = true;
    ad__code code = { .given = *c };
    named arrays[AD__ARRAYS_MOST];
    if (c->n < 0 || c->n > AD__COUNT(c->in) || c->n_sizes < 0 || c->n_sizes > AD__COUNT(c->size)) {
        e->code = ad_fail(e->g, AD_EVALUE, "emit_call: takes up to %d operands and %d sizes", AD__COUNT(c->in),
                          AD__COUNT(c->size));
        return (ad_emit_array){ 0 };
    }
    for (int i = 0; i < c->n; i++) code.given.in[i] = in_memory(e, c->in[i]);
    ad_emit_array y = code.y = c->into ? *c->into : ad_emit_new(e, t, s);
    int n = list_arrays(&code.given, AD__NOWHERE, arrays);
    if (c->scratch > 0) arrays[n++] = (named){ "w", 1, ad_emit_new(e, t, AD_SHAPE(c->scratch)).place };
    if (e->code != AD_OK) return y;
    e->buffers.at[ad__buffer_of(y.place)].is_set = true;
    add_call(e, &code, c->text, n, arrays, (named){ "y", 1, y.place }, c->into != NULL);
    return y;
}

/* ---- C ----------------------------------------------------------------------------------------------------------- */

static bool is_written(const ad__code *c, int i) { return i == c->n - 1 || (c->length[i] == 1 && *c->name[i] == 'w'); }

static ad_dtype dtype_at(const ad__writer *w, ad__place at) { return w->e->buffers.at[ad__buffer_of(at)].dtype; }

static ad__place array_at(const ad__writer *w, const ad__nest *n, const ad__code *c, int i) {
    return i == c->n - 1 ? n->out.at : w->e->places.at[n->in[0].at + i];
}

/* The sizes that the text uses: parameters of the function, or arguments of the call. */
static int write_sizes(const ad__code *c, ad__text *t, bool parameters) {
    const char *p = c->given.sizes ? c->given.sizes : "", *name;
    int written = 0;
    for (int i = 0; i < c->given.n_sizes; i++) {
        int length = ad__next_name(&p, &name);
        if (!ad__text_has(c->text, name, length)) continue;
        ad__text_put(t, written++ ? ", " : "");
        if (parameters) ad__text_put(t, "long %.*s", length, name);
        else ad__text_put(t, "%lld", (long long)c->given.size[i]);
    }
    return written;
}

static void write_function(ad__writer *w, const ad__nest *n, const ad__code *c, ad__text *t) {
    ad_dtype dtype = dtype_at(w, n->out.at);
    ad__form f = { .text = c->text, .length = (int)strlen(c->text), .dtype = dtype };
    ad__text_put(t, "(");
    int sizes = write_sizes(c, t, true);
    for (int i = 0; i < c->n; i++)
        ad__text_put(t, "%s%s%s *%.*s", i + sizes ? ", " : "", is_written(c, i) ? "" : "const ",
                     ad__c_type(dtype_at(w, array_at(w, n, c, i))), c->length[i], c->name[i]);
    ad__text_put(t, ") ");
    ad__form_write(t, &f, false, &w->macros[dtype][0], NULL, NULL);
    ad__text_put(t, "\n");
}

void ad__write_code(ad__writer *w, const ad__nest *n) {
    const ad__code *c = &w->e->codes.at[n->code - 1];
    ad__text text = { .g = w->e->g };
    write_function(w, n, c, &text);
    int number = ad__function_add(w, &text);
    if (number < 0) return;
    ad__text_put(&w->calls, "%sk%d(", w->prefix, number);
    int sizes = write_sizes(c, &w->calls, false);
    for (int i = 0; i < c->n; i++) {
        ad__text_put(&w->calls, i + sizes ? ", " : "");
        w->numbers_used |= ad__buffer_of(array_at(w, n, c, i)) == AD__NUMBER_BUFFER;
        w->address(w, &w->calls, array_at(w, n, c, i));
    }
    ad__text_put(&w->calls, ");\n");
}
