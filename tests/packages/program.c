/* program.c: a program of a user, for each way of packaging: it calls the engine, LAPACK if the library has it, a file,
   and the compiler of graphs. */
#include <math.h>
#include <stdio.h>

#include "autodiff/autodiff.h"
#include "nn/nn.h"
#include "ops/compile.h"
#include "ops/ops.h"

/* The gradient of sin(x) + x y, recorded and, where there is a compiler, compiled. */
static int first(ad_graph *g) {
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0.5 }, AD_SCALAR);
    ad_var *y = ad_param(g, AD_F64, (double[]){ 4.2 }, AD_SCALAR);
    ad_var *f = ad_add(ad_sin(x), ad_mul(x, y));
    double dx = 0, dy = 0;
    ad_program *p = ad_compile_gradient(f, 2, (ad_var *[]){ x, y }, (ad_compile_opts){ .no_cache = true });
    ad_run(p, (const void *[]){ NULL, NULL }, (void *[]){ NULL, &dx, &dy }, NULL);
    fprintf(stderr, "%s\n", ad_program_how(p));
    ad_backward(f);
    printf("f %g  df/dx %g  df/dy %g\n", ad_item(f), ad_grad_item(x), ad_grad_item(y));
    return ad_ok(g) && fabs(dx - ad_grad_item(x)) < 1e-12 && fabs(dy - ad_grad_item(y)) < 1e-12;
}

/* Q R is the matrix again. */
static int factors(ad_graph *g) {
    ad_var *a = ad_tensor(g, AD_F64, (double[]){ 1, 2, 3, 4, 5, 6 }, AD_SHAPE(3, 2));
    ad_var *parts[2];
    ad_qr(a, parts);
    double off = ad_item(ad_sum(ad_abs(ad_sub(ad_matmul(parts[0], parts[1]), a))));
    if (ad_error_code(g) == AD_EABSENT) return ad_clear_error(g), 1;
    return ad_ok(g) && off < 1e-12;
}

int main(void) {
    ad_graph *g = ad_graph_new();
    int ok = first(g) && factors(g);
    if (!ok) printf("%s\n", ad_error(g));
    ad_graph_free(g);
    return !ok;
}
