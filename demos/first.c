/* first.c: the gradient of an expression that is written as ordinary C. */
#include "autodiff/autodiff.h"
#include "demos/demo.h"
#include "ops/ops.h"

int main(int argc, char **argv) {
    int64_t seed = 0;
    demo_parse(argc, argv, "Evaluates f = sin x + x y and its derivatives at one point.",
               (demo_option[]){
                   { "seed", "ignored: nothing here is random", DEMO_WHOLE, &seed, 0, 0x1p62 }, { 0 } });

    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0.5 }, AD_SCALAR);
    ad_var *y = ad_param(g, AD_F64, (double[]){ 4.2 }, AD_SCALAR);
    ad_var *f = ad_add(ad_sin(x), ad_mul(x, y)); /* evaluated immediately */
    ad_backward(f);
    if (ad_ok(g)) printf("f %g  df/dx %g  df/dy %g\n", ad_item(f), ad_grad_item(x), ad_grad_item(y));
    return demo_end(argv, g);
}
