/* cppad.cpp: the scalar cases in CppAD, a tape by operator overloading, recorded anew each time. */
#include <cppad/cppad.hpp>

#include <vector>

namespace {

using real = CppAD::AD<double>;

/* Returns f(x) and writes its gradient to dx. */
template <class F> double differentiate(const F &f, const std::vector<double> &x, std::vector<double> &dx) {
    std::vector<real> ax(x.begin(), x.end());
    CppAD::Independent(ax);
    std::vector<real> y{ f(ax) };
    CppAD::ADFun<double> tape(ax, y);
    dx = tape.Reverse(1, std::vector<double>{ 1.0 });
    return CppAD::Value(y[0]);
}

} // namespace

#include "bench/peers/scalars.h" /* after what it needs */

int main(int argc, char **) { return serve_scalars(argc); }
