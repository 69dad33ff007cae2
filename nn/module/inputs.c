/* inputs.c: the inputs of a network that takes several, as one Var: a view of the first whose operands they are. */
#include "nn/module/module_private.h"

/* The address of the name tells these Ops from others. */
static const char name[] = "inputs";

static int inputs_shape(ad_call *c) {
    for (int i = 0; i < c->n; i++) {
        ad_shape s = ad_shape_of(c->in[i]);
        if (s.ndim < 1 || c->shape.ndim < 1 || s.dim[0] != c->shape.dim[0])
            return ad_call_fail(c, AD_ESHAPE, "each input must have one row per sample");
        if (nn_input_count(c->in[i]) > 1)
            return ad_call_fail(c, AD_EVALUE, "input %d is several inputs already; give each of them", i);
    }
    return AD_OK;
}

static const ad_optype inputs_type = { .name = name,
                                       .doc = "a view of the first of a network's inputs",
                                       .arity = -1,
                                       .flags = AD_OP_VIEW | AD_OP_MIXED | AD_OP_CONSTANT,
                                       .shape = inputs_shape };

ad_var *nn_inputs(int n, ad_var *const x[]) {
    if (n < 1 || x == NULL) return ad_nil(NULL);
    if (n == 1 && !ad_is_nil(x[0])) return x[0];
    if (n <= NN_MOST_INPUTS) return ad_apply(&inputs_type, n, x, NULL);
    ad_graph *g = ad_graph_of(x[0]);
    ad_fail(g, AD_EVALUE, "inputs: %d inputs: there are 1 to %d", n, NN_MOST_INPUTS);
    return ad_nil(g);
}

int nn_input_count(const ad_var *x) {
    const ad_op *op = ad_creator(x);
    return op != NULL && ad_op_name(op) == name ? ad_op_arity(op) : 1;
}

ad_var *nn_input_at(ad_var *x, int i) {
    if (nn_input_count(x) > 1) return ad_op_operand(ad_creator(x), i);
    return i == 0 ? x : NULL;
}

ad_var *nn__apply_to_inputs(nn_module *m, ad_var *x) {
    ad_var *each[NN_MOST_INPUTS], *y = NULL;
    for (int i = 0; i < nn_input_count(x); i++) each[i] = nn_input_at(x, i);
    nn_apply_n(m, nn_input_count(x), each, 1, &y);
    return y;
}
