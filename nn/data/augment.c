/* augment.c: random numbers of a minibatch's own, and images moved, turned, mirrored and blurred by noise. */
#include <Random123/philox.h>
#include <math.h>
#include <string.h>

#include "autodiff/graph/node.h"
#include "nn/nn.h"
#include "nn/kernels/warp.h"

static ad_random_state next(nn_random *r) { return (ad_random_state){ r->seed, r->counter++ }; }

double nn_random_uniform(nn_random *r) {
    double u;
    ad_random_state block = next(r);
    ad_random_uniform(&block, AD_F64, 1, &u);
    return u;
}

double nn_random_normal(nn_random *r) {
    double z;
    ad_random_state block = next(r);
    ad_random_normal(&block, AD_F64, 1, &z);
    return z;
}

static double get(ad_dtype t, const void *x, int64_t i) {
    return t == AD_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}
static void put(ad_dtype t, void *x, int64_t i, double v) {
    if (t == AD_F32) ((float *)x)[i] = (float)v;
    else ((double *)x)[i] = v;
}

typedef struct {
    double cosine, sine, down, right, noise;
    bool flip;
} motion;

/* Each pixel is looked up where it came from: moved back, turned back around the middle, mirrored back. */
static nn__places origins(int64_t h, int64_t w, motion m) {
    double mid_row = 0.5 * (double)(h - 1), mid_column = 0.5 * (double)(w - 1);
    double y = mid_row + m.down, z = mid_column + m.right;
    nn__places p = { { mid_row - m.cosine * y + m.sine * z, m.cosine, -m.sine },
                     { mid_column - m.sine * y - m.cosine * z, m.sine, m.cosine } };
    if (m.flip) p.column[0] = (double)(w - 1) - p.column[0], p.column[1] = -p.column[1], p.column[2] = -p.column[2];
    return p;
}

/* One channel [h,w]. */
static void move(ad_dtype t, int64_t h, int64_t w, const void *from, void *to, motion m, nn_random *r) {
    nn__places p = origins(h, w, m);
    if (t == AD_F32) nn__image_warp_f32(h, w, &p, from, to);
    else nn__image_warp_f64(h, w, &p, from, to);
    for (int64_t i = 0; i < h * w && m.noise > 0; i++) put(t, to, i, get(t, to, i) + m.noise * nn_random_normal(r));
}

static double whole_between(nn_random *r, int most) { return floor(nn_random_uniform(r) * (2 * most + 1)) - most; }

void nn_augment(ad_dtype t, ad_shape row, const void *from, void *to, nn_random *r, void *augmentation) {
    const nn_augmentation *a = augmentation;
    size_t size = ad_dtype_size(t);
    if (row.ndim < 2) {
        memcpy(to, from, (size_t)ad_shape_numel(row) * size);
        return;
    }
    double angle = a->angle * (2 * nn_random_uniform(r) - 1) * 0.017453292519943295;
    motion m = { .cosine = cos(angle), .sine = sin(angle), .noise = a->noise };
    m.down = whole_between(r, a->shift);
    m.right = whole_between(r, a->shift);
    m.flip = a->flip && nn_random_uniform(r) < 0.5;
    int64_t h = row.dim[row.ndim - 2], w = row.dim[row.ndim - 1], all = ad_shape_numel(row);
    for (int64_t done = 0; done < all; done += h * w)
        move(t, h, w, (const char *)from + (size_t)done * size, (char *)to + (size_t)done * size, m, r);
}
