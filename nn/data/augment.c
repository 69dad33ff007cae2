/* augment.c: random numbers of a sample, and random shifts, rotations, reflections and noise for images. */
#include <math.h>
#include <string.h>

#include "autodiff/extend.h"
#include "nn/data.h"
#include "nn/kernels/warp.h"

double nn_random_uniform(ad_random_state *r) {
    double u = 0;
    if (r != NULL) ad_random_uniform(r, AD_F64, 1, &u);
    return u;
}

double nn_random_normal(ad_random_state *r) {
    double z = 0;
    if (r != NULL) ad_random_normal(r, AD_F64, 1, &z);
    return z;
}

typedef struct {
    double cosine, sine; /* of the angle of rotation */
    double down, right;  /* pixels */
    double noise;
    bool flip;
} motion;

/* Where each pixel [h,w] of the result comes from: the motion undone in reverse order, shift, rotation about the
   centre, reflection. */
static nn__places origins(int64_t h, int64_t w, motion m) {
    double mid_row = 0.5 * (double)(h - 1), mid_column = 0.5 * (double)(w - 1);
    double y = mid_row + m.down, z = mid_column + m.right;
    nn__places p = { { mid_row - m.cosine * y + m.sine * z, m.cosine, -m.sine },
                     { mid_column - m.sine * y - m.cosine * z, m.sine, m.cosine } };
    if (m.flip) p.column[0] = (double)(w - 1) - p.column[0], p.column[1] = -p.column[1], p.column[2] = -p.column[2];
    return p;
}

static void add_noise(ad_dtype t, int64_t n, void *x, double noise, ad_random_state *r) {
    for (int64_t i = 0; i < n; i++) ad_write_element(t, x, i, ad_read_element(t, x, i) + noise * nn_random_normal(r));
}

/* An integer from -most to most. */
static double integer_within(ad_random_state *r, double most) {
    return floor(nn_random_uniform(r) * (2 * most + 1)) - most;
}

static motion random_motion(const nn_augmentation *a, ad_random_state *r) {
    double angle = ad_option(a->angle, 0) * (2 * nn_random_uniform(r) - 1) * 0.017453292519943295; /* in radians */
    double shift = fmin(fabs((double)ad_option_int(a->shift, 0)), 1 << 30); /* more would not fit the pixels' int32_t */
    motion m = { .cosine = cos(angle), .sine = sin(angle), .noise = ad_option(a->noise, 0) };
    m.down = integer_within(r, shift);
    m.right = integer_within(r, shift);
    m.flip = a->flip && nn_random_uniform(r) < 0.5;
    return m;
}

void nn_augment(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *augmentation) {
    int64_t all = ad_shape_numel(row);
    size_t size = ad_dtype_size(t);
    if (all <= 0 || from == NULL || to == NULL) return;
    if (row.ndim < 2 || augmentation == NULL) {
        memcpy(to, from, (size_t)all * size);
        return;
    }
    motion m = random_motion(augmentation, r);
    int64_t h = row.dim[row.ndim - 2], w = row.dim[row.ndim - 1];
    nn__places p = origins(h, w, m);
    for (int64_t done = 0; done < all; done += h * w) { /* one channel [h,w] at a time */
        const void *x = (const char *)from + (size_t)done * size;
        void *y = (char *)to + (size_t)done * size;
        if (t == AD_F32) nn__image_warp_f32(h, w, &p, x, y);
        else nn__image_warp_f64(h, w, &p, x, y);
        if (m.noise > 0) add_noise(t, h * w, y, m.noise, r);
    }
}
