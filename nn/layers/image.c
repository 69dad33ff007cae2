/* image.c: layers that resize images and rearrange pixels and channels. */
#include <math.h>

#include "autodiff/extend.h"
#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

/* ---- functions of x and one number -------------------------------------------------------------------------- */

typedef struct {
    ad_var *(*f)(ad_var *x, int64_t n);
    int64_t n;
} by_number;

static ad_var *number_forward(nn_module *m, ad_var *x) {
    const by_number *b = nn_self(m);
    return b->f(x, b->n);
}

static nn_module *number_new(ad_graph *g, const char *kind, const char *what, by_number b) {
    if (!nn__is_size(g, kind, what, b.n)) return NULL;
    nn_module *m = nn_module_new(g, kind, number_forward, sizeof b);
    if (m != NULL) *(by_number *)nn_self(m) = b;
    return m;
}

nn_module *nn_pixel_shuffle(ad_graph *g, int64_t r) {
    return number_new(g, "pixel_shuffle", "r", (by_number){ ad_pixel_shuffle, r });
}
nn_module *nn_pixel_unshuffle(ad_graph *g, int64_t r) {
    return number_new(g, "pixel_unshuffle", "r", (by_number){ ad_pixel_unshuffle, r });
}
nn_module *nn_channel_shuffle(ad_graph *g, int64_t groups) {
    return number_new(g, "channel_shuffle", "groups", (by_number){ ad_channel_shuffle, groups });
}

/* ---- upsample ------------------------------------------------------------------------------------------------- */

static ad_var *upsample_forward(nn_module *m, ad_var *x) {
    const nn_upsample_opts *o = nn_self(m);
    ad_shape s = ad_shape_of(x), size = o->size;
    if (size.ndim == 0 && s.ndim > 2) {
        size.ndim = s.ndim - 2;
        for (int i = 0; i < size.ndim; i++) {
            double to = floor((double)s.dim[2 + i] * o->scale);
            size.dim[i] = to >= 1 && to <= 0x1p31 ? (int64_t)to : 0;
        }
    }
    return ad_interpolate(x, size, o->mode, o->align_corners);
}

nn_module *nn_upsample(ad_graph *g, nn_upsample_opts o) {
    if (g != NULL && o.size.ndim == 0 && !(o.scale > 0)) {
        ad_fail(g, AD_EVALUE, "upsample: scale %g: give a size, or a scale above 0", o.scale);
        return NULL;
    }
    nn_module *m = nn_module_new(g, "upsample", upsample_forward, sizeof o);
    if (m != NULL) *(nn_upsample_opts *)nn_self(m) = o;
    return m;
}

/* ---- windows --------------------------------------------------------------------------------------------------- */

typedef struct {
    ad_window window;
    int64_t height, width; /* for fold */
} windows;

static ad_var *unfold_forward(nn_module *m, ad_var *x) { return ad_im2col(x, ((const windows *)nn_self(m))->window); }
static ad_var *fold_forward(nn_module *m, ad_var *x) {
    const windows *w = nn_self(m);
    return ad_col2im(x, w->height, w->width, w->window);
}

static nn_module *windows_new(ad_graph *g, const char *kind, nn_forward_fn *forward, windows w) {
    for (int i = 0; i < 2; i++)
        if (!nn__is_size(g, kind, "kernel", w.window.kernel[i])) return NULL;
    nn_module *m = nn_module_new(g, kind, forward, sizeof w);
    if (m != NULL) *(windows *)nn_self(m) = w;
    return m;
}

nn_module *nn_unfold(ad_graph *g, ad_window window) {
    return windows_new(g, "unfold", unfold_forward, (windows){ .window = window });
}
nn_module *nn_fold(ad_graph *g, int64_t height, int64_t width, ad_window window) {
    return windows_new(g, "fold", fold_forward, (windows){ window, height, width });
}

/* ---- local_response_norm ---------------------------------------------------------------------------------------- */

typedef struct {
    int64_t size;
    double alpha, beta, k;
} response_norm;

static ad_var *response_forward(nn_module *m, ad_var *x) {
    const response_norm *r = nn_self(m);
    return ad_local_response_norm(x, r->size, r->alpha, r->beta, r->k);
}

nn_module *nn_local_response_norm(ad_graph *g, int64_t size, double alpha, double beta, double k) {
    if (!nn__is_size(g, "local_response_norm", "size", size)) return NULL;
    nn_module *m = nn_module_new(g, "local_response_norm", response_forward, sizeof(response_norm));
    if (m != NULL) *(response_norm *)nn_self(m) = (response_norm){ size, alpha, beta, k };
    return m;
}
