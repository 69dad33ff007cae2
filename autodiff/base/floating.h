/* floating.h: refuses compiler options that change what floating-point numbers mean; the Makefile includes it in every
   file of the library, and so do the headers below everything else; private to the library. */
#ifndef AUTODIFF_BASE_FLOATING_H
#define AUTODIFF_BASE_FLOATING_H

/* NaN and infinity are values here: they mark missing results, masked scores and gradients that overflow. Sums carry
   their rounding errors along, which an optimiser that reorders additions removes. */
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "autodiff needs NaN and infinity: build it without -ffast-math, -Ofast and -ffinite-math-only"
#elif defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)
#error "autodiff needs sums in order: build it without -funsafe-math-optimizations and the options that it implies"
#endif

#endif
