/* checkpoints.c: lecture 18: backpropagation with less memory, by computing parts of a network twice. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { WIDTH = 64, BATCH = 128, MOST = 1024, LENGTHS = 11 };

/* What a gradient costs: layers applied, the most memory in use in bytes, and seconds; its part for the first layer. */
typedef struct {
    int64_t applied, before, peak;
    double seconds, gradient[WIDTH * WIDTH];
} cost;

/* Some layers of a deep network, one after the other. */
typedef struct {
    ad_var *const *weights;
    int64_t n;
    cost *cost;
} segment;

static ad_var *apply(int n, ad_var *const xs[], void *user) {
    (void)n;
    const segment *s = user;
    ad_var *h = xs[0];
    for (int64_t i = 0; i < s->n; i++) {
        h = ad_tanh(ad_affine(h, s->weights[i], NULL));
        int64_t used = ad_graph_stats(ad_graph_of(h)).bytes_used - s->cost->before;
        s->cost->peak = used > s->cost->peak ? used : s->cost->peak;
        s->cost->applied++;
    }
    return h;
}

/* The gradient of a network of `depth` layers in segments of `each` layers; each 0: without checkpoints. */
static void measure(const lecture *l, int64_t depth, int64_t each, cost *c) {
    ad_graph *g = lecture_graph(l);
    ad_keep_grads(g, false);
    ad_var *weights[MOST], *h = ad_randn(g, AD_F64, AD_SHAPE(BATCH, WIDTH));
    segment segments[MOST];
    for (int64_t i = 0; i < depth; i++) {
        weights[i] = ad_param(g, AD_F64, NULL, AD_SHAPE(WIDTH, WIDTH));
        nn_init_xavier_uniform(weights[i], 1);
    }
    *c = (cost){ .before = ad_graph_stats(g).bytes_used };
    double start = lecture_seconds();
    for (int64_t i = 0, k = 0; i < depth; i += segments[k++].n) {
        int64_t n = each == 0 || depth - i < each ? depth - i : each;
        segments[k] = (segment){ weights + i, n, c };
        h = each == 0 ? apply(1, &h, &segments[k]) : ad_checkpoint(apply, &segments[k], 1, &h);
    }
    ad_backward(ad_mean(ad_square(h)));
    c->seconds = lecture_seconds() - start;
    for (int i = 0; i < WIDTH * WIDTH; i++) c->gradient[i] = ad_grad_at(weights[0], i);
    ad_graph_free(g);
}

/* The same with the least time of three tries. */
static void measure_best(const lecture *l, int64_t depth, int64_t each, cost *c) {
    double least = INFINITY;
    for (int i = 0; i < 3; i++) {
        measure(l, depth, each, c);
        least = fmin(least, c->seconds);
    }
    c->seconds = least;
}

/* What is found for each length of the segments. */
typedef struct {
    int n, differ, least; /* lengths; those whose gradient differs; the place of the least memory */
    double length[LENGTHS], megabytes[LENGTHS], ms[LENGTHS], times[LENGTHS];
} table;

static void try_lengths(const lecture *l, int64_t depth, const cost *all, table *t) {
    static cost c;
    for (int64_t each = 1; each <= depth; each *= 2, t->n++) {
        measure_best(l, depth, each, &c);
        t->length[t->n] = (double)each, t->ms[t->n] = 1e3 * c.seconds;
        t->megabytes[t->n] = (double)c.peak / 1e6;
        t->times[t->n] = (double)c.applied / (double)all->applied;
        t->differ += memcmp(c.gradient, all->gradient, sizeof c.gradient) != 0;
        if (t->megabytes[t->n] < t->megabytes[t->least]) t->least = t->n;
        printf("%18lld  %9.2f  %14lld  %6.1f\n", (long long)each, t->megabytes[t->n], (long long)c.applied,
               t->ms[t->n]);
    }
}

static void plot(lecture *l, const cost *all, const table *t) {
    const double megabytes[] = { (double)all->peak / 1e6, (double)all->peak / 1e6 };
    const double ms[] = { 1e3 * all->seconds, 1e3 * all->seconds }, ends[] = { 1, t->length[t->n - 1] };
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "Memory", .x = "layers in a segment", .y = "most memory in use (MB)",
                                .logx = true, .logy = true });
    plot_lines(l, "with checkpoints", t->n, t->length, t->megabytes);
    plot_dashed(l, "without", 2, ends, megabytes);
    plot_panel(l, (panel_opts){ .title = "Time", .x = "layers in a segment", .y = "time of the gradient (ms)",
                                .logx = true, .ylo = 0, .yhi = 2.5e3 * all->seconds });
    plot_lines(l, "with checkpoints", t->n, t->length, t->ms);
    plot_dashed(l, "without", 2, ends, ms);
}

int main(int argc, char **argv) {
    int64_t depth = 256;
    lecture *l = lecture_begin(
        argc, argv,
        "The gradient of a deep network takes the memory of all its layers. With checkpoints, only what goes from one\n"
        "segment to the next is kept, and a segment is computed a second time when the gradient reaches it.",
        "--depth 8",
        (demo_option[]){ { "depth", "layers of the network", DEMO_WHOLE, &depth, 2, MOST }, { 0 } });
    static cost all;
    table t = { 0 };
    measure_best(l, depth, 0, &all);
    printf("layers per segment  MB in use  layers applied      ms\n%18s  %9.2f  %14lld  %6.1f\n", "no checkpoints",
           (double)all.peak / 1e6, (long long)all.applied, 1e3 * all.seconds);
    try_lengths(l, depth, &all, &t);
    double before = (double)all.peak / 1e6, least = t.megabytes[t.least];
    lecture_claim(l, t.differ == 0, "%d of %d gradients with checkpoints differ from the one without, to the last bit",
                  t.differ, t.n);
    lecture_claim(l, least < before / 8, "segments of %.0f of %lld layers take %.1f MB in place of %.1f",
                  t.length[t.least], (long long)depth, least, before);
    lecture_claim(l, t.times[t.least] == 2, "for this, %.0f times as many layers are computed", t.times[t.least]);
    plot(l, &all, &t);
    return lecture_end(l, NULL);
}
