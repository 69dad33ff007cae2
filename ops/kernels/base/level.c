/* level.c: detects the widest vector instructions that this processor supports. */
#include "ops/kernels/base/level.h"

int ad__level(void) {
#ifdef AD__LEVELS
    return __builtin_cpu_supports("x86-64-v4") ? 2 : __builtin_cpu_supports("x86-64-v3") ? 1 : 0;
#else
    return AD__HIGHEST_LEVEL;
#endif
}
