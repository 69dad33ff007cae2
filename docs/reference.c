/* reference.c: prints docs/ops.md, the reference of all ops, from ops.def and the ops' descriptors.

   usage: reference ops/ops.def

   ops.def holds three kinds of entries, each at the start of a line:
     - A heading of a family is a comment, which may span lines: "Title: sources. Note." Sources are paths; one
       without a folder is of the folder before it. The note may be missing.
     - AD_OP(name, (parameters)) is an op.
     - AD_FN(name, (parameters)) is a function that calls the op above it. A comment after it is shown beside its
       prototype.
   The comment at the head of ops.def is not shown. The exit status is 2 where this build lacks
   a library that an op needs. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/op.h"
#include "ops/ops.h"

enum { MAX_FILE = 1 << 20, MAX_ENTRIES = 2000, MAX_OPERANDS = 8 };
/* Of the tables of special points: rows, elements of an array in a cell, characters of a cell and of a row. */
enum { MAX_ROWS = 16, MAX_ELEMENTS = 12, CELL = 400, ROW = 1200 };

/* ---- ops.def ----------------------------------------------------------------------------------------- */

typedef enum { FAMILY, OP, FN } entry_kind;
typedef struct {
    entry_kind kind;
    const char *text;    /* a family's title, or the name of an op or function */
    const char *details; /* a family's sources, or parameters with their parentheses */
    const char *note;    /* a sentence on the family, or the comment after the prototype; "" where there is none */
} entry;

/* The text of the file, for the caller to free; NULL where it cannot be read or is too large. */
static char *whole_file(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, MAX_FILE) : NULL;
    size_t n = text ? fread(text, 1, MAX_FILE, f) : 0;
    if (f != NULL) fclose(f);
    if (n > 0 && n < MAX_FILE) return text;
    free(text);
    return NULL;
}

/* Replaces each run of white space by one blank, and removes it at both ends. */
static void join_lines(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        bool space = isspace((unsigned char)*from);
        if (space && (to == text || to[-1] == ' ')) continue;
        *to++ = space ? ' ' : *from;
    }
    if (to > text && to[-1] == ' ') to--;
    *to = '\0';
}

/* Ends text before the first separator and returns what follows it; NULL where there is none. */
static char *cut_at(char *text, const char *separator) {
    char *at = strstr(text, separator);
    if (at == NULL) return NULL;
    *at = '\0';
    return at + strlen(separator);
}

/* The read_ functions fill in the entry that begins at `at`. They return where its text ends, or NULL where it is
   malformed. */

/* A family's comment: "Reductions: ops/reduce/reduce.c, norm.c. A note." */
static char *read_family(char *at, entry *to) {
    char *title = at + strlen("/*"), *end = cut_at(title, "*/");
    if (end == NULL) return NULL;
    join_lines(title);
    char *sources = cut_at(title, ": "), *note = sources ? cut_at(sources, ". ") : NULL;
    if (sources == NULL || strchr(sources, '/') == NULL) return NULL;
    *to = (entry){ FAMILY, title, sources, note ? note : "" };
    return end;
}

/* "AD_OP(exp, (ad_var *x))" and what follows on the line */
static char *read_op(char *at, entry *to) {
    entry_kind kind = strncmp(at, "AD_OP(", 6) == 0 ? OP : FN;
    char *name = at + strlen("AD_OP("), *parameters = cut_at(name, ", ");
    char *close = parameters ? strstr(parameters, "))") : NULL;
    if (close == NULL || close > parameters + strcspn(parameters, "\n")) return NULL;
    char *note = close + strlen("))"), *end = note + strcspn(note, "\n");
    close[1] = '\0';
    if (*end != '\0') *end++ = '\0';
    *to = (entry){ kind, name, parameters, note };
    return end;
}

static char *read_entry(char *at, entry *to) {
    if (strncmp(at, "/*", 2) == 0) return read_family(at, to);
    if (strncmp(at, "AD_OP(", 6) == 0 || strncmp(at, "AD_FN(", 6) == 0) return read_op(at, to);
    return NULL;
}

/* Reads the entries behind the file's first comment. Returns how many, or the code of the graph's error. */
static int read_entries(ad_graph *g, char *text, entry *entries) {
    int n = 0;
    char *at = cut_at(text, "*/");
    while (at != NULL && *(at += strspn(at, " \n")) != '\0') {
        int line = (int)strcspn(at, "\n");
        char *end = n < MAX_ENTRIES ? read_entry(at, &entries[n]) : NULL;
        if (end == NULL) return ad_fail(g, AD_EVALUE, "ops.def: this is no entry, or one too many: %.*s", line, at);
        if (entries[n].kind == FN && (n == 0 || entries[n - 1].kind == FAMILY))
            return ad_fail(g, AD_EVALUE, "ops.def: %s must stand below the op that it calls", entries[n].text);
        at = end;
        n++;
    }
    return n;
}

/* ---- words --------------------------------------------------------------------------------------------- */

/* Text, with Markdown's special characters escaped and a full stop at the end. */
static void put_text(const char *text) {
    char last = '.';
    for (; *text != '\0'; last = *text++) {
        if (*text == '*' || *text == '<') putchar('\\');
        putchar(*text);
    }
    if (last != '.') putchar('.');
}

/* Text with a capital and a full stop. A first word that is a formula or a single letter stays as it is. */
static void put_sentence(const char *text) {
    size_t word = 0;
    while (isalpha((unsigned char)text[word])) word++;
    bool capital = word > 1 && (text[word] == '\0' || strchr(" ,;.", text[word]) != NULL);
    if (capital) putchar(toupper((unsigned char)*text++));
    put_text(text);
}

/* The first n characters of a formula as code, without casts and private prefixes. */
static void put_formula(const char *text, size_t n) {
    static const char *const drop[] = { "(T)", "(float)", "(double)", "(int)", "ad__" };
    putchar('`');
    for (const char *end = text + n; text < end;) {
        size_t dropped = 0;
        for (size_t i = 0; i < sizeof drop / sizeof *drop && dropped == 0; i++)
            if (strncmp(text, drop[i], strlen(drop[i])) == 0) dropped = strlen(drop[i]);
        if (dropped == 0) putchar(*text++);
        text += dropped;
    }
    putchar('`');
}

/* The anchor that Markdown gives a heading. */
static void put_anchor(const char *heading) {
    for (; *heading != '\0'; heading++) {
        char c = *heading == ' ' ? '-' : (char)tolower((unsigned char)*heading);
        if (isalnum((unsigned char)c) || c == '_' || c == '-') putchar(c);
    }
}

/* Writes the name of the i-th parameter "ad_var *NAME". For an operand that is passed in an array or a struct it writes
   "x" and i, and returns false. */
static bool operand_name(const char *parameters, int i, char *to, size_t size) {
    const char *at = parameters;
    for (int seen = 0; (at = strstr(at, "ad_var *")) != NULL; seen++) {
        at += strlen("ad_var *");
        if (seen != i || strncmp(at, "const ", 6) == 0) continue;
        snprintf(to, size, "%.*s", (int)strcspn(at, ",)["), at);
        return true;
    }
    snprintf(to, size, "x%d", i);
    return false;
}

static const char *kind_text(const ad_optype *t, const ad_attr *a) {
    for (const ad_attr_values *v = t->values; v != NULL && v->attr != NULL; v++)
        if (strcmp(v->attr, a->name) == 0) return v->values;
    switch (a->kind) {
    case AD_ATTR_INT:
    case AD_ATTR_INT64: return "whole number";
    case AD_ATTR_BOOL: return "true or false";
    case AD_ATTR_DOUBLE: return "number";
    case AD_ATTR_SHAPE: return "list of whole numbers";
    case AD_ATTR_AXES: return "list of axes, or all";
    }
    return "";
}

/* ---- numbers -------------------------------------------------------------------------------------------- */

static int number_text(double v, char *to, size_t size) {
    if (isnan(v)) return snprintf(to, size, "NaN");
    return snprintf(to, size, "%.7g", v);
}

/* How many brackets open before element k of shape s, and close after element k - 1. */
static int brackets(ad_shape s, int64_t k) {
    int n = 0;
    int64_t block = 1;
    for (int a = s.ndim - 1; a >= 0; a--, n++)
        if (k % (block *= s.dim[a]) != 0) break;
    return n;
}

typedef double element_at(const void *from, int64_t k);
static double given_at(const void *from, int64_t k) { return ((const double *)from)[k]; }
static double value_at(const void *from, int64_t k) { return ad_at(from, k) + 0.0; } /* -0 as 0 */
static double slope_at(const void *from, int64_t k) { return ad_grad_at(from, k) + 0.0; }

/* Numbers below this are printed as 0: beside the largest element they are rounding errors, which differ between
   compilers. The given elements are exact. */
static double rounding_of(int64_t n, element_at *at, const void *from) {
    double largest = 0;
    for (int64_t k = 0; k < n; k++)
        if (isfinite(at(from, k))) largest = fmax(largest, fabs(at(from, k)));
    return at == given_at ? 0 : 1e-14 * largest;
}

/* Writes "3", "[1, 2]", "[[1, 2], [3, 4]]", or "empty [0,3]". MAX_ELEMENTS elements fit into a CELL. */
static void array_text(ad_shape s, element_at *at, const void *from, char *to, size_t size) {
    int64_t n = ad_shape_numel(s);
    double rounding = rounding_of(n, at, from);
    size_t used = 0;
    if (n == 0) snprintf(to, size, "empty %s", ad_shape_str(s).text);
    for (int64_t k = 0; k < n; k++) {
        used += (size_t)snprintf(to + used, size - used, "%s%.*s", k ? ", " : "", brackets(s, k), "[[[[[[");
        double v = at(from, k);
        used += (size_t)number_text(fabs(v) < rounding ? 0 : v, to + used, size - used);
        used += (size_t)snprintf(to + used, size - used, "%.*s", brackets(s, k + 1), "]]]]]]");
    }
}

/* ---- the table of special points: rows of attributes, operands, result, gradients ------------------------- */

typedef struct {
    ad_graph *g;
    const ad_optype *type;
    const char *parameters;
    int n_operands; /* of all its cases */
    double seen[MAX_OPERANDS][MAX_ROWS]; /* the first values of each operand */
    int n_seen[MAX_OPERANDS];
    int n_rows;
    char rows[MAX_ROWS][ROW];
} table;

static bool takes_gradient(const ad_optype *t, int i) {
    return !(t->flags & AD_OP_CONSTANT) && !(t->no_grad >> i & 1);
}

/* Appends a cell to a row, unless the row would be too long. */
static void add_cell(char *row, const char *text) {
    size_t used = strlen(row);
    if ((size_t)snprintf(row + used, ROW - used, " %s |", text) >= ROW - used) row[used] = '\0';
}

static void add_array(char *row, ad_shape s, element_at *at, const void *from) {
    char text[CELL];
    array_text(s, at, from, text, sizeof text);
    add_cell(row, text);
}

static void attrs_text(const ad_optype *t, const void *attrs, char *to, size_t size) {
    size_t used = 0;
    for (int i = 0; t->attrs != NULL && t->attrs[i].name != NULL; i++) {
        used += (size_t)snprintf(to + used, size - used, "%s%s = ", used ? ", " : "", t->attrs[i].name);
        used += (size_t)ad_attr_value_text(t, i, attrs, to + used, size - used);
    }
}

/* Whether two rows are equal but for the signs of zeros. */
static bool same_row(const char *a, const char *b) {
    for (; *a != '\0' || *b != '\0'; a++, b++) {
        if (strncmp(a, "-0 ", 3) == 0) a++;
        if (strncmp(b, "-0 ", 3) == 0) b++;
        if (*a != *b) return false;
    }
    return true;
}

static bool is_new(const table *t, const char *row) {
    for (int i = 0; i < t->n_rows; i++)
        if (same_row(t->rows[i], row)) return false;
    return t->n_rows < MAX_ROWS;
}

static void fill_row(const table *t, const ad_sample_case *c, ad_var *const in[], const ad_var *y, char *row) {
    snprintf(row, ROW, "|");
    if (c->type->attrs != NULL) {
        char text[CELL];
        attrs_text(c->type, c->attrs, text, sizeof text);
        add_cell(row, text);
    }
    for (int i = 0; i < c->n; i++) add_array(row, c->shapes[i], given_at, c->values[i]);
    add_array(row, ad_shape_of(y), value_at, y);
    for (int i = 0; i < c->n; i++)
        if (takes_gradient(t->type, i)) add_array(row, c->shapes[i], slope_at, in[i]);
}

/* Evaluates a case and its gradients for g = 1, and adds its row unless the table is full or has it. */
static int add_row(table *t, const ad_sample_case *c) {
    ad_var *in[MAX_OPERANDS];
    char row[ROW];
    ad_mark m = ad_begin(t->g);
    for (int i = 0; i < c->n; i++)
        in[i] = (takes_gradient(t->type, i) ? ad_param : ad_tensor)(t->g, AD_F64, c->values[i], c->shapes[i]);
    ad_var *y = ad_apply(t->type, c->n, in, c->attrs);
    if (!(t->type->flags & AD_OP_CONSTANT)) ad_backward_from(y, ad_ones(t->g, ad_dtype_of(y), ad_shape_of(y)));
    if (ad_ok(t->g) && ad_numel(y) <= MAX_ELEMENTS) {
        fill_row(t, c, in, y, row);
        if (is_new(t, row)) memcpy(t->rows[t->n_rows++], row, sizeof row);
    }
    ad_end(t->g, m);
    return ad_error_code(t->g);
}

/* Whether v is among the first values of operand i. Fewer are shown the more operands there are, so that all their
   combinations fit into the table. */
static bool is_shown(table *t, int i, double v) {
    int limit = t->n_operands == 1 ? MAX_ROWS : t->n_operands == 2 ? 4 : 2;
    for (int k = 0; k < t->n_seen[i]; k++)
        if (memcmp(&t->seen[i][k], &v, sizeof v) == 0) return true;
    if (t->n_seen[i] == limit) return false;
    t->seen[i][t->n_seen[i]++] = v;
    return true;
}

/* Adds a row for each element of an elementwise op's case. */
static int add_points(table *t, const ad_sample_case *c) {
    const ad_shape scalars[MAX_OPERANDS] = { { 0 } };
    const double *values[MAX_OPERANDS];
    ad_sample_case point = *c;
    point.shapes = scalars, point.values = values;
    int rc = AD_OK;
    for (int64_t k = 0, n = ad_shape_numel(c->shapes[0]); k < n && rc == AD_OK; k++) {
        bool shown = true;
        for (int i = 0; i < c->n; i++) {
            values[i] = c->values[i] + k;
            shown = is_shown(t, i, *values[i]) && shown;
        }
        if (shown) rc = add_row(t, &point);
    }
    return rc;
}

static bool has_one_shape(const ad_sample_case *c) {
    for (int i = 1; i < c->n; i++)
        if (!ad_shape_equal(c->shapes[i], c->shapes[0])) return false;
    return true;
}

/* Adds what a sample at special points shows. An op without a shape rule is elementwise. */
static int add_sample(const ad_sample_case *c, void *data) {
    table *t = data;
    int64_t elements = 0;
    for (int i = 0; i < c->n; i++) elements += ad_shape_numel(c->shapes[i]);
    if (!(c->flags & AD_SAMPLE_KINK) || c->n > MAX_OPERANDS || (t->n_rows > 0 && c->n != t->n_operands)) return AD_OK;
    t->n_operands = c->n;
    if (c->type->shape == NULL && has_one_shape(c)) return add_points(t, c);
    return elements <= MAX_ELEMENTS ? add_row(t, c) : AD_OK;
}

static void put_header(const table *t) {
    char name[64];
    int columns = 1 + t->n_operands;
    printf(t->type->attrs ? "| with |" : "|");
    for (int i = 0; i < t->n_operands; i++) {
        operand_name(t->parameters, i, name, sizeof name);
        printf(" %s |", name);
    }
    printf(" y |");
    for (int i = 0; i < t->n_operands; i++) {
        if (!takes_gradient(t->type, i)) continue;
        operand_name(t->parameters, i, name, sizeof name);
        printf(" d%s |", name);
        columns++;
    }
    printf(t->type->attrs ? "\n|---|" : "\n|");
    for (int i = 0; i < columns; i++) printf("---|");
    printf("\n");
}

static int put_special_points(ad_graph *g, const ad_optype *type, const char *parameters) {
    table t = { .g = g, .type = type, .parameters = parameters };
    if (type->flags & AD_OP_RANDOM) return AD_OK;
    int rc = ad_each_sample(g, type, add_sample, &t);
    if (t.n_rows > 0) {
        printf("\nAt special points%s:\n\n", type->flags & AD_OP_CONSTANT ? "" : ", for g = 1");
        put_header(&t);
    }
    for (int i = 0; i < t.n_rows; i++) printf("%s\n", t.rows[i]);
    return rc;
}

/* ---- an op's section ----------------------------------------------------------------------------------------- */

/* The prototypes of the op and of the functions below it. */
static void put_prototypes(const entry *e, const entry *end) {
    printf("```c\n");
    do printf("ad_var *ad_%s%s;%s\n", e->text, e->details, e->note);
    while (++e < end && e->kind == FN);
    printf("```\n\n");
}

/* How many rules the text of a gradient has; they are separated by "; ". */
static int count_rules(const char *gradient) {
    int n = 1;
    while ((gradient = strstr(gradient, "; ")) != NULL) gradient += 2, n++;
    return n;
}

/* "g; -g" of two operands as da = `g`, db = `-g`; as one formula where operands and rules differ in number. */
static void put_gradient(const ad_optype *t, const char *parameters) {
    char name[64];
    const char *rule = t->gradient;
    int rules = count_rules(rule);
    printf("- Gradient: ");
    for (int i = 0; i < rules && t->arity == rules; i++) {
        size_t n = i + 1 < rules ? (size_t)(strstr(rule, "; ") - rule) : strlen(rule);
        operand_name(parameters, i, name, sizeof name);
        printf("%sd%s = ", i ? ", " : "", name);
        put_formula(rule, n);
        rule += n + (i + 1 < rules ? 2 : 0);
    }
    if (t->arity != rules) put_formula(rule, strlen(rule));
    printf("\n");
}

/* Elementwise formulas call their operands a, b, c. Says which is which where the prototype has other names. */
static void put_letters(const ad_optype *t, const char *parameters) {
    char names[3][64];
    bool same = true;
    if (t->shape != NULL || t->arity < 2 || t->arity > 3) return;
    for (int i = 0; i < t->arity; i++) {
        operand_name(parameters, i, names[i], sizeof names[i]);
        same = same && names[i][0] == "abc"[i] && names[i][1] == '\0';
    }
    for (int i = 0; i < t->arity && !same; i++)
        printf("%s%c is `%s`%s", i ? ", " : "- In these formulas ", "abc"[i], names[i], i + 1 < t->arity ? "" : ".\n");
}

static void put_attributes(const ad_optype *t) {
    if (t->attrs == NULL) return;
    printf("- Attributes: ");
    for (const ad_attr *a = t->attrs; a->name != NULL; a++)
        printf("%s`%s` (%s)", a == t->attrs ? "" : ", ", a->name, kind_text(t, a));
    printf("\n");
}

static void put_flags(const ad_optype *t, const char *parameters) {
    char name[64];
    if (t->flags & AD_OP_CONSTANT) printf("- No gradient: the result is a constant.\n");
    for (int i = 0; i < MAX_OPERANDS; i++)
        if (!(t->flags & AD_OP_CONSTANT) && t->no_grad >> i & 1 && operand_name(parameters, i, name, sizeof name))
            printf("- No gradient for `%s`.\n", name);
    if (t->flags & AD_OP_RANDOM) printf("- Random: drawn anew by each `ad_eval`.\n");
    if (t->flags & AD_OP_VIEW) printf("- A view: the result shares its operand's memory.\n");
    if (t->shape == NULL && t->arity > 1) printf("- Operands broadcast.\n");
}

static void put_difference(const ad_optype *t) {
    if (t->differs == NULL) return;
    printf("- Differs from PyTorch: ");
    put_text(t->differs);
    printf("\n");
}

static void put_special(const ad_optype *t) {
    if (t->special == NULL) return;
    printf("- ");
    put_sentence(t->special);
    printf("\n");
}

/* Formulas of single elements, "y[i] = ...", have their left side. */
static void put_value(const ad_optype *t) {
    printf(strncmp(t->formula, "y[", 2) == 0 ? "\n\n- Value: " : "\n\n- Value: y = ");
    put_formula(t->formula, strlen(t->formula));
    printf("\n");
}

static int put_op(ad_graph *g, const entry *e, const entry *end) {
    const ad_optype *t = ad_find_op(g, e->text);
    if (t == NULL) return ad_fail(g, AD_EVALUE, "the table has no op %s", e->text);
    printf("\n### %s\n\n", t->name);
    put_prototypes(e, end);
    put_sentence(t->doc);
    put_value(t);
    if (t->gradient != NULL) put_gradient(t, e->details);
    put_letters(t, e->details);
    put_attributes(t);
    put_flags(t, e->details);
    put_special(t);
    put_difference(t);
    return put_special_points(g, t, e->details);
}

/* ---- the page ------------------------------------------------------------------------------------------------ */

static void put_head(void) {
    printf("# Operations\n\n"
           "`make docs` writes this page from the table of ops. Corrections belong in an op's descriptor.\n\n"
           "Every op takes and returns Vars of one dtype, f32 or f64, of up to %d dimensions. Two dtypes in one op\n"
           "are an error unless the op says otherwise. Operands of elementwise ops broadcast as NumPy's do. Axis -1\n"
           "is the last, and `keepdims` keeps a reduced axis with size 1. A reduction NAME over all elements has the\n"
           "forms NAME_axis over one axis and NAME_axes over a list of n axes, where n = 0 means all. Class numbers\n"
           "and indices are Vars of whole numbers. Operands that do not fit give the graph's nil Var and a sentence\n"
           "in `ad_error`.\n\n"
           "In the formulas y is the result and g is the gradient that arrives at it. An operand that is used twice,\n"
           "or repeated by broadcasting, gets the sum of its gradients.\n\n"
           "The tables show what this library computes in f64 at special points: kinks, ends of a domain, zeros,\n"
           "infinities and NaN. The tests compare all ops but random ones with values by PyTorch and mpmath, and at\n"
           "0, infinities, NaN, huge and tiny numbers with values, slopes and second slopes by PyTorch. They are\n"
           "equal but where an op's section says \"Differs from PyTorch\".\n",
           AD_MAX_NDIM);
}

static void put_contents(const entry *entries, int n) {
    printf("\n## Contents\n");
    const char *before = "";
    for (int i = 0; i < n; i++) {
        if (entries[i].kind == FAMILY) {
            printf("\n- [%s](#", entries[i].text);
            put_anchor(entries[i].text);
            printf("):");
            before = " ";
        } else if (entries[i].kind == OP) {
            printf("%s[%s](#%s)", before, entries[i].text, entries[i].text);
            before = ", ";
        }
    }
    printf("\n");
}

static void put_family(const entry *e) {
    printf("\n## %s\n\n", e->text);
    if (*e->note != '\0') {
        put_sentence(e->note);
        printf("\n\n");
    }
    printf("Sources: %s.\n", e->details);
}

/* The sections of all entries; an error unless they are all ops of the library's table. */
static int put_sections(ad_graph *g, const entry *entries, int n) {
    int rc = AD_OK, n_ops = 0;
    for (int i = 0; i < n && rc == AD_OK; i++) {
        if (entries[i].kind == FAMILY) put_family(&entries[i]);
        if (entries[i].kind == OP) rc = put_op(g, &entries[i], entries + n), n_ops++;
    }
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++) n_ops--;
    if (rc != AD_OK || n_ops == 0) return rc;
    return ad_fail(g, AD_EVALUE, "ops.def and the table of ops differ by %d ops", abs(n_ops));
}

static int put_page(ad_graph *g, char *text) {
    entry *entries = malloc(MAX_ENTRIES * sizeof *entries);
    if (entries == NULL) return AD_ENOMEM;
    int rc = read_entries(g, text, entries), n = rc;
    if (rc >= 0) {
        put_head();
        put_contents(entries, n);
        rc = put_sections(g, entries, n);
    }
    free(entries);
    return rc;
}

static int put_file(ad_graph *g, const char *path) {
    char *text = whole_file(path);
    int rc = text ? put_page(g, text) : ad_fail(g, AD_EIO, "%s cannot be read", path);
    free(text);
    return rc;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fputs("usage: reference ops/ops.def > docs/ops.md\n", stderr);
        return EXIT_FAILURE;
    }
    ad_graph *g = ad_graph_new();
    int rc = g ? put_file(g, argv[1]) : AD_ENOMEM;
    if (rc != AD_OK) fprintf(stderr, "reference: %s\n", g && !ad_ok(g) ? ad_error(g) : "out of memory");
    ad_graph_free(g);
    if (rc == AD_EABSENT) return 2;
    return rc != AD_OK || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
