/* source.c: puts a program together as C source.

   Each segment of the schedule becomes a call of a function. Functions with one text are one function. The program is

       int NAME(const void *const *in, const void *const *leaf, void *const *out, unsigned char *work, host *host)

   where in has the arguments, leaf the arrays of the other leaves and then their numbers of f32 and of f64, the
   parameters of ops that are read as an array and the index tables, and out the outputs. Parameters and tables are not
   constants of the source: compilers take long to look up what they read from them. */
#include "ops/compile/source.h"

#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad_scope_array(w->e->g, size)
#define uthash_free(p, size) ((void)(p), (void)(size))
#define uthash_nonfatal_oom(entry) ((entry)->number = -1)
#include <uthash.h>

struct ad__kernel {
    char *text;
    int64_t length;
    double cost; /* of all calls: characters times repetitions */
    int number;
    UT_hash_handle hh;
};

/* ---- pointers ---------------------------------------------------------------------------------------------------- */

void ad__function_begin(ad__writer *w) {
    w->body.n = 0, w->n_pointers = 0, w->repetitions = 1, w->aliased = w->overflow = w->absolute = false;
    ad__text_add(&w->body, "", 0);
}

int ad__pointer_to(ad__writer *w, int buffer, int64_t from, bool written) {
    for (int i = 0; i < w->n_pointers; i++) {
        ad__pointer *p = &w->pointer[i];
        if (p->buffer != buffer) continue;
        p->least = from < p->least ? from : p->least;
        p->written |= written;
        return i;
    }
    if (w->n_pointers == AD__POINTERS) return w->overflow = true, 0;
    ad_dtype t = buffer < 0 ? (ad_dtype)(-1 - buffer) : w->e->buffers.at[buffer].dtype;
    w->pointer[w->n_pointers] = (ad__pointer){ .buffer = buffer, .dtype = t, .least = from, .written = written };
    return w->n_pointers++;
}

static void write_address(const ad__writer *w, ad__text *t, ad__place at) {
    const ad_emit *e = w->e;
    const ad__buffer *b = &e->buffers.at[ad__buffer_of(at)];
    long long offset = (long long)ad__offset_of(at);
    const char *type = ad__c_type(b->dtype);
    switch (b->kind) {
    case AD__ARGUMENT: ad__text_put(t, "(const %s *)in[%lld] + %lld", type, (long long)b->index, offset); break;
    case AD__OUTPUT: ad__text_put(t, "(%s *)out[%lld] + %lld", type, (long long)b->index, offset); break;
    case AD__LEAF: ad__text_put(t, "(const %s *)leaf[%lld] + %lld", type, (long long)b->index, offset); break;
    case AD__SCALARS:
        ad__text_put(t, "(const %s *)leaf[%lld] + %lld", type, (long long)(e->leaves.n + b->index), offset);
        break;
    case AD__NUMBERS: ad__text_put(t, "(const double *)leaf[%lld] + %lld", (long long)e->leaves.n + 2, offset); break;
    default: ad__text_put(t, "(%s *)(work + %lld) + %lld", type, (long long)b->index, offset);
    }
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

static void write_parameters(ad__writer *w, ad__text *t, bool n, bool table) {
    const char *comma = "";
    ad__text_put(t, "(");
    if (n) ad__text_put(t, "long n"), comma = ", ";
    for (int i = 0; i < w->n_pointers; i++, comma = ", ") {
        const ad__pointer *p = &w->pointer[i];
        ad__text_put(t, "%s%s%s *%sp%d", comma, p->written || w->aliased ? "" : "const ", ad__c_type(p->dtype),
                     w->aliased ? "" : "restrict ", i);
    }
    if (table) ad__text_put(t, "%sconst int *restrict t", comma);
    ad__text_put(t, ") {\n");
}

/* The function with this text, which is added if it is new. NULL if memory is short. */
static ad__kernel *function_of(ad__writer *w, ad__text *text) {
    ad__kernel *k;
    HASH_FIND_STR(w->table, text->at, k);
    if (k) return k;
    k = ad_scope_zalloc(w->e->g, sizeof *k);
    if (k == NULL) return NULL;
    k->text = text->at, k->length = text->n, k->number = w->n_kernels++;
    HASH_ADD_KEYPTR(hh, w->table, k->text, (unsigned)text->n, k);
    return k->number < 0 ? NULL : k;
}

enum { MUCH_CODE = 32768, SHORT = 1024, RARE = 400 };

/* Whether a long function takes so little of the run time that it is not worth a compiler's time. */
static bool is_cold(const ad__kernel *k, int64_t length, double cost) {
    return length > MUCH_CODE && k->length > SHORT && k->cost * RARE < cost;
}

void ad__write_functions(const ad__writer *w, ad__text *t) {
    int64_t length = 0;
    double cost = 0;
    for (const ad__kernel *k = w->table; k; k = k->hh.next) length += k->length, cost += k->cost;
    for (const ad__kernel *k = w->table; k; k = k->hh.next) {
        const char *kind = w->portable ? "" : is_cold(k, length, cost) ? "COLD " : "KERNEL ";
        ad__text_put(t, "\nstatic %svoid %sk%d", kind, w->prefix, k->number);
        ad__text_add(t, k->text, k->length);
    }
}

static void write_arguments(ad__writer *w, int64_t n, int64_t table) {
    ad__text *t = &w->calls;
    const char *comma = "";
    if (n >= 0) ad__text_put(t, "%lld", (long long)n), comma = ", ";
    for (int i = 0; i < w->n_pointers; i++, comma = ", ") {
        const ad__pointer *p = &w->pointer[i];
        ad__text_put(t, "%s", comma);
        w->numbers_used |= p->buffer == AD__NUMBER_BUFFER;
        if (w->aliased && !p->written) ad__text_put(t, "(%s *)(", ad__c_type(p->dtype));
        if (p->buffer < 0 && w->portable) ad__text_put(t, "work + %lld", (long long)p->least);
        else if (p->buffer < 0) ad__text_put(t, "(%s *)work + %lld", ad__c_type(p->dtype), (long long)p->least);
        else w->address(w, t, ad__place_of(p->buffer, p->least));
        if (w->aliased && !p->written) ad__text_put(t, ")");
    }
    if (table < 0) return;
    if (w->portable) ad__text_put(t, "%s%stables%d + %lld", comma, w->prefix, w->part, (long long)table);
    else ad__text_put(t, "%s(const int *)leaf[%lld] + %lld", comma, (long long)w->e->leaves.n + 3, (long long)table);
}

int ad__function_end(ad__writer *w, int64_t n, int64_t table) {
    ad__text text = { .g = w->e->g };
    if (w->overflow) ad_fail(w->e->g, AD_EVALUE, "compile: a function reads more than %d arrays", AD__POINTERS);
    write_parameters(w, &text, n >= 0, table >= 0);
    ad__text_add(&text, w->body.at, w->body.n);
    ad__text_put(&text, "}\n");
    if (!ad_ok(w->e->g)) {
        w->e->code = ad_error_code(w->e->g);
        return -1;
    }
    ad__kernel *k = function_of(w, &text);
    if (k == NULL) return w->e->code = AD_ENOMEM, -1;
    k->cost += (double)k->length * (double)w->repetitions;
    ad__text_put(&w->calls, "%sk%d(", w->prefix, k->number);
    write_arguments(w, n, table);
    ad__text_put(&w->calls, ");\n");
    return k->number;
}

int ad__function_add(ad__writer *w, ad__text *text) {
    ad__kernel *k = ad_ok(w->e->g) ? function_of(w, text) : NULL;
    if (k == NULL) return w->e->code = AD_ENOMEM, -1;
    k->cost += (double)k->length;
    return k->number;
}

enum { FEW_CALLS = 8192 }; /* characters: about 64 calls */

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* libmvec's functions by other names, so that instructions keep the scalar ones and their bits. */
static const char vector_names[] =
    "#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)\n"
    "#if __GLIBC_PREREQ(2, 35)\n#define VECTOR 1\n#endif\n#endif\n"
    "#ifdef VECTOR\n"
    "#define SIMD __attribute__((simd(\"notinbranch\"), const))\n"
    "#define ONE(name) SIMD double v_##name(double) __asm__(#name); "
    "SIMD float v_##name##f(float) __asm__(#name \"f\");\n"
    "#define TWO(name) SIMD double v_##name(double, double) __asm__(#name); "
    "SIMD float v_##name##f(float, float) __asm__(#name \"f\");\n"
    "#else\n"
    "#define ONE(name) static inline double v_##name(double x) { return name(x); } "
    "static inline float v_##name##f(float x) { return name##f(x); }\n"
    "#define TWO(name) static inline double v_##name(double x, double y) { return name(x, y); } "
    "static inline float v_##name##f(float x, float y) { return name##f(x, y); }\n"
    "#endif\n"
    "ONE(exp) ONE(exp2) ONE(expm1) ONE(log) ONE(log2) ONE(log10) ONE(log1p) ONE(sin) ONE(cos) ONE(tan) ONE(asin)\n"
    "ONE(acos) ONE(atan) ONE(sinh) ONE(cosh) ONE(tanh) ONE(asinh) ONE(acosh) ONE(atanh) ONE(erf) ONE(erfc) ONE(cbrt)\n"
    "TWO(pow) TWO(atan2) TWO(hypot)\n"
    "static inline double v_fmod(double x, double y) { return fmod(x, y); }\n"
    "static inline float v_fmodf(float x, float y) { return fmodf(x, y); }\n";

static void write_numbers(const ad__writer *w, ad__text *t) {
    const ad_emit *e = w->e;
    ad_dtype dtype = e->buffers.at[AD__NUMBER_BUFFER].dtype;
    ad__text_put(t, "static const %s %snumbers%d[] = {", ad__c_type(dtype), w->prefix, w->part);
    for (int64_t i = 0; i < e->numbers.n; i++) {
        ad__text_put(t, i == 0 ? "\n" : i % 8 ? ", " : ",\n");
        ad__text_number(t, dtype, e->numbers.at[i]);
    }
    ad__text_put(t, "\n};\n");
}

static void write_tables(const ad__writer *w, ad__text *t) {
    ad__text_put(t, "static const int %stables%d[] = {", w->prefix, w->part);
    for (int64_t i = 0; i < w->s->tables.n; i++)
        ad__text_put(t, i == 0 ? "\n%d" : i % 16 ? ", %d" : ",\n%d", w->s->tables.at[i]);
    ad__text_put(t, "\n};\n");
}

void ad__write_constants(const ad__writer *w, ad__text *t) {
    if (w->numbers_used) write_numbers(w, t);
    if (w->s->tables.n) write_tables(w, t);
}

/* clang 14 unrolls short loops within a loop, and then vectorises this one wrongly: see "Compiled programs" in
   docs/design.md. */
void ad__write_macros(const ad__writer *w, ad__text *t) {
    if (w->has_outer)
        ad__text_put(t, "#ifdef __clang__\n#define OUTER _Pragma(\"clang loop vectorize(disable)\")\n#else\n"
                        "#define OUTER\n#endif\n");
    ad__functions_write(t, w->macros[0][0] | w->macros[0][1] | w->macros[1][0] | w->macros[1][1]);
    for (int dtype = 0; dtype < 2; dtype++)
        for (int vector = 0; vector < 2; vector++) ad__macros_write(t, w->macros[dtype][vector], dtype, vector);
}

ad__writer *ad__writer_new(ad_graph *g, const char *prefix, ad__address_fn *address, const void *context) {
    ad__writer *w = ad_scope_zalloc(g, sizeof *w);
    if (w == NULL) return NULL;
    w->prefix = prefix, w->address = address, w->context = context;
    w->calls.g = w->body.g = g;
    return w;
}

int ad__write_program(ad__writer *w, ad_emit *e, ad__schedule *s) {
    w->e = e, w->s = s, w->numbers_used = false, w->starts.n = 0;
    for (int64_t k = 0, n; k < s->steps.n && e->code == AD_OK; k += n) {
        const ad__step *step = &s->steps.at[k];
        for (n = 1; k + n < s->steps.n && (step[n].joined || step[n].after);) n++;
        if (!AD__PUSH(e->g, &w->starts, w->calls.n)) return e->code = AD_ENOMEM;
        if (step->segment >= 0) ad__write_run(w, &s->segments.at[step->segment]);
        else ad__write_nests(w, step, (int)n);
    }
    if (e->code == AD_OK) e->code = ad__roll_calls(w);
    return e->code != AD_OK ? e->code : ad_error_code(e->g);
}

/* Most vectors of a stencil's neighbours cross the cache's lines if they are as long as a line. With half of that a
   step of a heat equation takes 6 % less. Slow functions gain more from long vectors. */
static void write_width(const ad__writer *w, ad__text *t) {
    if (w->has_stencil && !w->has_slow)
        ad__text_put(t, "#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)\n"
                        "#pragma GCC target(\"prefer-vector-width=256\")\n#endif\n");
}

int ad__source_write(ad_emit *e, ad__schedule *s, const char *name, ad__text *to) {
    ad__writer *w = ad__writer_new(e->g, "", write_address, NULL);
    if (w == NULL || ad__write_program(w, e, s)) return w ? e->code : AD_ENOMEM;
    write_width(w, to);
    ad__text_put(to, "#include <float.h>\n#include <math.h>\n"
                     "typedef struct host host;\nstruct host {\nint (*call)(host *h, long op, void **at);\n"
                     "void (*gemm[2])(int ta, int tb, long n, long m, long k, const void *a, const void *b, int adds, "
                     "void *c);\n};\n");
    ad__text_add(to, vector_names, (int64_t)strlen(vector_names));
    bool many = w->calls.n > FEW_CALLS; /* a compiler would take long to inline them */
    ad__text_put(to, many ? "#ifdef __GNUC__\n#define KERNEL __attribute__((noinline))\n#else\n#define KERNEL\n#endif\n"
                          : "#define KERNEL\n");
    ad__text_put(to, "#if defined(__GNUC__) && !defined(__clang__)\n"
                     "#define COLD __attribute__((noinline, optimize(0)))\n#else\n#define COLD\n#endif\n");
    ad__write_macros(w, to);
    ad__write_functions(w, to);
    /* The calls are not worth a compiler's time. */
    ad__text_put(to, "\n%sint %s(const void *const *in, const void *const *leaf, void *const *out, "
                     "unsigned char *work, host *host) {\nint code = 0;\n"
                     "(void)in, (void)leaf, (void)out, (void)work, (void)host;\n", many ? "COLD " : "", name);
    ad__text_add(to, w->calls.at, w->calls.n);
    ad__text_put(to, "return code;\n}\n");
    return ad_error_code(e->g);
}
