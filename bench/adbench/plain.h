/* plain.h: the number type of a plain C objective: included before each of its two forms, T double for the values and
   T double complex for the complex step (Squire and Trapp 1998): with f real, f'(x) = Im f(x + ih) / h to the last
   digits for a tiny h. */
#undef T
#undef K
#undef REAL
#ifdef PLAIN_COMPLEX
#define T double complex
#define K(name) name##_complex
#define REAL(x) creal(x)
#else
#define T double
#define K(name) name##_plain
#define REAL(x) (x)
#endif
