/* expression.h: an expression in x and y, from its text to a list of instructions in postfix order. */
#ifndef DEMOS_WEB_EXPRESSION_H
#define DEMOS_WEB_EXPRESSION_H

#include "autodiff/extend.h"
#include "ops/ops.h"

enum { MOST_CODE = 256, MOST_TEXT = 400 };

typedef ad_var *unary_fn(ad_var *x);
typedef ad_var *binary_fn(ad_var *a, ad_var *b);

/* One instruction takes its operands from a stack and puts its result there. */
typedef struct {
    enum { NUMBER, X, Y, UNARY, BINARY } kind;
    double number;
    unary_fn *one;
    binary_fn *two;
    bool literal; /* a number of the text, which a power may have as its exponent */
} instruction;

typedef struct {
    int n;
    instruction code[MOST_CODE];
    int at;          /* where in the text the fault is */
    char fault[120]; /* what is wrong with the text; "" if nothing */
} expression;

/* False, with at and fault, if the text is no expression. */
bool expression_parse(const char *text, expression *e);
/* The expression for these Vars, which may be arrays. */
ad_var *expression_build(const expression *e, ad_var *x, ad_var *y);
/* The names of all functions, separated by blanks. */
const char *expression_functions(void);

#endif
