// headers.cpp: the public headers in a C++ program, which has functions where C has compound literals.
#include "autodiff/autodiff.h"
#include "autodiff/op.h"
#include "nn/nn.h"
#include "ops/ops.h"
#include "ops/sparse.h"

#include <cmath>
#include <cstdio>
#include <cstring>

static int expect(bool right, const char *what) {
    if (!right) std::fprintf(stderr, "headers.cpp: wrong: %s\n", what);
    return right ? 0 : 1;
}

int main() {
    ad_graph *g = ad_graph_new();
    const int64_t dim[] = { 2, 3 };
    const double data[] = { 1, 2, 3, 4, 5, 6 };
    ad_var *x = ad_param(g, AD_F64, data, ad_shape_of_dims(2, dim));
    ad_var *y = ad_sum(ad_mul(x, x));
    ad_var *k = ad_full(g, AD_F64, 3, ad_shape_scalar());
    ad_backward(ad_mul(y, k));
    const int64_t widths[] = { 3, 4, 1 };
    nn_module *net = nn_mlp(g, AD_F64, 3, widths, ad_tanh);
    ad_var *out = nn_apply(net, x);
    nn_module *row = nn_sequential(g, nn_linear(g, AD_F64, 3, 4, true), nn_tanh(g));
    nn_module *one = nn_sequential(g, nn_relu(g));
    ad_var *wide = nn_apply(nn_parallel(g, 1, row, one), x);

    char version[32];
    std::snprintf(version, sizeof version, "%d.%d.%d", AD_VERSION_MAJOR, AD_VERSION_MINOR, AD_VERSION_PATCH);
    int wrong = expect(ad_ok(g), ad_error(g)) + expect(ad_item(y) == 91, "sum of squares") +
                expect(ad_numel(wide) == 14, "modules in a row and side by side") +
                expect(ad_grad_at(x, 5) == 36, "its gradient") + expect(ad_numel(out) == 2, "a network's output") +
                expect(ad_find_op(g, "sum") == &ad_op_sum, "a descriptor's address") +
                expect(std::strcmp(version, ad_version()) == 0, "the version of headers and library");
    std::puts(version);
    ad_graph_free(g);
    return wrong;
}
