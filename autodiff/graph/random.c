/* random.c: random numbers from a seed, by Philox 4x32-10, in blocks of four 32-bit words. */
#include <Random123/philox.h>
#include <math.h>

#include "autodiff/graph/node.h"

static inline philox4x32_ctr_t block_of(const ad_random_state *r, uint32_t lane) {
    philox4x32_ctr_t counter = { { (uint32_t)r->counter, (uint32_t)(r->counter >> 32), lane, 0 } };
    philox4x32_key_t key = { { (uint32_t)r->seed, (uint32_t)(r->seed >> 32) } };
    return philox4x32(counter, key);
}

static philox4x32_ctr_t next_block(ad_random_state *r) {
    philox4x32_ctr_t block = block_of(r, 0);
    r->counter++;
    return block;
}

void ad__random_lane(const ad_random_state *r, uint32_t lane, uint32_t words[4]) {
    philox4x32_ctr_t block = block_of(r, lane);
    for (int k = 0; k < 4; k++) words[k] = block.v[k];
}

void ad_seed(ad_graph *g, uint64_t seed) {
    if (g != NULL) g->random = (ad_random_state){ seed, 0 };
}

ad_random_state ad_random_get(const ad_graph *g) { return g ? g->random : (ad_random_state){ 0 }; }

void ad_random_set(ad_graph *g, ad_random_state state) {
    if (g != NULL) g->random = state;
}

void ad_random_bits(ad_graph *g, int64_t n, uint32_t *to) {
    if (g == NULL || to == NULL) return;
    for (int64_t i = 0; i < n; i += 4) {
        philox4x32_ctr_t b = next_block(&g->random);
        for (int k = 0; k < 4 && i + k < n; k++) to[i + k] = b.v[k];
    }
}

/* The top 24 or 53 bits as a multiple of 2^-24 or 2^-53 in [0, 1). */
static float unit_f32(uint32_t w) { return (float)(w >> 8) * 0x1p-24f; }
static double unit_f64(uint32_t hi, uint32_t lo) {
    return (double)(((uint64_t)hi << 32 | lo) >> 11) * 0x1p-53;
}

void ad_random_uniform(ad_random_state *r, ad_dtype t, int64_t n, void *to) {
    if (r == NULL || to == NULL) return;
    int per_block = t == AD_F32 ? 4 : 2;
    for (int64_t i = 0; i < n; i += per_block) {
        philox4x32_ctr_t b = next_block(r);
        for (int k = 0; k < per_block && i + k < n; k++)
            if (t == AD_F32) ((float *)to)[i + k] = unit_f32(b.v[k]);
            else ((double *)to)[i + k] = unit_f64(b.v[2 * k], b.v[2 * k + 1]);
    }
}

typedef struct {
    ad_random_state start;
    ad__draw_fn *draw;
    ad_dtype t;
    int per_block; /* numbers made from one block */
    char *to;
} draws;

/* A chunk is a whole number of blocks, so it starts with a new one. */
static void draw_chunk(void *context, int worker, int64_t from, int64_t to) {
    const draws *d = context;
    ad_random_state r = d->start;
    (void)worker;
    r.counter += (uint64_t)(from / d->per_block);
    d->draw(&r, d->t, to - from, d->to + (size_t)from * ad_dtype_size(d->t));
}

void ad__random_draw(ad_team *team, ad_random_state *r, ad__draw_fn *draw, ad_dtype t, int64_t n, void *to) {
    enum { CHUNK = AD__GRAIN / 8, WORK = 8 };
    draws d = { *r, draw, t, draw == ad_random_uniform && t == AD_F32 ? 4 : 2, to };
    ad_parallel(team, n, CHUNK, WORK, draw_chunk, &d);
    r->counter += (uint64_t)((n + d.per_block - 1) / d.per_block);
}

/* Box and Muller (1958): two uniform numbers give two independent normal ones. The logarithm is finite, as 1 - u is in
   (0, 1]. */
void ad_random_normal(ad_random_state *r, ad_dtype t, int64_t n, void *to) {
    if (r == NULL || to == NULL) return;
    for (int64_t i = 0; i < n; i += 2) {
        philox4x32_ctr_t b = next_block(r);
        double radius = sqrt(-2 * log(1 - unit_f64(b.v[0], b.v[1])));
        double angle = 6.283185307179586 * unit_f64(b.v[2], b.v[3]);
        double z[2] = { radius * cos(angle), radius * sin(angle) };
        for (int k = 0; k < 2 && i + k < n; k++) ad_write_element(t, to, i + k, z[k]);
    }
}
