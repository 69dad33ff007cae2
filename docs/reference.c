/* reference.c: prints docs/ops.md, the reference of all ops, from ops.def and the ops' descriptors; where an
   op differs from PyTorch is told by the file of its reference values.

   usage: reference ops/ops.def tests/reference/results
   A comment on a line of its own is a family's heading there; an AD_FN belongs to the AD_OP above it,
   and a comment after it is shown beside its prototype. Ends with status 2 where this build lacks a library
   that an op needs. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/op.h"
#include "ops/ops.h"

enum { MOST_LINES = 2000, MOST_OPERANDS = 8, MOST_ROWS = 16, MOST_ELEMENTS = 12, CELL = 400, ROW = 1200 };

/* ---- ops.def ----------------------------------------------------------------------------------------- */

typedef enum { FAMILY, OP, FN } line_kind;
typedef struct {
    line_kind kind;
    char *text;       /* a family's title, or the name of an op or function */
    char *parameters; /* "(ad_var *x)" */
    char *note;       /* what follows the line, or "" */
} def_line;

static char *whole_file(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, 1 << 20) : NULL;
    if (text != NULL && fread(text, 1, (1 << 20) - 1, f) == 0) text[0] = '\0';
    if (f != NULL) fclose(f);
    return text;
}

/* "elementwise, one operand: unary.c" -> "Elementwise, one operand" */
static def_line family_line(char *line, char *end) {
    line[strcspn(line, ":")] = *end = '\0';
    size_t n = strlen(line);
    while (n > 0 && line[n - 1] == ' ') line[--n] = '\0';
    *line = (char)toupper((unsigned char)*line);
    return (def_line){ FAMILY, line, NULL, NULL };
}

/* "AD_OP(exp, (ad_var *x))": name, comma, parameters, closing parenthesis */
static bool op_line(char *line, def_line *to) {
    char *name = line + strlen("AD_OP("), *comma = strchr(name, ','), *end = strstr(name, "))");
    if (comma == NULL || end == NULL) return false;
    *to = (def_line){ strncmp(line, "AD_OP", 5) == 0 ? OP : FN, name, comma + 2, end + 2 };
    *comma = end[1] = '\0';
    return true;
}

static int read_lines(char *text, def_line *lines) {
    int n = 0;
    for (char *line = strtok(text, "\n"); line != NULL && n < MOST_LINES; line = strtok(NULL, "\n")) {
        char *end = strstr(line, " */");
        bool op = strncmp(line, "AD_OP(", 6) == 0 || strncmp(line, "AD_FN(", 6) == 0;
        if (op) n += op_line(line, &lines[n]);
        else if (strncmp(line, "/* ", 3) == 0 && end != NULL) lines[n++] = family_line(line + 3, end);
    }
    return n;
}

/* ---- words --------------------------------------------------------------------------------------------- */

/* Text with what Markdown would read as its own marks kept as it is, and a full stop. */
static void put_text(const char *text) {
    char last = '.';
    for (; *text != '\0'; last = *text++) {
        if (*text == '*' || *text == '<') putchar('\\');
        putchar(*text);
    }
    if (last != '.') putchar('.');
}

/* A sentence: with a capital, where it begins with a word and not with a formula. */
static void put_sentence(const char *text) {
    size_t word = 0;
    while (isalpha((unsigned char)text[word])) word++;
    bool capital = word > 1 && (text[word] == '\0' || strchr(" ,;.", text[word]) != NULL);
    if (capital) putchar(toupper((unsigned char)*text++));
    put_text(text);
}

/* The first n letters of a formula, as code: without what C needs and a reader does not. */
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
    for (; *heading != '\0'; heading++)
        if (*heading == ' ') putchar('-');
        else if (isalnum((unsigned char)*heading) || *heading == '_') putchar(tolower((unsigned char)*heading));
}

/* The i-th "ad_var *NAME" of the parameters; false, and x0, x1, ..., for those that come in an array or a
   struct. */
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

static const char *kind_text(ad_attr_kind kind) {
    switch (kind) {
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

/* How many brackets stand beside element k of shape s: the axes whose every later index is 0. */
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

/* Beside this array's largest element, numbers below it are a zero that was rounded; another compiler may
   have it exact. */
static double rounding_of(int64_t n, element_at *at, const void *from) {
    double largest = 0;
    for (int64_t k = 0; k < n; k++)
        if (isfinite(at(from, k))) largest = fmax(largest, fabs(at(from, k)));
    return at == given_at ? 0 : 1e-14 * largest;
}

/* "3", "[1, 2]", "[[1, 2], [3, 4]]"; an empty array by its shape. Room for MOST_ELEMENTS is ample. */
static void array_text(ad_shape s, element_at *at, const void *from, char *to, size_t size) {
    int64_t n = ad_shape_numel(s);
    double rounding = rounding_of(n, at, from);
    size_t used = 0;
    if (n == 0) {
        used = (size_t)snprintf(to, size, "empty ");
        ad_shape_text(s, to + used, size - used);
    }
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
    int n_operands; /* of its cases: one table has one kind */
    double seen[MOST_OPERANDS][MOST_ROWS]; /* the first values of each operand */
    int n_seen[MOST_OPERANDS];
    int n_rows;
    char rows[MOST_ROWS][ROW];
} table;

static bool takes_gradient(const ad_optype *t, int i) {
    return !(t->flags & AD_OP_CONSTANT) && !(t->no_grad >> i & 1);
}

/* A row that is too long for its room is left without its last cells. */
static void add_cell(char *row, const char *text) {
    size_t used = strlen(row);
    if ((size_t)snprintf(row + used, ROW - used, " %s |", text) >= ROW - used) row[used] = '\0';
}

static void attrs_text(const ad_optype *t, const void *attrs, char *to, size_t size) {
    size_t used = 0;
    for (const ad_attr *a = t->attrs; a != NULL && a->name != NULL; a++) {
        used += (size_t)snprintf(to + used, size - used, "%s%s = ", used ? ", " : "", a->name);
        used += (size_t)ad_attr_text(a, attrs, to + used, size - used);
    }
}

/* Rows that differ in the sign of a zero alone are one. */
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
    return t->n_rows < MOST_ROWS;
}

static void fill_row(const table *t, const ad_sample_case *c, ad_var *const in[], const ad_var *y, char *row) {
    char text[CELL];
    snprintf(row, ROW, "|");
    if (c->type->attrs != NULL) attrs_text(c->type, c->attrs, text, sizeof text), add_cell(row, text);
    for (int i = 0; i < c->n; i++)
        array_text(c->shapes[i], given_at, c->values[i], text, sizeof text), add_cell(row, text);
    array_text(ad_shape_of(y), value_at, y, text, sizeof text), add_cell(row, text);
    for (int i = 0; i < c->n; i++) {
        if (!takes_gradient(t->type, i)) continue;
        array_text(c->shapes[i], slope_at, in[i], text, sizeof text), add_cell(row, text);
    }
}

/* Evaluates a case, with g = 1, and keeps its row. */
static int add_row(table *t, const ad_sample_case *c) {
    ad_var *in[MOST_OPERANDS];
    ad_mark m = ad_begin(t->g);
    for (int i = 0; i < c->n; i++)
        in[i] = (takes_gradient(t->type, i) ? ad_param : ad_tensor)(t->g, AD_F64, c->values[i], c->shapes[i]);
    ad_var *y = ad_apply(t->type, c->n, in, c->attrs);
    if (!(t->type->flags & AD_OP_CONSTANT)) ad_backward_from(y, ad_ones(t->g, ad_dtype_of(y), ad_shape_of(y)));
    char row[ROW];
    if (ad_ok(t->g) && ad_numel(y) <= MOST_ELEMENTS) {
        fill_row(t, c, in, y, row);
        if (is_new(t, row)) memcpy(t->rows[t->n_rows++], row, sizeof row);
    }
    ad_end(t->g, m);
    return ad_error_code(t->g);
}

/* Whether v is among the first values of operand i that the table has room for beside the others'. */
static bool has_room_for(table *t, int i, double v) {
    int most = t->n_operands == 1 ? MOST_ROWS : t->n_operands == 2 ? 4 : 2;
    for (int k = 0; k < t->n_seen[i]; k++)
        if (memcmp(&t->seen[i][k], &v, sizeof v) == 0) return true;
    if (t->n_seen[i] == most) return false;
    t->seen[i][t->n_seen[i]++] = v;
    return true;
}

/* Of an elementwise op, each element is a case of scalars. */
static int add_points(table *t, const ad_sample_case *c) {
    const ad_shape scalars[MOST_OPERANDS] = { { 0 } };
    const double *values[MOST_OPERANDS];
    ad_sample_case point = *c;
    point.shapes = scalars, point.values = values;
    int rc = AD_OK;
    for (int64_t k = 0, n = ad_shape_numel(c->shapes[0]); k < n && rc == AD_OK; k++) {
        bool shown = true;
        for (int i = 0; i < c->n; i++) {
            values[i] = c->values[i] + k;
            shown = has_room_for(t, i, *values[i]) && shown;
        }
        if (shown) rc = add_row(t, &point);
    }
    return rc;
}

static bool alike(const ad_sample_case *c) {
    for (int i = 1; i < c->n; i++)
        if (!ad_shape_equal(c->shapes[i], c->shapes[0])) return false;
    return true;
}

/* An op without a shape rule is elementwise. */
static int add_sample(const ad_sample_case *c, void *data) {
    table *t = data;
    int64_t elements = 0;
    for (int i = 0; i < c->n; i++) elements += ad_shape_numel(c->shapes[i]);
    if (!(c->flags & AD_SAMPLE_KINK) || c->n > MOST_OPERANDS || (t->n_rows > 0 && c->n != t->n_operands)) return AD_OK;
    t->n_operands = c->n;
    if (c->type->shape == NULL && alike(c)) return add_points(t, c);
    return elements <= MOST_ELEMENTS ? add_row(t, c) : AD_OK;
}

static void put_header(const table *t) {
    char name[64];
    int columns = 1 + t->n_operands;
    printf(t->type->attrs ? "| with |" : "|");
    for (int i = 0; i < t->n_operands; i++) operand_name(t->parameters, i, name, sizeof name), printf(" %s |", name);
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

static void put_prototypes(const def_line *l, const def_line *end) {
    printf("```c\n");
    do printf("ad_var *ad_%s%s;%s\n", l->text, l->parameters, l->note);
    while (++l < end && l->kind == FN);
    printf("```\n\n");
}

/* "g; -g" of two operands -> da = `g`, db = `-g`. */
static void put_gradient(const ad_optype *t, const char *parameters) {
    char name[64];
    int rules = 1, operand = 0;
    for (const char *p = t->gradient; (p = strstr(p, "; ")) != NULL; p++) rules++;
    printf("- Gradient: ");
    if (t->arity != rules) {
        put_formula(t->gradient, strlen(t->gradient));
        printf("\n");
        return;
    }
    for (const char *rule = t->gradient; operand < rules; operand++) {
        size_t n = operand + 1 < rules ? (size_t)(strstr(rule, "; ") - rule) : strlen(rule);
        operand_name(parameters, operand, name, sizeof name);
        printf("%sd%s = ", operand ? ", " : "", name);
        put_formula(rule, n);
        rule += n + (operand + 1 < rules ? 2 : 0);
    }
    printf("\n");
}

/* Elementwise formulas call their operands a, b, c; the prototype may have other names. */
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
        printf("%s`%s` (%s)", a == t->attrs ? "" : ", ", a->name, kind_text(a->kind));
    printf("\n");
}

static void put_flags(const ad_optype *t, const char *parameters) {
    char name[64];
    if (t->flags & AD_OP_CONSTANT) printf("- No gradient: the result is a constant.\n");
    for (int i = 0; i < MOST_OPERANDS; i++)
        if (!(t->flags & AD_OP_CONSTANT) && t->no_grad >> i & 1 && operand_name(parameters, i, name, sizeof name))
            printf("- No gradient for `%s`.\n", name);
    if (t->flags & AD_OP_RANDOM) printf("- Random: drawn anew by each `ad_eval`.\n");
    if (t->flags & AD_OP_VIEW) printf("- A view: the result shares its operand's memory.\n");
    if (t->shape == NULL && t->arity > 1) printf("- Operands broadcast.\n");
}

/* "# differs from PyTorch: ..." among the first lines of the op's file */
static void put_difference(const char *results, const char *name) {
    static const char mark[] = "# differs from PyTorch: ";
    char line[ROW];
    snprintf(line, sizeof line, "%s/%s.txt", results, name);
    FILE *f = fopen(line, "rb");
    while (f != NULL && fgets(line, sizeof line, f) != NULL && *line == '#') {
        if (strncmp(line, mark, sizeof mark - 1) != 0) continue;
        line[strcspn(line, "\n")] = '\0';
        printf("- Differs from PyTorch: ");
        put_text(line + sizeof mark - 1);
        printf("\n");
    }
    if (f != NULL) fclose(f);
}

static int put_op(ad_graph *g, const def_line *l, const def_line *end, const char *results) {
    const ad_optype *t = ad_find_op(g, l->text);
    if (t == NULL) return ad_fail(g, AD_EVALUE, "the table has no op %s", l->text);
    printf("\n### %s\n\n", t->name);
    put_prototypes(l, end);
    put_sentence(t->doc);
    printf(strncmp(t->formula, "y[", 2) == 0 ? "\n\n- Value: " : "\n\n- Value: y = "); /* y[i] = ... says it */
    put_formula(t->formula, strlen(t->formula));
    printf("\n");
    if (t->gradient != NULL) put_gradient(t, l->parameters);
    put_letters(t, l->parameters);
    put_attributes(t);
    put_flags(t, l->parameters);
    if (t->special != NULL) {
        printf("- ");
        put_sentence(t->special);
        printf("\n");
    }
    put_difference(results, t->name);
    return put_special_points(g, t, l->parameters);
}

/* ---- the page ------------------------------------------------------------------------------------------------ */

static void put_head(void) {
    printf("# Operations\n\n"
           "Written by `make docs` from the table of ops; what is wrong here is corrected in an op's descriptor.\n\n"
           "Every op takes and returns Vars of one dtype, f32 or f64, of up to %d dimensions; two dtypes in one op\n"
           "are an error unless the op says otherwise. Elementwise operands broadcast as NumPy's do. Axis -1 is the\n"
           "last, and `keepdims` keeps a reduced axis with size 1. Class numbers and indices are Vars of whole\n"
           "numbers. Bad operands give the graph's nil Var and a sentence in `ad_error`.\n\n"
           "In the formulas y is the result, g the gradient that arrives at it. An operand that is used twice, or\n"
           "repeated by broadcasting, gets the sum of its gradients. Special points have PyTorch's values unless the\n"
           "op says otherwise; the tables are what this library computes in f64, and the tests hold it to reference\n"
           "values by PyTorch and mpmath.\n",
           AD_MAX_NDIM);
}

static void put_contents(const def_line *lines, int n) {
    printf("\n## Contents\n");
    const char *before = "";
    for (int i = 0; i < n; i++) {
        if (lines[i].kind == FAMILY) {
            printf("\n- [%s](#", lines[i].text);
            put_anchor(lines[i].text);
            before = "):";
        } else if (lines[i].kind == OP) {
            printf("%s [%s](#%s)", before, lines[i].text, lines[i].text);
            before = ",";
        }
    }
    printf("\n");
}

static int put_page(ad_graph *g, char *text, const char *results) {
    static def_line lines[MOST_LINES];
    int n = read_lines(text, lines), rc = AD_OK, n_ops = 0;
    put_head();
    put_contents(lines, n);
    for (int i = 0; i < n && rc == AD_OK; i++) {
        if (lines[i].kind == FAMILY) printf("\n## %s\n", lines[i].text);
        if (lines[i].kind == FN && (i == 0 || lines[i - 1].kind == FAMILY))
            rc = ad_fail(g, AD_EVALUE, "ops.def: %s stands below no op", lines[i].text);
        if (lines[i].kind == OP) rc = put_op(g, &lines[i], lines + n, results), n_ops++;
    }
    for (const ad_optype *const *t = ad_optypes(); *t; t++) n_ops--;
    if (rc != AD_OK || n_ops == 0) return rc;
    return ad_fail(g, AD_EVALUE, "ops.def and the table of ops differ by %d ops", abs(n_ops));
}

int main(int argc, char **argv) {
    char *text = argc == 3 ? whole_file(argv[1]) : NULL;
    if (text == NULL) {
        fputs("usage: reference ops/ops.def tests/reference/results > docs/ops.md\n", stderr);
        return EXIT_FAILURE;
    }
    ad_graph *g = ad_graph_new();
    int rc = g ? put_page(g, text, argv[2]) : AD_ENOMEM;
    if (rc != AD_OK) fprintf(stderr, "reference: %s\n", g ? ad_error(g) : "out of memory");
    ad_graph_free(g);
    free(text);
    if (rc == AD_EABSENT) return 2;
    return rc != AD_OK || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
