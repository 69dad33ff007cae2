/* ternary.c: elementwise ops of three operands, each defined by its formulas. */
#define AD__NARROW
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/elementwise/elementwise.h"

static void where_samples(ad_sampler *s) {
    static const double conditions[] = { 1, 0, -2, NAN, 0, 1, 0, 0, 3, 0, 1, 1 };
    static const double *const values[] = { conditions, NULL, NULL };
    ad_shape shapes[8][3];
    AD__SHAPES(shapes, "() () (); 12 12 12; 2,3 3 (); 2 3,1 2; 3,1 () 1,4; 4,1,3 2,1 4,2,3; 0 1 (); 3,1 67 3,67");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample_values(s, NULL, 3, shapes[i], values, 0);
    static const double infinite[] = { INFINITY, -INFINITY, 1 }, *edges[] = { conditions, infinite, infinite };
    ad_sample_values(s, NULL, 3, (ad_shape[]){ AD_SHAPE(4, 1, 1), AD_SHAPE(3, 1), AD_SHAPE(3) }, edges, AD_SAMPLE_KINK);
}

AD_TERNARY(where, "b where a is not 0, else c; called as ad_where(cond, a, b); cond takes no gradient", AD_NO_GRAD(0),
           a != 0 ? b : c,
           0,
           a != 0 ? g : 0,
           a != 0 ? 0 : g,
           NULL,
           ad_where(a, g, ad__constant(g, 0)),
           ad_where(a, ad__constant(g, 0), g))
ad_var *ad_where(ad_var *cond, ad_var *a, ad_var *b) {
    return ad_apply(&ad_op_where, 3, (ad_var *[]){ cond, a, b }, NULL);
}

static void lerp_samples(ad_sampler *s) {
    static const double edges[] = { 0, 1, 0.5, -2 };
    ad__elementwise_samples(s, 3, NULL, -2, 2, AD__COUNT(edges), edges);
}

/* The formula starts from the nearer end, so that weights 0 and 1 give exactly a and b. */
AD_TERNARY(lerp, "linear interpolation from a to b by the weight c", 0,
           c < (T)0.5 ? a + c * (b - a) : b - (b - a) * (1 - c),
           g * (1 - c),
           g * c,
           g * (b - a),
           ad_mul(g, ad_adds(ad_neg(c), 1)),
           ad_mul(g, c),
           ad_mul(g, ad_sub(b, a)))
ad_var *ad_lerp(ad_var *a, ad_var *b, ad_var *weight) {
    return ad_apply(&ad_op_lerp, 3, (ad_var *[]){ a, b, weight }, NULL);
}

static void addcmul_samples(ad_sampler *s) {
    static const double edges[] = { 0, -0.0, 1.5, INFINITY };
    ad__elementwise_samples(s, 3, NULL, -2, 2, AD__COUNT(edges), edges);
}

/* One node instead of two halves the overhead in gates and recurrences. */
AD_TERNARY(addcmul, "a + b c, element by element", 0,
           a + b * c,
           g,
           g * c,
           g * b,
           g,
           ad_mul(g, c),
           ad_mul(g, b))
ad_var *ad_addcmul(ad_var *a, ad_var *b, ad_var *c) {
    return ad_apply(&ad_op_addcmul, 3, (ad_var *[]){ a, b, c }, NULL);
}
