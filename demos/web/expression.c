/* expression.c: an expression in x and y, from its text to instructions in postfix order, by two stacks: Dijkstra's
   shunting yard. */
#include "demos/web/expression.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unary_fn *one;
    binary_fn *two;
} functions[] = {
    { "sin", ad_sin, NULL },     { "cos", ad_cos, NULL },           { "tan", ad_tan, NULL },
    { "asin", ad_asin, NULL },   { "acos", ad_acos, NULL },         { "atan", ad_atan, NULL },
    { "sinh", ad_sinh, NULL },   { "cosh", ad_cosh, NULL },         { "tanh", ad_tanh, NULL },
    { "exp", ad_exp, NULL },     { "log", ad_log, NULL },           { "sqrt", ad_sqrt, NULL },
    { "abs", ad_abs, NULL },     { "square", ad_square, NULL },     { "sigmoid", ad_sigmoid, NULL },
    { "relu", ad_relu, NULL },   { "softplus", ad_softplus, NULL }, { "gelu", ad_gelu, NULL },
    { "erf", ad_erf, NULL },     { "lgamma", ad_lgamma, NULL },     { "pow", NULL, ad_pow },
    { "min", NULL, ad_minimum }, { "max", NULL, ad_maximum },       { "atan2", NULL, ad_atan2 },
    { "hypot", NULL, ad_hypot },
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

const char *expression_functions(void) {
    return "sin cos tan asin acos atan sinh cosh tanh exp log sqrt abs square sigmoid relu softplus gelu erf lgamma "
           "pow min max atan2 hypot";
}

/* ---- the stack of what waits for its operands ------------------------------------------------------------------ */

/* negative: a minus sign before its operand */
typedef enum { OPEN, SUM, DIFFERENCE, PRODUCT, QUOTIENT, NEGATIVE, POWER, FUNCTION } waiting_kind;
typedef struct {
    waiting_kind kind;
    int function, commas, at;
} waiting;
typedef struct {
    const char *text;
    int at, depth, n_values; /* n_values: operands that the instructions so far leave */
    waiting stack[MOST_CODE];
    expression *e;
} parser;

static bool refuse(parser *p, int at, const char *fault) {
    if (p->e->fault[0] == '\0') snprintf(p->e->fault, sizeof p->e->fault, "%s", fault), p->e->at = at;
    return false;
}

static bool emit(parser *p, instruction i) {
    int takes = i.kind == UNARY ? 1 : i.kind == BINARY ? 2 : 0;
    if (p->n_values < takes) return refuse(p, p->at, "something is missing here");
    if (p->e->n == MOST_CODE) return refuse(p, p->at, "this is too long");
    p->n_values += 1 - takes;
    p->e->code[p->e->n++] = i;
    return true;
}

static bool push(parser *p, waiting w) {
    if (p->depth == MOST_CODE) return refuse(p, w.at, "this is too deep");
    p->stack[p->depth++] = w;
    return true;
}

/* The instruction of what waits on top. */
static bool pop(parser *p) {
    static binary_fn *const two[] = {
        [SUM] = ad_add, [DIFFERENCE] = ad_sub, [PRODUCT] = ad_mul, [QUOTIENT] = ad_div, [POWER] = ad_pow
    };
    waiting w = p->stack[--p->depth];
    if (w.kind == NEGATIVE) return emit(p, (instruction){ .kind = UNARY, .one = ad_neg });
    if (w.kind == FUNCTION) {
        unary_fn *one = functions[w.function].one;
        if (w.commas != (one == NULL))
            return refuse(p, w.at, one ? "this function takes one argument" : "this function takes two arguments");
        return emit(p, (instruction){ .kind = one ? UNARY : BINARY, .one = one, .two = functions[w.function].two });
    }
    return emit(p, (instruction){ .kind = BINARY, .two = two[w.kind] });
}

static int strength(waiting_kind k) {
    switch (k) {
    case SUM:
    case DIFFERENCE: return 1;
    case PRODUCT:
    case QUOTIENT: return 2;
    case NEGATIVE: return 3;
    case POWER: return 4;
    default: return 0;
    }
}

/* An operator behind an operand. Powers bind to the right. */
static bool push_operator(parser *p, waiting_kind k) {
    while (p->depth > 0 && strength(p->stack[p->depth - 1].kind) > strength(k) - (k != POWER))
        if (!pop(p)) return false;
    return push(p, (waiting){ .kind = k, .at = p->at });
}

/* Up to the open bracket, which stays, if there is one. */
static bool pop_to_bracket(parser *p) {
    while (p->depth > 0 && p->stack[p->depth - 1].kind != OPEN)
        if (!pop(p)) return false;
    return true;
}

/* ---- tokens -------------------------------------------------------------------------------------------------- */

static bool read_number(parser *p) {
    char *end;
    double v = strtod(p->text + p->at, &end);
    if (end == p->text + p->at) return refuse(p, p->at, "a number has digits");
    p->at = (int)(end - p->text);
    return emit(p, (instruction){ .kind = NUMBER, .number = v, .literal = true });
}

/* A variable, a constant, or a function with its open bracket; *operand is whether an operand ends here. */
static bool read_name(parser *p, bool *operand) {
    int from = p->at, n = 0;
    while (isalnum((unsigned char)p->text[from + n])) n++;
    const char *name = p->text + from;
    p->at += n, *operand = true;
    if (n == 1 && *name == 'x') return emit(p, (instruction){ .kind = X });
    if (n == 1 && *name == 'y') return emit(p, (instruction){ .kind = Y });
    if (n == 1 && *name == 'e') return emit(p, (instruction){ .kind = NUMBER, .number = exp(1) });
    if (n == 2 && strncmp(name, "pi", 2) == 0) return emit(p, (instruction){ .kind = NUMBER, .number = acos(-1) });
    for (int i = 0; i < FUNCTIONS; i++) {
        if (strlen(functions[i].name) != (size_t)n || strncmp(functions[i].name, name, (size_t)n) != 0) continue;
        while (p->text[p->at] == ' ') p->at++;
        if (p->text[p->at] != '(') return refuse(p, p->at, "a function's argument stands in brackets");
        *operand = false;
        p->at++;
        return push(p, (waiting){ .kind = FUNCTION, .function = i, .at = from }) &&
               push(p, (waiting){ .kind = OPEN, .at = p->at - 1 });
    }
    return refuse(p, from, "this name is not known");
}

/* Where an operand must come. */
static bool read_operand(parser *p, bool *operand) {
    char c = p->text[p->at];
    if (isdigit((unsigned char)c) || c == '.') return *operand = true, read_number(p);
    if (isalpha((unsigned char)c)) return read_name(p, operand);
    if (c == '(') return push(p, (waiting){ .kind = OPEN, .at = p->at++ });
    if (c == '-') return push(p, (waiting){ .kind = NEGATIVE, .at = p->at++ });
    if (c == '+') return p->at++, true;
    return refuse(p, p->at, c ? "a number, x, y or a function should be here" : "the expression ends too early");
}

static bool close_bracket(parser *p) {
    if (!pop_to_bracket(p)) return false;
    if (p->depth == 0) return refuse(p, p->at, "this bracket was not opened");
    p->depth--;
    p->at++;
    return p->depth > 0 && p->stack[p->depth - 1].kind == FUNCTION ? pop(p) : true;
}

static bool comma(parser *p, bool *operand) {
    if (!pop_to_bracket(p)) return false;
    if (p->depth < 2 || p->stack[p->depth - 2].kind != FUNCTION)
        return refuse(p, p->at, "a comma outside of a function");
    p->stack[p->depth - 2].commas++;
    p->at++, *operand = false;
    return true;
}

/* Behind an operand. Two operands side by side are a product. */
static bool read_operator(parser *p, bool *operand) {
    static const char symbols[] = "+-*/^";
    static const waiting_kind kinds[] = { SUM, DIFFERENCE, PRODUCT, QUOTIENT, POWER };
    char c = p->text[p->at];
    if (c == ')') return close_bracket(p);
    if (c == ',') return comma(p, operand);
    const char *found = strchr(symbols, c);
    *operand = false;
    if (found == NULL && (isalnum((unsigned char)c) || c == '(' || c == '.')) return push_operator(p, PRODUCT);
    if (found == NULL) return refuse(p, p->at, "this sign is not known");
    if (!push_operator(p, kinds[found - symbols])) return false;
    p->at++;
    return true;
}

bool expression_parse(const char *text, expression *e) {
    parser p = { .text = text, .e = e };
    bool operand = false; /* whether an operand ends at p.at */
    *e = (expression){ .n = 0 };
    for (;;) {
        while (text[p.at] == ' ') p.at++;
        if (text[p.at] == '\0' && operand) break;
        if (!(operand ? read_operator(&p, &operand) : read_operand(&p, &operand))) return false;
    }
    while (p.depth > 0) {
        if (p.stack[p.depth - 1].kind == OPEN) return refuse(&p, p.stack[p.depth - 1].at, "this bracket is not closed");
        if (!pop(&p)) return false;
    }
    return true;
}

/* ---- Vars ---------------------------------------------------------------------------------------------------- */

static ad_var *number_of(ad_graph *g, double v) { return ad_scalar(g, AD_F64, v); }

ad_var *expression_build(const expression *e, ad_var *x, ad_var *y) {
    ad_graph *g = ad_graph_of(x);
    ad_var *stack[MOST_CODE];
    int n = 0;
    for (int i = 0; i < e->n; i++) {
        const instruction *c = &e->code[i], *next = &e->code[i + 1 < e->n ? i + 1 : i];
        if (c->literal && next->kind == BINARY && next->two == ad_pow && n > 0) {
            stack[n - 1] = ad_pows(stack[n - 1], c->number); /* x^2, whose slope exists for negative x too */
            i++;
            continue;
        }
        switch (c->kind) {
        case NUMBER: stack[n++] = number_of(g, c->number); break;
        case X: stack[n++] = x; break;
        case Y: stack[n++] = y; break;
        case UNARY: stack[n - 1] = c->one(stack[n - 1]); break;
        case BINARY: n--, stack[n - 1] = c->two(stack[n - 1], stack[n]); break;
        }
    }
    return n > 0 ? stack[0] : ad_nil(g);
}
