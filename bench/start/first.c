/* first.c: a minimal program: a graph, an expression and its gradient. bench/startup.c starts it many times. */
#include "autodiff/autodiff.h"
#include "ops/ops.h"

int main(void) {
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0.5 }, AD_SCALAR);
    ad_var *y = ad_param(g, AD_F64, (double[]){ 4.2 }, AD_SCALAR);
    ad_backward(ad_add(ad_sin(x), ad_mul(x, y)));
    int wrong = ad_grad_item(y) != 0.5;
    ad_graph_free(g);
    return wrong;
}
