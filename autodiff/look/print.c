/* print.c: a Var's values as text, in NumPy's format. */
#include "autodiff/graph/node.h"

enum { EDGE = 3, WHOLE = 1000 }; /* elements shown at each end of a long axis; numel up to which all are shown */

static void repeat(char c, int n, FILE *to) {
    for (int i = 0; i < n; i++) fputc(c, to);
}

/* The number of innermost axes of which element i is the first element (or the last, for last = 1): so many brackets
   open or close there. */
static int edges(ad_shape s, int64_t i, int last) {
    int n = 0;
    for (int64_t size = 1; n < s.ndim; n++) {
        size *= s.dim[s.ndim - 1 - n];
        if ((i + last) % size != 0) break;
    }
    return n;
}

/* The first element from i on that is shown. The middle of each long axis is left out; *gap tells whether it was. */
static int64_t next_shown(ad_shape s, int64_t i, bool *gap) {
    int64_t size = 1;
    for (int a = s.ndim - 1; a >= 0; size *= s.dim[a--]) {
        int64_t at = i / size % s.dim[a];
        if (s.dim[a] <= 2 * EDGE || at < EDGE || at >= s.dim[a] - EDGE) continue;
        *gap = true;
        i += (s.dim[a] - EDGE - at) * size;
    }
    return i;
}

static void print_elements(const ad_var *x, FILE *to) {
    ad_shape s = x->layout->shape;
    int64_t n = x->layout->numel;
    for (int64_t i = 0; i < n; i++) {
        bool gap = false;
        if (n > WHOLE) i = next_shown(s, i, &gap);
        int opened = edges(s, i, 0);
        if (gap && opened) repeat(' ', s.ndim - opened, to);
        if (gap) fputs(opened ? "...," : "..., ", to);
        if (gap && opened) repeat('\n', opened, to);
        if (opened && i > 0) repeat(' ', s.ndim - opened, to);
        repeat('[', opened, to);
        fprintf(to, "%.6g", ad_at(x, i));
        int closed = edges(s, i, 1);
        repeat(']', closed, to);
        if (i + 1 < n) fputs(closed ? "," : ", ", to);
        if (i + 1 < n) repeat('\n', closed, to);
    }
}

void ad_print(const ad_var *x, FILE *to) {
    if (to == NULL) return;
    if (ad__absent(x)) {
        fputs("nil\n", to);
        return;
    }
    if (x->layout->numel == 0) fputs("[]", to);
    else print_elements(x, to);
    fprintf(to, "  %s %s\n", ad_dtype_name(x->layout->dtype), ad_shape_str(x->layout->shape).text);
}
