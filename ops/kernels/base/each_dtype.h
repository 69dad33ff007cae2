/* each_dtype.h: includes the file KERNELS for float, where K(f) is f_f32, and for double, where K(f) is f_f64.

   T is the element type. There is no include guard: a file defines KERNELS and includes this as often as needed. */
#define AD__PASTE_(a, b) a##b
#define AD__PASTE(a, b) AD__PASTE_(a, b)
#define K(name) AD__PASTE(name, SUFFIX)

#define T float
#define SUFFIX _f32
#define AD__K_CLONES AD__CLONES
#include KERNELS
#undef T
#undef SUFFIX
#undef AD__K_CLONES

#define T double
#define SUFFIX _f64
#define AD__K_CLONES AD__NARROW_CLONES
#include KERNELS
#undef T
#undef SUFFIX
#undef AD__K_CLONES

#undef K
#undef AD__PASTE
#undef AD__PASTE_
#undef KERNELS
