/* adolc.cpp: the scalar cases in ADOL-C, which records a tape of the operations and runs it backwards. */
#include <adolc/adolc.h>

#include <cmath>
#include <vector>

#include "bench/peers/serve.h"

namespace {

enum { TAG = 1, BUFFER = 1 << 22 }; /* BUFFER: entries, enough to keep every tape in memory */

/* Returns f(x) and writes its gradient to dx. */
template <class F> double differentiate(const F &f, const std::vector<double> &x, std::vector<double> &dx) {
    int n = (int)x.size();
    double y, one = 1;
    std::vector<adouble> ax(x.size());
    trace_on(TAG, 1, BUFFER, BUFFER, BUFFER, BUFFER); /* 1: keeps the values for the reverse pass */
    for (int i = 0; i < n; i++) ax[i] <<= x[i];
    f(ax) >>= y;
    trace_off();
    fos_reverse(TAG, 1, n, &one, dx.data());
    return y;
}

adouble chain(const std::vector<adouble> &x) {
    adouble z = x[0];
    for (int i = 0; i < 333333; i++) z = sin(z) * x[1] + z;
    return z;
}

adouble rosenbrock(const std::vector<adouble> &x) {
    adouble sum = 0;
    for (size_t i = 0; i + 1 < x.size(); i++) {
        adouble square = x[i] * x[i], a = x[i + 1] - square, b = x[i] - 1;
        sum += a * a * 100 + b * b;
    }
    return sum;
}

adouble first(const std::vector<adouble> &x) { return sin(x[0]) + x[0] * x[1]; }

struct Chain {
    std::vector<double> x{ 0.5, 1e-6 }, dx{ 0, 0 };

    void work() { differentiate(chain, x, dx); }
    void result(double to[2]) { to[0] = differentiate(chain, x, dx), to[1] = dx[0] + dx[1]; }
};

struct Rosenbrock {
    std::vector<double> x, dx;

    Rosenbrock() : dx(1000) {
        for (int i = 0; i < 1000; i++) x.push_back(1 + 0.1 * std::sin(i));
    }
    void work() { differentiate(rosenbrock, x, dx); }
    void result(double to[2]) {
        to[0] = differentiate(rosenbrock, x, dx), to[1] = 0;
        for (double d : dx) to[1] += d * d;
    }
};


} // namespace

int main(int argc, char **) {
    if (argc > 1) {
        std::vector<double> dx(2);
        differentiate(first, { 0.5, 4.2 }, dx);
        return dx[1] != 0.5;
    }
    const served_case cases[] = { served<Chain>("scalar-chain", 999999), served<Rosenbrock>("rosenbrock", 1),
                                  served<serve_start>("start-up", 1) };
    return serve(sizeof cases / sizeof *cases, cases);
}
