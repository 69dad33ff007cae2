/* glyphs.h: images of digits that demos draw themselves: 8 x 8 pixels, at random places, with noise. */
#ifndef DEMOS_GLYPHS_H
#define DEMOS_GLYPHS_H

#include "autodiff/extend.h"
#include "nn/nn.h"

/* Digits of 5 x 7 pixels, a row in each of the lower five bits. */
static const unsigned char glyphs[10][7] = {
    { 14, 17, 19, 21, 25, 17, 14 }, { 4, 12, 4, 4, 4, 4, 14 },    { 14, 17, 1, 2, 4, 8, 31 },
    { 31, 2, 4, 2, 1, 17, 14 },     { 2, 6, 10, 18, 31, 2, 2 },   { 31, 16, 30, 1, 1, 17, 14 },
    { 6, 8, 16, 30, 17, 17, 14 },   { 31, 1, 2, 4, 8, 8, 8 },     { 14, 17, 17, 14, 17, 17, 14 },
    { 14, 17, 17, 15, 1, 2, 12 },
};

enum { GLYPH_SIDE = 8 };

static inline double glyph_random(ad_random_state *r, double lo, double hi) {
    double u;
    ad_random_uniform(r, AD_F64, 1, &u);
    return lo + (hi - lo) * u;
}

/* An image: the digit at a random place, pixels from 0.5 to 1, of which a share is missing, on a ground from 0 to
   noise. */
static inline void glyph_draw(ad_random_state *r, int digit, double noise, double missing, float *image) {
    int left = (int)glyph_random(r, 0, 4), top = (int)glyph_random(r, 0, 2);
    for (int i = 0; i < GLYPH_SIDE * GLYPH_SIDE; i++) image[i] = (float)glyph_random(r, 0, noise);
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 5; x++)
            if (glyphs[digit][y] >> (4 - x) & 1 && (missing == 0 || glyph_random(r, 0, 1) >= missing))
                image[(y + top) * GLYPH_SIDE + x + left] = (float)glyph_random(r, 0.5, 1);
}

/* n images [n,64] of the first `digits` digits in turn, and their classes [n]. */
static inline nn_dataset glyph_set(ad_graph *g, int64_t n, int digits, double noise, double missing) {
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(n, GLYPH_SIDE * GLYPH_SIDE)), *y = ad_zeros(g, AD_F32, AD_SHAPE(n));
    float *images = ad_data_mut(x), *classes = ad_data_mut(y);
    ad_random_state r = ad_random_get(g);
    for (int64_t i = 0; i < n && ad_ok(g); i++) {
        classes[i] = (float)(i % digits);
        glyph_draw(&r, (int)(i % digits), noise, missing, images + i * GLYPH_SIDE * GLYPH_SIDE);
    }
    ad_random_set(g, r);
    return (nn_dataset){ x, y };
}

#endif
