/* adept.cpp: the scalar cases in Adept, a tape by operator overloading whose expressions are templates. Its
   create_adept_source_header has made adept_source.h. */
#include <adept_source.h>

#include <vector>

namespace {

using real = adept::adouble;
adept::Stack tape;

/* Returns f(x) and writes its gradient to dx. */
template <class F> double differentiate(const F &f, const std::vector<double> &x, std::vector<double> &dx) {
    std::vector<real> ax(x.size());
    for (size_t i = 0; i < x.size(); i++) ax[i].set_value(x[i]);
    tape.new_recording();
    real y = f(ax);
    y.set_gradient(1.0);
    tape.reverse();
    for (size_t i = 0; i < x.size(); i++) dx[i] = ax[i].get_gradient();
    return y.value();
}

} // namespace

#include "bench/peers/scalars.h" /* after what it needs */

int main(int argc, char **) { return serve_scalars(argc); }
