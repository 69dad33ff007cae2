/* winograd.c: convolutions by kernels of 3 x 3 with 16 multiplications for 2 x 2 results; see winograd.h. */
#include "ops/kernels/net/winograd.h"

#include "ops/kernels/base/level.h"
#include "ops/kernels/linalg/gemm.h"

#include <math.h>
#include <string.h>

/* The elements of a square of 4 x 4; the numbers of a vector, and of a line of the cache. A product has up to COLUMNS
   columns if a row of tiles has fewer, and steps of FILLED. */
enum { POINTS = 16, LANES = 8, LINE = 16, COLUMNS = 64, FILLED = 32 };

/* ---- the matrices, applied to both sides of squares of planes --------------------------------------------------- */

static const float image_matrix[] = { 1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1 }; /* B^T [4,4] */
static const float weight_matrix[] = { 1, 0, 0, .5F, .5F, .5F, .5F, -.5F, .5F, 0, 0, 1 };  /* G [4,3] */
static const float weight_turned[] = { 1, .5F, .5F, 0, 0, .5F, -.5F, 0, 0, .5F, .5F, 1 };  /* G^T */
static const float result_matrix[] = { 1, 1, 1, 0, 0, 1, -1, -1 };                         /* A^T [2,4] */
static const float gradient_matrix[] = { 1, 0, 1, 1, 1, -1, 0, -1 };                       /* A */

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

/* y += k x. The matrices are constants where this is inlined, so that their zeros and ones cost nothing. */
AD__INLINED void add_times(float k, const vector *x, bool *begun, vector *y) {
    if (k == 0) return;
    vector term = k == 1 ? *x : k == -1 ? -*x : k * *x;
    *y = *begun ? *y + term : term;
    *begun = true;
}

/* y = (m x)^T for m [outs,ins] and x [ins,columns], whose elements are vectors. */
AD__INLINED void one_side(int outs, int ins, int columns, const float *m, vector x[4][4], vector y[4][4]) {
    AD__UNROLL
    for (int i = 0; i < outs; i++)
        AD__UNROLL
        for (int j = 0; j < columns; j++) {
            bool begun = false;
            AD__UNROLL
            for (int p = 0; p < ins; p++) add_times(m[i * ins + p], &x[p][j], &begun, &y[j][i]);
        }
}

/* Applies m [outs,ins] to both sides, m x m^T, for squares x of ins x ins planes of n numbers. Its results are
   outs x outs planes, a step apart. */
AD__INLINED void both_sides(int outs, int ins, const float *m, const float *in[4][4], int64_t n, float *out,
                            int64_t step) {
    for (int64_t k = 0; k < n; k += LANES) {
        vector x[4][4], half[4][4], y[4][4];
        AD__UNROLL
        for (int i = 0; i < ins; i++)
            AD__UNROLL
            for (int j = 0; j < ins; j++) memcpy(&x[i][j], in[i][j] + k, sizeof(vector));
        one_side(outs, ins, ins, m, x, half);
        one_side(outs, ins, outs, m, half, y);
        AD__UNROLL
        for (int i = 0; i < outs; i++)
            AD__UNROLL
            for (int j = 0; j < outs; j++) memcpy(out + (i * outs + j) * step + k, &y[i][j], sizeof(vector));
    }
}

/* ---- rows of images as planes ------------------------------------------------------------------------------------

   An image is cut into four planes: its even and odd rows, of these the even and odd columns. So each pixel of all
   tiles is a plane with a shift, and loops over tiles read consecutive numbers. A row of a plane ends with a column
   beside the tiles, which is 0 for gradients. */

typedef struct {
    const ad__window_of *w;
    int64_t o;
    int64_t stride, size; /* numbers in a row of a plane, and in a plane */
    int64_t all, most;    /* rows of tiles, and how many a product has at most */
    int64_t t, rows, n;   /* the product's first row and number of rows; its columns, filled up */
} grid;

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

static int64_t columns_of(const grid *g, int64_t rows) { return round_up(rows * g->stride, FILLED); }
static grid grid_of(const ad__window_of *w, int64_t o) {
    grid g = { .w = w, .o = o, .stride = (w->out[1] + 1) / 2 + 1, .all = (w->out[0] + 1) / 2 };
    int64_t most = g.stride < COLUMNS ? COLUMNS / g.stride : 1;
    g.most = most < g.all ? most : g.all;
    g.n = columns_of(&g, g.most);
    g.size = round_up(g.n + 2 * g.stride + LANES, LANES);
    return g;
}

/* Goes on to the next product. */
static bool next(grid *g) {
    g->t += g->rows;
    g->rows = g->all - g->t < g->most ? g->all - g->t : g->most;
    g->n = columns_of(g, g->rows);
    return g->rows > 0;
}

/* From a matrix of a point to the next. Matrices that lie apart by a power of 2 would share lines of the cache. */
static int64_t apart(const grid *g, int64_t channels) { return channels * columns_of(g, g->most) + LINE; }

static int64_t line_of(const grid *g) { return 2 * round_up(g->stride, LANES); }
int64_t ad__winograd_work(const ad__window_of *w, int64_t o) {
    grid g = grid_of(w, o);
    return 2 * line_of(&g) + 4 * g.size + POINTS * (apart(&g, w->c) + apart(&g, o));
}

/* Vectors of the even and odd elements of a and b one behind the other, and the transpose. */
#ifdef __clang__
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int places __attribute__((vector_size(LANES * sizeof(int))));
#define PICK(a, b, ...) __builtin_shuffle(a, b, (places){ __VA_ARGS__ })
#endif
AD__INLINED void take_apart(const float *from, float *even, float *odd) {
    vector a, b;
    memcpy(&a, from, sizeof a), memcpy(&b, from + LANES, sizeof b);
    vector e = PICK(a, b, 0, 2, 4, 6, 8, 10, 12, 14), o = PICK(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
    memcpy(even, &e, sizeof e), memcpy(odd, &o, sizeof o);
}
AD__INLINED void put_together(const float *even, const float *odd, float *to) {
    vector e, o;
    memcpy(&e, even, sizeof e), memcpy(&o, odd, sizeof o);
    vector a = PICK(e, o, 0, 8, 1, 9, 2, 10, 3, 11), b = PICK(e, o, 4, 12, 5, 13, 6, 14, 7, 15);
    memcpy(to, &a, sizeof a), memcpy(to + LANES, &b, sizeof b);
}

/* Rows `from` to from + count - 1 of an image [h,w], which has pad rows and columns of zeros before it, as planes. The
   sides of line are zeros, and so are all of nothing. */
AD__WITH_AVX2 static void split(const grid *g, const int64_t size[2], const int64_t pad[2], const float *image,
                                int64_t from, int64_t count, float *line, const float *nothing, float *to) {
    for (int64_t r = 0; r < count; r++) {
        float *even = to + (r & 1) * 2 * g->size + r / 2 * g->stride;
        int64_t row = from + r - pad[0];
        bool inside = row >= 0 && row < size[0];
        if (inside) ad__copy_row((size_t)size[1] * sizeof(float), image + row * size[1], line + pad[1]);
        for (int64_t j = 0; j < g->stride; j += LANES)
            take_apart((inside ? line : nothing) + 2 * j, even + j, even + g->size + j);
    }
}

/* The transpose: writes planes to rows `from` to from + count - 1 of y [h,w], or adds them. */
AD__INLINED void join(const grid *g, const float *from_planes, int64_t from, int64_t count, bool fresh, float *line,
                      float *y) {
    int64_t width = g->w->out[1];
    for (int64_t r = 0; r < count; r++) {
        const float *even = from_planes + (r & 1) * 2 * g->size + r / 2 * g->stride;
        float *to = y + (from + r) * width;
        for (int64_t j = 0; j < g->stride; j += LANES) put_together(even + j, even + g->size + j, line + 2 * j);
        if (fresh) ad__copy_row((size_t)width * sizeof(float), line, to);
        else
            for (int64_t j = 0; j < width; j++) to[j] += line[j];
    }
}

/* ---- transforms of a product's tiles ---------------------------------------------------------------------------- */

/* work begins with a line of zeros, another line and four planes. */
typedef struct {
    float *nothing, *line, *planes, *rest;
} space;
static space space_of(const grid *g, float *work) {
    float *line = work + line_of(g), *in = line + line_of(g);
    memset(work, 0, (size_t)(2 * line_of(g) + 4 * g->size) * sizeof(float));
    return (space){ work, line, in, in + 4 * g->size };
}

/* Pixel (i,j) of all tiles. */
AD__INLINED const float *pixel(const grid *g, const float *in, int i, int j) {
    return in + ((i & 1) * 2 + (j & 1)) * g->size + i / 2 * g->stride + j / 2;
}

/* Squares of ins x ins pixels of each of the channels [h,w] -> out [16,channels,n]. */
AD__INLINED void into_points(const grid *g, int ins, const float *m, const int64_t size[2], const int64_t pad[2],
                             int64_t channels, const float *image, space s, float *out) {
    const float *in[4][4];
    for (int i = 0; i < ins; i++)
        for (int j = 0; j < ins; j++) in[i][j] = pixel(g, s.planes, i, j);
    memset(s.line, 0, (size_t)line_of(g) * sizeof(float));
    for (int64_t c = 0; c < channels; c++) {
        split(g, size, pad, image + c * size[0] * size[1], 2 * g->t, 2 * g->rows + ins - 2, s.line, s.nothing,
              s.planes);
        both_sides(4, ins, m, in, g->n, out + c * g->n, apart(g, channels));
    }
}

AD__WITH_AVX2 static void transform_image(const grid *g, const float *image, space s, float *out) {
    into_points(g, 4, image_matrix, g->w->in, g->w->padding, g->w->c, image, s, out);
}
AD__WITH_AVX2 static void transform_gradient(const grid *g, const float *gradient, space s, float *out) {
    into_points(g, 2, gradient_matrix, g->w->out, (int64_t[]){ 0, 0 }, g->o, gradient, s, out);
}
AD__WITH_AVX2 static void write_results(const grid *g, const float *m, bool fresh, space s, float *y) {
    int64_t left = g->w->out[0] - 2 * g->t, count = left < 2 * g->rows ? left : 2 * g->rows;
    for (int64_t o = 0; o < g->o; o++, m += g->n, y += g->w->out[0] * g->w->out[1]) {
        const float *in[4][4];
        for (int p = 0; p < POINTS; p++) in[p / 4][p % 4] = m + p * apart(g, g->o);
        both_sides(2, 4, result_matrix, in, g->n, s.planes, g->size);
        join(g, s.planes, 2 * g->t, count, fresh, s.line, y);
    }
}

/* ---- weights: squares of 3 x 3, LANES of them at a time --------------------------------------------------------- */

AD__WITH_AVX2 void ad__winograd_weights(int64_t o, int64_t c, bool turned, const float *w, float *u) {
    float block[9][LANES];
    const float *in[4][4];
    for (int i = 0; i < 9; i++) in[i / 3][i % 3] = block[i];
    for (int64_t i = 0; i < o; i++)
        for (int64_t j = 0; j < c; j += LANES) {
            for (int64_t q = 0; q < LANES; q++)
                for (int k = 0; k < 9; k++)
                    block[k][q] = turned ? w[((j + q) * o + i) * 9 + 8 - k] : w[(i * c + j + q) * 9 + k];
            both_sides(4, 3, weight_matrix, in, LANES, u + i * c + j, o * c);
        }
}

AD__WITH_AVX2 void ad__winograd_into_weights(int64_t o, int64_t c, const float *sums, float *w) {
    float block[9][LANES];
    for (int64_t at = 0; at < o * c; at += LANES) {
        const float *in[4][4];
        for (int p = 0; p < POINTS; p++) in[p / 4][p % 4] = sums + p * o * c + at;
        both_sides(3, 4, weight_turned, in, LANES, block[0], LANES);
        for (int64_t q = 0; q < LANES; q++)
            for (int k = 0; k < 9; k++) w[(at + q) * 9 + k] += block[k][q];
    }
}

/* ---- where squares are of use ----------------------------------------------------------------------------------- */

bool ad__winograd_suits(const ad__window_of *w, int64_t o) {
    enum { CHANNELS = 32, PAIRS = 1 << 18, LONGEST = 1024 }; /* the squares of weights take 64 bytes for each pair */
    if (AD__HIGHEST_LEVEL > 0 && ad__level() == 0) return false;
    if (w->c < CHANNELS || o < CHANNELS || w->c % LANES != 0 || o % LANES != 0 || w->c > PAIRS / o) return false;
    for (int i = 0; i < 2; i++)
        if (w->kernel[i] != 3 || w->stride[i] != 1 || w->dilation[i] != 1 || w->padding[i] > 2 || w->in[i] > LONGEST)
            return false;
    grid g = grid_of(w, o);
    int64_t columns = 0;
    while (next(&g)) columns += g.n;
    return 4 * POINTS * columns <= 3 * 9 * w->out[0] * w->out[1];
}

AD__WITH_AVX2 bool ad__winograd_takes(int64_t n, const float *x) {
    const float most = 1e12F; /* the sums of a million tiles of squares remain finite */
    int large = 0;
    for (int64_t i = 0; i < n; i++) large |= !(fabsf(x[i]) < most);
    return large == 0;
}

/* ---- the products ----------------------------------------------------------------------------------------------- */

void ad__winograd_results(const ad__window_of *w, int64_t o, const float *u, const float *image, bool fresh, float *y,
                          float *work) {
    grid g = grid_of(w, o);
    space s = space_of(&g, work);
    int64_t v_step = apart(&g, w->c), m_step = apart(&g, o), u_step = o * w->c;
    float *v = s.rest, *m = v + POINTS * v_step;
    while (next(&g)) {
        transform_image(&g, image, s, v);
        for (int p = 0; p < POINTS; p++)
            ad__gemm_wide_f32(false, false, o, g.n, w->c, u + p * u_step, v + p * v_step, 0, m + p * m_step);
        write_results(&g, m, fresh, s, y);
    }
}

void ad__winograd_sums(const ad__window_of *w, int64_t o, const float *image, const float *gradient, float *sums,
                       float *work) {
    grid g = grid_of(w, o);
    space s = space_of(&g, work);
    int64_t v_step = apart(&g, w->c), m_step = apart(&g, o), u_step = o * w->c;
    float *v = s.rest, *m = v + POINTS * v_step;
    while (next(&g)) {
        transform_image(&g, image, s, v);
        memset(s.planes, 0, (size_t)(4 * g.size) * sizeof(float));
        transform_gradient(&g, gradient, s, m);
        for (int p = 0; p < POINTS; p++)
            ad__gemm_wide_f32(false, true, o, w->c, g.n, m + p * m_step, v + p * v_step, 1, sums + p * u_step);
    }
}
