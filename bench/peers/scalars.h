/* scalars.h: the scalar cases for tapes by operator overloading. The program that includes it has defined the type
   `real` and double differentiate(f, x, dx), which returns f(x) and writes its gradient to dx. */
#ifndef BENCH_PEERS_SCALARS_H
#define BENCH_PEERS_SCALARS_H

#include <cmath>
#include <vector>

#include "bench/peers/serve.h"

namespace {

real chain(const std::vector<real> &x) {
    real z = x[0];
    for (int i = 0; i < 333333; i++) z = sin(z) * x[1] + z;
    return z;
}

real rosenbrock(const std::vector<real> &x) {
    real sum = 0;
    for (size_t i = 0; i + 1 < x.size(); i++) {
        real a = x[i + 1] - x[i] * x[i], b = x[i] - 1;
        sum += a * a * 100 + b * b;
    }
    return sum;
}

real first(const std::vector<real> &x) { return sin(x[0]) + x[0] * x[1]; }

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

inline int serve_scalars(int argc) {
    if (argc > 1) {
        std::vector<double> dx(2);
        differentiate(first, { 0.5, 4.2 }, dx);
        return dx[1] != 0.5;
    }
    const served_case cases[] = { served<Chain>("scalar-chain", 999999), served<Rosenbrock>("rosenbrock", 1),
                                  served<serve_start>("start-up", 1) };
    return serve(sizeof cases / sizeof *cases, cases);
}

} // namespace

#endif
