/* characters.c: lecture 17: sentences written character by character, by a network as it learns. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { WORDS = 4, CHOICES = 4, LETTERS = 29, ROWS = 32, TIME = 48, LENGTH = 1000, STAGES = 6, MOST = 10000 };

static const char alphabet[] = "\n .abcdefghijklmnopqrstuvwxyz";
/* The first letters of the four words of a list differ. */
static const char *const words[WORDS][CHOICES] = { { "the ", "a ", "one ", "no " },
                                                   { "cat ", "dog ", "fox ", "hen " },
                                                   { "sees ", "hears ", "likes ", "knows " },
                                                   { "me.\n", "him.\n", "us.\n", "you.\n" } };

static int number_of(char c) { return (int)(strchr(alphabet, c) - alphabet); }

/* Whether a line, up to its end, is one word of each list. */
static bool is_sentence(const char *line) {
    for (int w = 0; w < WORDS; w++) {
        size_t fits = 0;
        for (int c = 0; c < CHOICES; c++)
            if (strncmp(line, words[w][c], strlen(words[w][c])) == 0) fits = strlen(words[w][c]);
        if (fits == 0) return false;
        line += fits;
    }
    return true;
}

/* Random sentences: x [32,48] and the next characters y. Each row begins with the end of a line. */
static nn_dataset draw(ad_graph *g) {
    float x[ROWS][TIME], y[ROWS][TIME];
    ad_random_state r = ad_random_get(g);
    for (int i = 0; i < ROWS; i++) {
        char text[TIME + 32] = "\n";
        for (int w = 0; strlen(text) <= TIME; w = (w + 1) % WORDS)
            strcat(text, words[w][(int)(CHOICES * nn_random_uniform(&r))]);
        for (int k = 0; k < TIME; k++) x[i][k] = (float)number_of(text[k]), y[i][k] = (float)number_of(text[k + 1]);
    }
    ad_random_set(g, r);
    const ad_shape s = AD_SHAPE(ROWS, TIME);
    return (nn_dataset){ ad_tensor(g, AD_F32, x, s), ad_tensor(g, AD_F32, y, s) };
}

/* The least loss that any model can have on x: a word is one of four, which its first letter tells, so that each letter
   after a blank or the end of a line costs log 4 nats, and the others nothing. */
static double least_loss(nn_dataset d) {
    int starts = 0;
    for (int i = 0; i < ROWS * TIME; i++) starts += ad_at(d.x, i) <= number_of(' ');
    return log(CHOICES) * starts / (ROWS * TIME);
}

typedef struct {
    nn_module *embedding, *memory, *next, *all;
} model;

/* A step of training: the loss, and the least one that was possible. */
static void step(model m, nn_optim *opt, double *loss, double *least) {
    ad_graph *g = nn_graph_of(m.all);
    ad_mark s = ad_begin(g);
    nn_dataset d = draw(g);
    ad_var *e = nn_cross_entropy(ad_flatten(nn_apply(m.all, d.x), 0, 1), ad_flatten(d.y, 0, 1));
    nn_zero_grad(opt);
    ad_backward(e);
    nn_clip_grad_norm(m.all, 1);
    nn_step(opt);
    *loss = ad_item(e), *least = least_loss(d);
    ad_end(g, s);
}

/* Writes text, one character after the other, each drawn from its probabilities (the argmax of logits with Gumbel
   noise, Maddison et al. 2014). */
static void write_text(model m, char text[LENGTH + 1]) {
    ad_graph *g = nn_graph_of(m.all);
    ad_mark s = ad_begin(g);
    nn_rnn_state state = nn_rnn_state_new(m.memory, 1);
    bool before = ad_enable_grad(g, false);
    ad_var *c = ad_full(g, AD_F32, number_of('\n'), AD_SHAPE(1, 1));
    for (int i = 0; i < LENGTH && ad_ok(g); i++) {
        ad_var *logits = nn_apply(m.next, nn_apply_rnn(m.memory, nn_apply(m.embedding, c), &state));
        ad_var *noise = ad_neg(ad_log(ad_neg(ad_log(ad_rand_like(logits)))));
        c = ad_argmax_axis(ad_add(logits, noise), -1, false);
        text[i] = alphabet[(int)ad_item(c)];
    }
    ad_enable_grad(g, before);
    ad_end(g, s);
}

/* The share of lines that are sentences; the last line may be cut off and does not count. */
static double right_lines(const char *text) {
    int lines = 0, right = 0;
    for (const char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        lines++, right += is_sentence(line);
    return lines ? (double)right / lines : 0;
}

static model model_new(ad_graph *g) {
    model m = { .embedding = nn_embedding(g, AD_F32, LETTERS, 16),
                .memory = nn_lstm(g, AD_F32, (nn_rnn_opts){ .in = 16, .hidden = 64 }),
                .next = nn_linear(g, AD_F32, 64, LETTERS, true) };
    m.all = nn_sequential(g, m.embedding, m.memory, m.next);
    return m;
}

static void plot(lecture *l, int64_t steps, const double *loss, const double *least, const double *at,
                 const double *right) {
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "Training", .x = "step", .y = "loss (nats per character)", .logy = true });
    plot_lines(l, "loss", steps, NULL, loss);
    plot_dashed(l, "the least possible", steps, NULL, least);
    plot_panel(l, (panel_opts){ .title = "Samples", .x = "step", .y = "share of right sentences", .ylo = 0,
                                .yhi = 1.05 });
    plot_lines(l, "", STAGES, at, right);
}

int main(int argc, char **argv) {
    int64_t steps = 400;
    double at[STAGES] = { 0, 0.05, 0.125, 0.25, 0.5, 1 }, right[STAGES], last = 0, bound = 0;
    static double loss[MOST], least[MOST];
    lecture *l = lecture_begin(
        argc, argv,
        "An lstm learns the next character of sentences of four words, such as \"the cat sees me.\", and writes\n"
        "sentences of its own as it learns. Its loss falls to the least that any model can have.",
        "--steps 40", (demo_option[]){ { "steps", "of training", DEMO_WHOLE, &steps, 40, MOST }, { 0 } });
    ad_graph *g = lecture_graph(l);
    model m = model_new(g);
    nn_optim *opt = nn_adam(m.all, (nn_adam_opts){ .lr = 0.01 });
    for (int64_t stage = 0, k = 0; stage < STAGES && ad_ok(g); stage++) {
        at[stage] = floor(at[stage] * (double)steps);
        for (; k < (int64_t)at[stage]; k++) step(m, opt, &loss[k], &least[k]);
        char text[LENGTH + 1] = "";
        write_text(m, text);
        right[stage] = right_lines(text);
        printf("after %.0f steps, %.0f %% of the sentences are right:\n%.90s ...\n\n", at[stage], 100 * right[stage],
               text);
    }
    for (int64_t k = steps - 20; k < steps; k++) last += loss[k] / 20, bound += least[k] / 20;
    lecture_claim(l, last < 1.02 * bound, "the loss falls to %.3f nats per character; the least possible is %.3f", last,
                  bound);
    lecture_claim(l, right[0] < 0.05 && right[STAGES - 1] > 0.9,
                  "of the sentences it writes, %.0f %% are right at first, %.0f %% in the end", 100 * right[0],
                  100 * right[STAGES - 1]);
    plot(l, steps, loss, least, at, right);
    return lecture_end(l, g);
}
