/* codipack.cpp: the scalar cases in CoDiPack, a tape by operator overloading whose expressions are templates. */
#include <codi.hpp>

#include <vector>

namespace {

using real = codi::RealReverse;

/* Returns f(x) and writes its gradient to dx. */
template <class F> double differentiate(const F &f, const std::vector<double> &x, std::vector<double> &dx) {
    auto &tape = real::getTape();
    std::vector<real> ax(x.begin(), x.end());
    tape.setActive();
    for (real &each : ax) tape.registerInput(each);
    real y = f(ax);
    tape.registerOutput(y);
    tape.setPassive();
    y.setGradient(1);
    tape.evaluate();
    for (size_t i = 0; i < x.size(); i++) dx[i] = ax[i].getGradient();
    tape.reset();
    return y.getValue();
}

} // namespace

#include "bench/peers/scalars.h" /* after what it needs */

int main(int argc, char **) { return serve_scalars(argc); }
