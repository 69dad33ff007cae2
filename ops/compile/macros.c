/* macros.c: the macros that formulas use, as text for generated C. */
#include "ops/kernels/base/formula.h"

#include "ops/compile/text.h"

/* The arguments are expanded before they become text. math.h must not be included here, and tgmath.h least of all: exp
   shall stay exp. */
#define TEXT_(...) #__VA_ARGS__
#define TEXT(...) TEXT_(__VA_ARGS__)
#define ONE(name, x) { #name, #x, TEXT(name(x)) }
#define TWO(name, a, b) { #name, #a "," #b, TEXT(name(a, b)) }
#define THREE(name, a, b, c) { #name, #a "," #b "," #c, TEXT(name(a, b, c)) }

const ad__macro ad__macro_list[] = {
    THREE(PRODUCT, g, k, p),
    THREE(PART, g, a, y),
    THREE(RATIO, g, a, b),
    TWO(IS_INVERSE, a, b),
    ONE(LOG1P_EXP, x),
    ONE(LOGIT, x),
    ONE(SERIES_OF_REST, u),
    THREE(QUOTIENT, a, b, y),
    TWO(IS_LOWER, a, b),
    TWO(FLOOR_DIVIDED, a, b),
    TWO(IS_LARGE, a, b),
    ONE(SIN_PI, x),
    TWO(SINC_SLOPE, x, y),
    ONE(SIGMOID_SLOPE, x),
    ONE(TWO_U, x),
    ONE(TWO_U_SLOPE, x),
    ONE(NEAR, x),
    ONE(TANH_SOFTPLUS, x),
    ONE(TANH_SOFTPLUS_SLOPE, x),
    TWO(larger, a, b),
    TWO(OR_LARGEST, limit, sign),
};
const int ad__n_macros = AD__COUNT(ad__macro_list);
