/* adolc.cpp: the scalar cases in ADOL-C, which records a tape of the operations and runs it backwards. */
#include <adolc/adolc.h>

#include <vector>

namespace {

using real = adouble;

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

} // namespace

#include "bench/peers/scalars.h" /* after what it needs */

int main(int argc, char **) { return serve_scalars(argc); }
