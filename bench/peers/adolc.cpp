/* adolc.cpp: the scalar cases in ADOL-C: a tape of the operations is recorded, then run backwards. */
#include <adolc/adolc.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "bench/peers/serve.h"

namespace {

enum { TAG = 1, BUFFER = 1 << 22 }; /* entries: no tape goes to a file */

/* The value of f at x; its gradient goes to dx. */
template <class F> double differentiate(const F &f, const std::vector<double> &x, std::vector<double> &dx) {
    int n = (int)x.size();
    double y, one = 1;
    std::vector<adouble> ax(x.size());
    trace_on(TAG, 1, BUFFER, BUFFER, BUFFER, BUFFER); /* 1: values are kept for the way back */
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
        adouble square = x[i] * x[i], curve = x[i + 1] - square, away = x[i] - 1;
        sum += curve * curve * 100 + away * away;
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

template <class Case> served_case served(const char *name, double items) {
    return { name, "-", items, []() -> void * { return new Case; }, [](void *c) { ((Case *)c)->work(); },
             [](void *c, double to[2]) { ((Case *)c)->result(to); }, [](void *c) { delete (Case *)c; } };
}

/* This program, asked for no more than a gradient. */
struct StartUp {
    void work() const {
        if (serve_first() != 0) throw std::runtime_error("the program does not start");
    }
    void result(double to[2]) const { work(), to[0] = to[1] = 1; }
};

} // namespace

int main(int argc, char **) {
    if (argc > 1) {
        std::vector<double> dx(2);
        differentiate(first, { 0.5, 4.2 }, dx);
        return dx[1] != 0.5;
    }
    const served_case cases[] = { served<Chain>("scalar-chain", 999999), served<Rosenbrock>("rosenbrock", 1),
                                  served<StartUp>("start-up", 1) };
    return serve(sizeof cases / sizeof *cases, cases);
}
