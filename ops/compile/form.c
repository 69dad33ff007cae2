/* form.c: formulas of ops: finding the names in them, and writing them as C. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ops/compile/text.h"

/* ---- words ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *at;
    int length;
    bool is_name, is_call; /* an identifier; one that ( follows */
} word;

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(const word *w, const char *s) {
    return (int)strlen(s) == w->length && memcmp(w->at, s, (size_t)w->length) == 0;
}

static const char *number_end(const char *p, const char *end) {
    for (; p < end; p++) {
        bool sign = (*p == '+' || *p == '-') && (p[-1] == 'e' || p[-1] == 'E');
        if (!is_letter(*p) && !is_digit(*p) && *p != '.' && !sign) break;
    }
    return p;
}

/* The word at p: an identifier, a number or one other character. */
static word word_at(const char *p, const char *end) {
    word w = { .at = p, .length = 1 };
    if (is_letter(*p)) {
        const char *q = p;
        while (q < end && (is_letter(*q) || is_digit(*q))) q++;
        w.length = (int)(q - p), w.is_name = true;
        while (q < end && *q == ' ') q++;
        w.is_call = q < end && *q == '(';
    } else if (is_digit(*p)) w.length = (int)(number_end(p, end) - p);
    return w;
}

/* Words that are not names of operands or parameters. */
static bool is_reserved(const word *w) {
    static const char *const words[] = { "T", "INFINITY", "NAN", "sizeof", "float", "double", "FLT_MAX", "DBL_MAX" };
    for (int i = 0; i < AD__COUNT(words); i++)
        if (is_word(w, words[i])) return true;
    return w->is_call;
}

/* The number of an entry, or of a name, among the macros; -1 if there is none. */
static int macro_index(const word *w) {
    for (int i = 0; i < ad__n_macros; i++)
        if (is_word(w, ad__macro_list[i].name)) return i;
    return -1;
}

/* Words of the language that ( follows. */
static bool is_statement(const word *w) {
    static const char *const words[] = { "for", "while", "if", "return" };
    for (int i = 0; i < AD__COUNT(words); i++)
        if (is_word(w, words[i])) return true;
    return false;
}

static bool is_function(const word *w) {
    static const char *const functions[] = {
        "exp",  "exp2", "expm1", "log",   "log2",  "log10", "log1p", "sin",   "cos",      "tan",      "asin",
        "acos", "atan", "sinh",  "cosh",  "tanh",  "asinh", "acosh", "atanh", "erf",      "erfc",     "cbrt",
        "pow",  "fmod", "atan2", "hypot", "floor", "ceil",  "trunc", "rint",  "copysign", "isfinite", "sqrt",
        "fabs", "sizeof",
    };
    for (int i = 0; i < AD__COUNT(functions); i++)
        if (is_word(w, functions[i])) return true;
    return macro_index(w) >= 0;
}

bool ad__text_is_c(const char *text) {
    const char *end = text ? text + strlen(text) : NULL;
    for (const char *p = text; p < end;) {
        word w = word_at(p, end);
        p += w.length;
        if (w.is_call && !is_function(&w)) return false;
    }
    return true;
}

bool ad__text_has(const char *text, const char *name, int length) {
    for (const char *p = text, *end = text + strlen(text); p < end;) {
        word w = word_at(p, end);
        if (w.is_name && w.length == length && memcmp(p, name, (size_t)length) == 0) return true;
        p += w.length;
    }
    return false;
}

int ad__next_name(const char **p, const char **name) {
    while (**p == ' ') ++*p;
    *name = *p;
    while (**p != ' ' && **p != '\0') ++*p;
    return (int)(*p - *name);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static int name_index(const ad__form *f, const word *w) {
    for (int i = 0; i < f->n; i++)
        if (f->name[i].length == w->length && memcmp(f->name[i].at, w->at, (size_t)w->length) == 0) return i;
    return -1;
}

static void add_name(ad__form *f, const word *w) {
    if (name_index(f, w) >= 0 || f->n == AD__NAMES) return;
    f->name[f->n].at = w->at;
    f->name[f->n++].length = w->length;
}

/* Functions that take many times as long as an addition. */
static bool is_slow(const word *w) {
    static const char *const fast[] = { "fabs", "sqrt", "rint", "floor", "ceil", "trunc", "copysign", "isfinite",
                                        "larger", "sizeof" };
    for (int i = 0; i < AD__COUNT(fast); i++)
        if (is_word(w, fast[i])) return false;
    return w->is_call;
}

static void read_text(ad__form *f, bool take_names) {
    const char *end = f->text + f->length;
    for (const char *p = f->text; p < end;) {
        word w = word_at(p, end);
        p += w.length;
        if (!w.is_name) continue;
        f->calls += is_slow(&w);
        if (take_names && !is_reserved(&w)) add_name(f, &w);
        int name = w.is_call ? -1 : name_index(f, &w);
        if (name >= 0) f->used |= 1u << name;
    }
}

int ad__form_find(const ad_emit *e, const void *key, int part, ad_dtype t) {
    for (int64_t i = e->forms.n; i-- > 0;) {
        const ad__form *f = &e->forms.at[i];
        if (f->key == key && f->part == part && f->dtype == t) return (int)i;
    }
    return -1;
}

static int keep(ad_emit *e, const ad__form *f) {
    if (!AD__PUSH(e->g, &e->forms, *f)) return e->code = AD_ENOMEM, 0;
    return (int)e->forms.n - 1;
}

int ad__form_make(ad_emit *e, const void *key, int part, ad_dtype t, const char *text, int length, const char *names) {
    int known = ad__form_find(e, key, part, t);
    if (known >= 0) return known;
    ad__form f = { .text = text, .length = length, .dtype = t, .key = key, .part = part };
    for (int i = 0; i < AD__COUNT(f.slope); i++) f.slope[i] = AD__ZERO_SLOPE;
    for (const char *p = names, *end = names + strlen(names); p < end;) {
        word w = word_at(p, end);
        p += w.length;
        if (w.is_name) add_name(&f, &w);
    }
    read_text(&f, false);
    return keep(e, &f);
}

int ad__form_of_text(ad_emit *e, const void *key, int part, ad_dtype t, const char *text, int length) {
    int known = ad__form_find(e, key, part, t);
    if (known >= 0) return known;
    ad__form f = { .text = text, .length = length, .dtype = t, .key = key, .part = part };
    read_text(&f, true);
    return keep(e, &f);
}

/* ---- one formula in another -------------------------------------------------------------------------------------- */

enum { LONGEST = 500 }; /* characters of a formula that others are put into */

/* Writes a formula with its operands named z0, z1, .. from `first` on. In place of operand `inner`, unless it is -1,
   the text `value` stands, whose operands are numbered in its place. */
static void write_renamed(ad__text *t, const ad__form *f, int first, int inner, const ad__text *value, int n_inner) {
    for (const char *p = f->text, *end = p + f->length; p < end;) {
        word w = word_at(p, end);
        p += w.length;
        int name = w.is_name && !w.is_call ? name_index(f, &w) : -1;
        if (name < 0) ad__text_add(t, w.at, w.length);
        else if (name == inner) {
            ad__text_put(t, "((T)(");
            ad__text_add(t, value->at, value->n);
            ad__text_put(t, "))");
        } else ad__text_put(t, "z%d", first + name + (inner >= 0 && name > inner ? n_inner - 1 : 0));
    }
}

int ad__form_compose(ad_emit *e, int outer, int i, int inner) {
    static const char names[] = "z0 z1 z2 z3 z4 z5 z6 z7";
    ad__form a = e->forms.at[outer], b = e->forms.at[inner];
    ad__text value = { .g = e->g }, whole = { .g = e->g };
    int n = a.n - 1 + b.n;
    if (a.dtype != b.dtype || n > AD__NAMES) return -1;
    write_renamed(&value, &b, i, -1, NULL, 0);
    if (value.at == NULL) return e->code = AD_ENOMEM, -1;
    write_renamed(&whole, &a, 0, i, &value, b.n);
    if (whole.at == NULL || whole.n > LONGEST) return -1;
    char *kept = ad_scope_alloc(e->g, sizeof names);
    if (kept == NULL) return e->code = AD_ENOMEM, -1;
    memcpy(kept, names, sizeof names), kept[n ? 3 * n - 1 : 0] = '\0';
    int form = ad__form_make(e, whole.at, 0, a.dtype, whole.at, (int)whole.n, kept);
    return e->code == AD_OK ? form : -1;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

void ad__text_add(ad__text *t, const char *s, int64_t n) {
    struct {
        char *at;
        int64_t n, capacity;
    } v = { t->at, t->n, t->capacity };
    if (!AD__RESERVE(t->g, &v, n + 1)) return;
    if (n > 0) memcpy(v.at + v.n, s, (size_t)n); /* an empty text may be NULL */
    v.at[v.n + n] = '\0';
    t->at = v.at, t->n = v.n + n, t->capacity = v.capacity;
}

void ad__text_put(ad__text *t, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert(n < (int)sizeof line);
    ad__text_add(t, line, n);
}

/* Hexadecimal digits do not depend on a locale's decimal point, except for the point itself. INFINITY and NAN are no
   constants for every compiler. */
void ad__text_number(ad__text *t, ad_dtype dtype, double x) {
    char s[64];
    if (isnan(x)) ad__text_put(t, "(%s)(0.0 / 0.0)", ad__c_type(dtype));
    else if (isinf(x)) ad__text_put(t, "(%s)(%s1.0 / 0.0)", ad__c_type(dtype), x < 0 ? "-" : "");
    else {
        double value = dtype == AD_F32 ? (double)(float)x : x;
        if (fabs(value) < 1e9 && value == rint(value) && !(value == 0 && signbit(value)))
            snprintf(s, sizeof s, "%.0f.0%s", value, dtype == AD_F32 ? "f" : "");
        else snprintf(s, sizeof s, "%a%s", value, dtype == AD_F32 ? "f" : "");
        for (char *p = s; *p; p++)
            if (*p == ',') *p = '.';
        ad__text_put(t, value < 0 || signbit(value) ? "(%s)" : "%s", s);
    }
}

/* True if an argument of the call at p is a whole number: then tgmath.h calls the function of doubles. */
static bool has_whole_argument(const char *p, const char *end) {
    int depth = 0;
    bool only_digits = true, any = false;
    for (; p < end; p++) {
        if (*p == '(' && depth++ == 0) continue;
        if ((*p == ',' && depth == 1) || (*p == ')' && --depth == 0)) {
            if (any && only_digits) return true;
            only_digits = true, any = false;
            if (depth == 0) return false;
            continue;
        }
        if (*p == ' ') continue;
        any = true, only_digits = only_digits && is_digit(*p);
    }
    return false;
}

static void write_call(ad__text *t, const word *w, const char *end, ad_dtype dtype, bool vector, uint64_t *macros) {
    int macro = macro_index(w);
    if (macro >= 0 && ad__macro_list[macro].is_function) {
        const char *needs = ad__macro_list[macro].needs;
        word needed = { .at = needs, .length = needs ? (int)strlen(needs) : 0 };
        *macros |= (uint64_t)1 << macro;
        if (needs) *macros |= (uint64_t)1 << macro_index(&needed);
        ad__text_put(t, "%.*s", w->length, w->at);
        return;
    }
    if (macro >= 0) {
        *macros |= (uint64_t)1 << macro;
        ad__text_put(t, "%.*s_%s%s", w->length, w->at, ad__c_suffix(dtype), vector ? "_v" : "");
        return;
    }
    bool single = dtype == AD_F32 && !has_whole_argument(w->at + w->length, end);
    bool plain = is_word(w, "isfinite") || is_word(w, "sizeof");
    ad__text_put(t, "%s%.*s%s", vector && is_slow(w) ? "v_" : "", w->length, w->at, single && !plain ? "f" : "");
}

void ad__form_write(ad__text *t, const ad__form *f, bool vector, uint64_t *macros, ad__name_writer *write,
                    void *context) {
    const char *end = f->text + f->length;
    for (const char *p = f->text; p < end;) {
        word w = word_at(p, end);
        p += w.length;
        int name = w.is_name && !w.is_call ? name_index(f, &w) : -1;
        if (name >= 0) write(t, context, name);
        else if (w.is_call && !is_statement(&w)) write_call(t, &w, end, f->dtype, vector, macros);
        else if (is_word(&w, "T")) ad__text_put(t, "%s", ad__c_type(f->dtype));
        else ad__text_add(t, w.at, w.length);
    }
}

static void write_parameter(ad__text *t, void *context, int i) {
    const ad__form *f = context;
    ad__text_add(t, f->name[i].at, f->name[i].length);
}

static void write_macro(ad__text *t, const ad__macro *m, ad_dtype dtype, bool vector) {
    ad__form f = { .text = m->parameters, .length = (int)strlen(m->parameters), .dtype = dtype };
    uint64_t none = 0;
    read_text(&f, true);
    f.text = m->body, f.length = (int)strlen(m->body);
    ad__text_put(t, "static inline %s %s_%s%s(", ad__c_type(dtype), m->name, ad__c_suffix(dtype), vector ? "_v" : "");
    for (int i = 0; i < f.n; i++)
        ad__text_put(t, "%s%s %.*s", i ? ", " : "", ad__c_type(dtype), f.name[i].length, f.name[i].at);
    ad__text_put(t, ") {\n    return (%s)(", ad__c_type(dtype));
    ad__form_write(t, &f, vector, &none, write_parameter, &f);
    ad__text_put(t, ");\n}\n");
}

static void write_function(ad__text *t, const ad__macro *m) {
    ad__form f = { .text = m->body, .length = (int)strlen(m->body), .dtype = AD_F64 };
    uint64_t none = 0;
    ad__text_put(t, "static double %s(%s) ", m->name, m->parameters);
    ad__form_write(t, &f, false, &none, write_parameter, &f);
    ad__text_put(t, "\n");
}

void ad__functions_write(ad__text *t, uint64_t macros) {
    for (int i = 0; i < ad__n_macros; i++)
        if (macros >> i & 1 && ad__macro_list[i].is_function) write_function(t, &ad__macro_list[i]);
}

void ad__macros_write(ad__text *t, uint64_t macros, ad_dtype dtype, bool vector) {
    for (int i = 0; i < ad__n_macros; i++)
        if (macros >> i & 1 && !ad__macro_list[i].is_function) write_macro(t, &ad__macro_list[i], dtype, vector);
}
