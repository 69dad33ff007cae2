/* numbers.h: numbers in files have a point, whatever the program's locale puts there; private to nn. */
#ifndef NN_FILE_NUMBERS_H
#define NN_FILE_NUMBERS_H

#include <locale.h>

/* Between the two, strtod and printf of this thread read and write as in the "C" locale. Short of memory the
   program's own stays. Needs _POSIX_C_SOURCE 200809L. */
typedef struct {
    locale_t plain, before;
} nn__locale;

static inline nn__locale nn__enter_plain_numbers(void) {
    nn__locale l = { .plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0) };
    if (l.plain != (locale_t)0) l.before = uselocale(l.plain);
    return l;
}

static inline void nn__leave_plain_numbers(nn__locale l) {
    if (l.plain == (locale_t)0) return;
    uselocale(l.before);
    freelocale(l.plain);
}

#endif
