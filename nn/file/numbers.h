/* numbers.h: text files have decimal points, whatever the locale of the program; private to nn. */
#ifndef NN_FILE_NUMBERS_H
#define NN_FILE_NUMBERS_H

#include <locale.h>

/* Between enter and leave, strtod and printf of this thread use the "C" locale for numbers. Where memory is short, the
   program's locale stays in use. Needs _POSIX_C_SOURCE 200809L. */
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
