/* plain.h: the number type T of an objective in plain C, included before each of its two forms. T is double for values
   and double complex for derivatives by the complex step (Squire and Trapp 1998): for a real f and a tiny h,
   f'(x) = Im f(x + ih) / h with all digits right. */
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
