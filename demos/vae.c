/* vae.c: a variational autoencoder of images of digits: its bound on the likelihood, reconstructions and new digits. */
#include "demos/demo.h"
#include "demos/mnist.h"
#include "nn/nn.h"

enum { SIDE = 8, SHOWN = 8, COLUMNS = 144 };

/* ---- images ----------------------------------------------------------------------------------------------- */

/* Five columns of a digit in each row, the left one is the highest bit. */
static const unsigned char font[10][7] = {
    { 14, 17, 17, 17, 17, 17, 14 }, { 4, 12, 4, 4, 4, 4, 14 },  { 14, 17, 1, 2, 4, 8, 31 },
    { 14, 17, 1, 6, 1, 17, 14 },    { 2, 6, 10, 18, 31, 2, 2 }, { 31, 16, 30, 1, 1, 17, 14 },
    { 6, 8, 16, 30, 17, 17, 14 },   { 31, 1, 2, 4, 8, 8, 8 },   { 14, 17, 17, 14, 17, 17, 14 },
    { 14, 17, 17, 15, 1, 2, 12 },
};

/* The digits in turn, each with a slant, a place and ink of its own, as images of brightness 0 .. 1: [n, 8, 8]. */
static ad_var *make_digits(ad_graph *g, int64_t n) {
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(n, SIDE, SIDE)), *random = ad_rand(g, AD_F32, AD_SHAPE(n, 4));
    float *to = ad_data_mut(x);
    const float *u = ad_data(random);
    for (int64_t i = 0; i < n && ad_ok(g); i++, to += SIDE * SIDE, u += 4) {
        int left = 1 + (u[0] < 0.5f), top = u[1] < 0.5f, slant = (int)(3 * u[2]) - 1;
        for (int k = 0; k < 7 * 5; k++) {
            int row = k / 5, column = k % 5 + left + (row < 3 ? slant : 0);
            bool ink = font[i % 10][row] >> (4 - k % 5) & 1;
            if (ink && column >= 0 && column < SIDE) to[(top + row) * SIDE + column] = 0.7f + 0.3f * u[3];
        }
    }
    return x;
}

/* The images of MNIST in DIR, or of any set of its format: [n, height, width]. */
static ad_var *load(ad_graph *g, const char *dir, int64_t most) {
    ad_var *x = mnist_array(g, dir, "train-images-idx3-ubyte", 1.0 / 255);
    return ad_ok(g) && ad_shape_of(x).dim[0] > most ? ad_narrow(x, 0, 0, most) : x;
}

/* Draws images [count, height * width] side by side, each pixel as two characters. */
static void draw(const ad_var *images, int count, int64_t height, int64_t width, const char *title) {
    static const char ink[] = " .:-=+*#%@";
    printf("\n%s\n", title);
    for (int64_t row = 0; row < height && !ad_is_nil(images); row++)
        for (int i = 0; i < count; i++)
            for (int64_t column = 0; column < width; column++) {
                double v = ad_at(images, (i * height + row) * width + column);
                char c = ink[v >= 1 ? 9 : (int)(10 * v)];
                bool last = column == width - 1;
                printf("%c%c%s", c, c, last && i == count - 1 ? "|\n" : last ? "|" : "");
            }
}

/* ---- the model ---------------------------------------------------------------------------------------------- */

typedef struct {
    nn_module *encoder, *decoder;
    int64_t latent;
} vae;

typedef struct {
    ad_var *reconstruction, *divergence; /* of each image: log p(x | z), and KL of q(z | x) and the prior */
} bound;

/* z is drawn from q(z | x), so that gradients flow through it to the encoder (Kingma and Welling 2014). */
static bound evidence(const vae *v, ad_var *x) {
    ad_graph *g = ad_graph_of(x);
    ad_var *q = nn_apply(v->encoder, x), *zero = ad_zeros(g, AD_F32, AD_SCALAR), *one = ad_ones(g, AD_F32, AD_SCALAR);
    ad_var *mean = ad_narrow(q, 1, 0, v->latent), *std = ad_exp(ad_narrow(q, 1, v->latent, v->latent));
    ad_var *logits = nn_apply(v->decoder, ad_normal(mean, std));
    return (bound){ ad_sum_axis(ad_bernoulli_log_prob(x, logits), 1, false),
                    ad_sum_axis(ad_normal_kl(mean, std, zero, one), 1, false) };
}

static void train_epoch(ad_graph *g, const vae *v, nn_optim *const opts[2], nn_loader *loader, double sums[2]) {
    sums[0] = sums[1] = 0;
    for (bool more = true; more && ad_ok(g);) {
        ad_mark m = ad_begin(g);
        ad_var *x, *same;
        more = nn_loader_next(loader, &x, &same);
        if (more) {
            for (int i = 0; i < 2; i++) nn_zero_grad(opts[i]);
            bound b = evidence(v, x);
            ad_backward(ad_neg(ad_mean(ad_sub(b.reconstruction, b.divergence))));
            for (int i = 0; i < 2; i++) nn_step(opts[i]);
            sums[0] += ad_item(ad_sum(b.reconstruction)), sums[1] += ad_item(ad_sum(b.divergence));
        }
        ad_end(g, m);
    }
}

/* Draws as many images as fit, up to SHOWN. */
static void show(ad_graph *g, const vae *v, ad_var *x, int64_t height, int64_t width) {
    int fit = (int)(COLUMNS / (2 * width + 1)), n = fit > SHOWN ? SHOWN : fit < 1 ? 1 : fit;
    ad_mark m = ad_begin(g);
    ad_var *some = ad_narrow(x, 0, 0, n), *q = nn_apply(v->encoder, some);
    ad_var *back = ad_sigmoid(nn_apply(v->decoder, ad_narrow(q, 1, 0, v->latent)));
    ad_var *fresh = ad_sigmoid(nn_apply(v->decoder, ad_randn(g, AD_F32, AD_SHAPE(n, v->latent))));
    draw(some, n, height, width, "images");
    draw(back, n, height, width, "reconstructions");
    draw(fresh, n, height, width, "new images");
    ad_end(g, m);
}

/* ---- main ---------------------------------------------------------------------------------------------------- */

static void run(ad_graph *g, const char *data, int64_t n, int64_t epochs, int64_t hidden, int64_t latent, double lr) {
    ad_var *images = data ? load(g, data, n) : make_digits(g, n);
    if (!ad_ok(g)) return;
    ad_shape s = ad_shape_of(images);
    int64_t count = s.dim[0], pixels = s.dim[1] * s.dim[2];
    ad_var *x = ad_reshape(images, AD_SHAPE(count, pixels));
    vae v = { nn_mlp(g, AD_F32, 3, (int64_t[]){ pixels, hidden, 2 * latent }, ad_relu),
              nn_mlp(g, AD_F32, 3, (int64_t[]){ latent, hidden, pixels }, ad_relu), latent };
    nn_adam_opts rate = { .lr = lr };
    nn_optim *opts[] = { nn_adam(v.encoder, rate), nn_adam(v.decoder, rate) };
    nn_loader *loader = nn_loader_new(g, (nn_dataset){ x, x }, (nn_loader_opts){ .batch = 50 });
    for (int64_t e = 1; e <= epochs && ad_ok(g); e++) {
        double sums[2];
        train_epoch(g, &v, opts, loader, sums);
        if (ad_ok(g))
            printf("epoch %lld  bound %.2f  reconstruction %.2f  divergence %.2f\n", (long long)e,
                   (sums[0] - sums[1]) / (double)count, sums[0] / (double)count, sums[1] / (double)count);
        fflush(stdout);
    }
    show(g, &v, x, s.dim[1], s.dim[2]);
}

int main(int argc, char **argv) {
    const char *data = NULL;
    int64_t n = 2000, epochs = 25, hidden = 64, latent = 6, seed = 0;
    double lr = 0.003;
    demo_parse(argc, argv,
               "Trains a variational autoencoder, prints its lower bound of the mean log-likelihood of an image after\n"
               "each epoch, and draws images, their reconstructions, and new images. The images are digits of 8 x 8\n"
               "pixels that the program makes, or the training images of MNIST or Fashion-MNIST.",
               (demo_option[]){ { "data", "a folder with train-images-idx3-ubyte or .gz", DEMO_TEXT, &data, 0, 0 },
                                { "images", "number of images", DEMO_WHOLE, &n, SHOWN, 1e7 },
                                { "epochs", "passes over the images", DEMO_WHOLE, &epochs, 1, 1e6 },
                                { "hidden", "width of the hidden layers", DEMO_WHOLE, &hidden, 1, 1e5 },
                                { "latent", "size of the code of an image", DEMO_WHOLE, &latent, 1, 1e4 },
                                { "lr", "learning rate of Adam", DEMO_REAL, &lr, 1e-9, 100 },
                                DEMO_SEED(&seed),
                                { 0 } });
    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    ad_keep_grads(g, false);
    run(g, data, n, epochs, hidden, latent, lr);
    return demo_end(argv, g);
}
