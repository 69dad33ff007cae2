/* augment.c: random numbers of a minibatch's own, and images moved, turned, mirrored and blurred by noise. */
#include <Random123/philox.h>
#include <math.h>
#include <string.h>

#include "autodiff/node.h"
#include "nn/nn.h"

static ad__random next(nn_random *r) { return (ad__random){ r->seed, r->counter++ }; }

double nn_random_uniform(nn_random *r) {
    double u;
    ad__random block = next(r);
    ad__random_uniform(&block, AD_F64, 1, &u);
    return u;
}

double nn_random_normal(nn_random *r) {
    double z;
    ad__random block = next(r);
    ad__random_normal(&block, AD_F64, 1, &z);
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

/* The value at a place between pixels, from the four around it; 0 outside. */
static double at(ad_dtype t, const void *x, int64_t h, int64_t w, double row, double column) {
    double r0 = floor(row), c0 = floor(column), v = 0;
    for (int k = 0; k < 4; k++) {
        double r = r0 + k / 2, c = c0 + k % 2;
        double share = (1 - fabs(row - r)) * (1 - fabs(column - c));
        if (share > 0 && r >= 0 && r < (double)h && c >= 0 && c < (double)w)
            v += share * get(t, x, (int64_t)r * w + (int64_t)c);
    }
    return v;
}

/* One channel [h,w]: each pixel is looked up where it came from. */
static void move(ad_dtype t, int64_t h, int64_t w, const void *from, void *to, motion m, nn_random *r) {
    double mid_row = 0.5 * (double)(h - 1), mid_column = 0.5 * (double)(w - 1);
    for (int64_t i = 0; i < h; i++)
        for (int64_t j = 0; j < w; j++) {
            double y = (double)i - mid_row - m.down, z = (double)j - mid_column - m.right;
            double row = m.cosine * y - m.sine * z + mid_row, column = m.sine * y + m.cosine * z + mid_column;
            double v = at(t, from, h, w, row, m.flip ? (double)(w - 1) - column : column);
            put(t, to, i * w + j, m.noise > 0 ? v + m.noise * nn_random_normal(r) : v);
        }
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
