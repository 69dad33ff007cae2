/* each_dtype.h: includes the file KERNELS twice: T is float and K(f) is f_f32; then double and f_f64.

   No include guard: a file of kernels defines KERNELS and includes this as often as it needs. */
#define AD__PASTE_(a, b) a##b
#define AD__PASTE(a, b) AD__PASTE_(a, b)
#define K(name) AD__PASTE(name, SUFFIX)

#define T float
#define SUFFIX _f32
#include KERNELS
#undef T
#undef SUFFIX

#define T double
#define SUFFIX _f64
#include KERNELS
#undef T
#undef SUFFIX

#undef K
#undef AD__PASTE
#undef AD__PASTE_
#undef KERNELS
