/* macros.c: the macros that formulas use, as text for generated C. */
#include "ops/kernels/base/formula.h"

#include "ops/compile/text.h"

/* The arguments are expanded before they become text. math.h must not be included here, and tgmath.h least of all: exp
   shall stay exp. */
#define TEXT_(...) #__VA_ARGS__
#define TEXT(...) TEXT_(__VA_ARGS__)
#define ONE(name, x) { #name, #x, TEXT(name(x)), false, NULL }
#define TWO(name, a, b) { #name, #a "," #b, TEXT(name(a, b)), false, NULL }
#define THREE(name, a, b, c) { #name, #a "," #b "," #c, TEXT(name(a, b, c)), false, NULL }


/* ---- functions of ops/kernels/elementwise/, statement by statement ----------------------------------------------- */

/* erfinv.c */
static const char erfinv_body[] =
    "{\nconst double size = fabs(x), z = size * size, none = 0;\ndouble y;\n"
    "if (!(size <= 1)) return none / none;\nif (size == 1) return copysign(1 / none, x);\n"
    "if (size <= 0.7) {\n"
    "const double above = ((-0.140543331 * z + 0.914624893) * z - 1.645349621) * z + 0.886226899;\n"
    "const double below = (((0.012229801 * z - 0.329097515) * z + 1.442710462) * z - 2.118377725) * z + 1;\n"
    "y = size * above / below;\n"
    "for (int i = 0; i < 2; i++) y -= (erf(y) - size) / (1.1283791670955126 * exp(-y * y));\n} else {\n"
    "const double q = sqrt(-log((1 - size) / 2));\n"
    "const double above = ((1.641345311 * q + 3.429567803) * q - 1.624906493) * q - 1.970840454;\n"
    "y = above / ((1.637067800 * q + 3.543889200) * q + 1);\n"
    "for (int i = 0; i < 3; i++) y += (erfc(y) - (1 - size)) / (1.1283791670955126 * exp(-y * y));\n}\n"
    "return copysign(y, x);\n}\n";

/* gamma.c */
#define BERNOULLI                                                                                                      \
    "static const double bernoulli[] = { 1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730,\n"          \
    "7.0 / 6, -3617.0 / 510, 43867.0 / 798 };\n"
static const char digamma_body[] =
    "{\nstatic const double taylor[] = {\n"
    "0.96767224544762117043, -0.44276316898359210609, 0.25849976095565101062, -0.1639427054424065275,\n"
    "0.10782405069126236576, -0.072199561256454710926, 0.048804288164143107225, -0.033161126474847359292,\n"
    "0.02259764823221810466, -0.015424765904948959139, 0.010538791616612175388, -0.007204534386356868241,\n"
    "0.0049267813957298534464, -0.0033698016554393280828, 0.0023051263267349278369, -0.0015767369714301972593,\n"
    "0.0010788252019162965807, -0.00073807093899600512957, 0.00050495326583460203518, -0.00032546802510630769956,\n"
    "};\n" BERNOULLI
    "const double none = 0;\ndouble t = x > 0 ? x : 1 - x, y = 0, below = 0, series = 0;\n"
    "if (x == 0) return copysign(1 / none, -x);\nif (x != x || (x < 0 && x == floor(x))) return none / none;\n"
    "if (fabs(t - 1.4616321449683622) < 0.2) {\n"
    "const double d = (t - 1.4616321449683622) - 9.549995429965697e-17;\n"
    "for (int k = 19; k >= 0; k--) y = y * d + taylor[k];\ny = y * d;\n} else {\n"
    "for (; t < 10; t++) below += 1 / t;\nconst double square = 1 / (t * t);\n"
    "for (int k = 8; k >= 0; k--) series = (series + bernoulli[k] / (2 * k + 2)) * square;\n"
    "y = log(t) - 0.5 / t - series - below;\n}\n"
    "return x > 0 ? y : y - 3.141592653589793238 * (1 / tan(3.141592653589793238 * (x - rint(x))));\n}\n";

static const char polygamma_body[] =
    "{\n" BERNOULLI "const int n = (int)order, odd = n % 2 == 1;\n"
    "const double none = 0, pi = 3.141592653589793238;\n"
    "double t = x > 0 ? x : 1 - x, y = 0, below = 0, series = 0, term = 1, factor = 1;\n"
    "double p[23] = { 0, 1 }, q[23] = { 0 };\n"
    "if (n == 0) return digamma_at(x);\nif (x == 0) return odd ? 1 / none : -1 / none;\n"
    "if (x > 0 && x - x != 0) return odd ? 0 : -0.0;\nif (x - x != 0) return none / none;\n"
    "if (x < 0 && x == floor(x)) return odd ? 1 / none : none / none;\n"
    "for (; t < 10 + 2 * n; t++) below += pow(t, -n - 1);\n"
    "for (int k = 1; k <= 9; k++) {\n"
    "term *= (2 * k + n - 2) * (double)(2 * k + n - 1) / ((2 * k - 1) * (double)(2 * k)) / (t * t);\n"
    "series += bernoulli[k - 1] * term;\n}\n"
    "for (int i = 2; i <= n - 1; i++) factor *= i;\n"
    "y = factor * (pow(t, -n) * (1 + n / (2 * t) + series) + n * below);\n"
    "if (x > 0) return odd ? y : -y;\n"
    "for (int step = 0; step < n; step++) {\n"
    "for (int i = 0; i <= step + 1; i++) q[i] = (i + 1) * p[i + 1];\n"
    "for (int i = 0; i <= step + 2; i++) p[i] = -q[i] - (i >= 2 ? q[i - 2] : 0);\n}\n"
    "const double c = 1 / tan(pi * (x - rint(x)));\ndouble sum = 0;\n"
    "for (int i = n + 1; i >= 0; i--) sum = sum * c + p[i];\n"
    "return -y - pow(pi, n + 1) * sum;\n}\n";

/* ---- the list ---------------------------------------------------------------------------------------------------- */

const ad__macro ad__macro_list[] = {
    { "ad__number_erfinv", "double x", erfinv_body, true, NULL },
    { "log_gamma", "double x", "{\nreturn lgamma(x);\n}\n", true, NULL },
    { "digamma_at", "double x", digamma_body, true, NULL },
    { "polygamma_at", "double order, double x", polygamma_body, true, "digamma_at" },
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
