/* names.c: a recurrent network learns to spell names, one character at a time, and invents new ones. */
#include "demos/demo.h"
#include "nn/nn.h"

typedef struct {
    const char *data, *cell;
    int64_t epochs, batch, hidden, layers, samples, seed;
    double lr, dropout, temperature;
} options;

/* ---- data ------------------------------------------------------------------------------------------- */

enum { END = 0, LONGEST = 64, NOTHING = -100 }; /* NOTHING: a target that cross-entropy ignores */

/* Characters by number: 0 marks the start and the end of a name, and 1 .. n-1 are the bytes that occur in the file. */
typedef struct {
    int64_t n;
    int number[256];
    char byte[256];
} alphabet;

static alphabet alphabet_of(const nn_table *names) {
    alphabet a = { .n = 1 };
    for (int64_t i = 0; i < nn_table_rows(names); i++)
        for (const char *c = nn_table_text(names, i, 0); c != NULL && *c != '\0'; c++)
            a.number[(unsigned char)*c] = 1;
    for (int b = 0; b < 256; b++) {
        if (a.number[b] == 0) continue;
        a.byte[a.n] = (char)b;
        a.number[b] = (int)a.n++;
    }
    return a;
}

static int64_t longest(const nn_table *names) {
    size_t most = 0;
    for (int64_t i = 0; i < nn_table_rows(names); i++) {
        const char *name = nn_table_text(names, i, 0);
        if (name != NULL && strlen(name) > most) most = strlen(name);
    }
    return (int64_t)most;
}

/* x and y [n,time]: a row of x is END and a name, a row of y the name and END, the next character at each position. */
static nn_dataset load(ad_graph *g, const nn_table *names, const alphabet *a) {
    int64_t n = nn_table_rows(names), time = longest(names) + 1;
    nn_dataset d = { ad_zeros(g, AD_F32, AD_SHAPE(n, time)), ad_full(g, AD_F32, NOTHING, AD_SHAPE(n, time)) };
    float *x = ad_data_mut(d.x), *y = ad_data_mut(d.y);
    for (int64_t i = 0; i < n && ad_ok(g); i++, x += time, y += time) {
        const char *name = nn_table_text(names, i, 0);
        int64_t length = name ? (int64_t)strlen(name) : 0;
        for (int64_t j = 0; j < length; j++) x[j + 1] = y[j] = (float)a->number[(unsigned char)name[j]];
        y[length] = END;
    }
    return d;
}

/* ---- the network --------------------------------------------------------------------------------------- */

typedef struct {
    nn_module *embedding, *memory, *next, *all; /* all: the three in sequence */
} model;

static model model_new(ad_graph *g, const alphabet *a, const options *o) {
    nn_rnn_opts r = { .in = 32, .hidden = o->hidden, .layers = (int)o->layers, .dropout = o->dropout };
    model m = { .embedding = nn_embedding(g, AD_F32, a->n, r.in),
                .memory = strcmp(o->cell, "gru") == 0 ? nn_gru(g, AD_F32, r) : nn_lstm(g, AD_F32, r),
                .next = nn_linear(g, AD_F32, o->hidden, a->n, true) };
    m.all = nn_sequential(g, m.embedding, m.memory, nn_dropout(g, o->dropout), m.next);
    return m;
}

/* Logits [n,time,characters], target [n,time]: the mean loss in nats per character. */
static ad_var *nats(ad_var *logits, ad_var *target) {
    return nn_cross_entropy_with(ad_flatten(logits, 0, 1), ad_flatten(target, 0, 1), (ad_ce_opts){ 0 });
}

static int show(const nn_training_state *s, void *data) {
    (void)data;
    printf("epoch %lld  validation loss %.4f nats per character\n", (long long)s->epoch, s->validation_loss);
    return fflush(stdout);
}

static void train(const model *m, nn_parts p, const options *o) {
    nn_optim *opt = nn_adam(m->all, (nn_adam_opts){ .lr = o->lr });
    nn_fit(m->all, nats, opt, p.train,
           (nn_fit_opts){ .epochs = o->epochs,
                          .batch = o->batch,
                          .validation = p.validation,
                          .schedule = nn_cosine_lr(opt, o->epochs, 0),
                          .clip_norm = 1,
                          .restore_best = true,
                          .progress = stderr,
                          .catch_interrupt = true,
                          .on_epoch = show },
           NULL);
}

/* ---- new names -------------------------------------------------------------------------------------------- */

/* Samples from the probabilities of the logits: the argmax of logits with Gumbel noise (Maddison et al. 2014). */
static ad_var *draw(ad_var *logits, double temperature) {
    ad_var *u = ad_rand(ad_graph_of(logits), AD_F32, ad_shape_of(logits));
    ad_var *noise = ad_neg(ad_log(ad_neg(ad_log(u))));
    return ad_argmax_axis(ad_add(ad_muls(logits, 1 / temperature), noise), -1, false);
}

/* Samples one character after the other until END; the state remembers those so far. */
static void invent(ad_graph *g, const model *m, const alphabet *a, double temperature, char name[LONGEST]) {
    ad_mark scope = ad_begin(g);
    nn_rnn_state state = nn_rnn_state_new(m->memory, 1);
    ad_var *c = ad_full(g, AD_F32, END, AD_SHAPE(1, 1));
    memset(name, 0, LONGEST);
    for (int i = 0; i < LONGEST - 1 && ad_ok(g); i++) {
        ad_var *h = nn_apply_rnn(m->memory, nn_apply(m->embedding, c), &state);
        c = draw(nn_apply(m->next, h), temperature);
        if (!ad_ok(g) || ad_item(c) == END) break;
        name[i] = a->byte[(int)ad_item(c)];
    }
    ad_end(g, scope);
}

static bool is_known(const nn_table *names, const char *name) {
    for (int64_t i = 0; i < nn_table_rows(names); i++) {
        const char *known = nn_table_text(names, i, 0);
        if (known != NULL && strcmp(known, name) == 0) return true;
    }
    return false;
}

static void invent_some(ad_graph *g, const model *m, const alphabet *a, const nn_table *names, const options *o) {
    char name[LONGEST];
    ad_enable_grad(g, false);
    nn_train(m->all, false);
    for (int64_t i = 0; i < o->samples && ad_ok(g); i++) {
        invent(g, m, a, o->temperature, name);
        if (ad_ok(g)) printf("%s%s\n", name, is_known(names, name) ? " (known)" : "");
    }
}

int main(int argc, char **argv) {
    options o = { .cell = "lstm", .epochs = 10, .batch = 64, .hidden = 128, .layers = 1, .samples = 20, .lr = 0.005,
                  .dropout = 0.1, .temperature = 1 };
    demo_parse(
        argc, argv,
        "Learns to predict the next character of a name from a text file with one name per line, prints the loss on\n"
        "a tenth of the names, which is not used for training, and invents new ones. Ctrl-C ends the training.",
        (demo_option[]){
            { "data", "the text file; required", DEMO_TEXT, &o.data, 0, 0 },
            { "cell", "lstm or gru", DEMO_TEXT, &o.cell, 0, 0 },
            { "epochs", "passes over the training names", DEMO_WHOLE, &o.epochs, 1, 1e6 },
            { "batch", "names in a minibatch", DEMO_WHOLE, &o.batch, 1, 1e6 },
            { "hidden", "size of the recurrent state", DEMO_WHOLE, &o.hidden, 1, 1e6 },
            { "layers", "number of recurrent layers", DEMO_WHOLE, &o.layers, 1, 100 },
            { "lr", "learning rate of Adam, decreasing by a cosine schedule", DEMO_REAL, &o.lr, 1e-9, 100 },
            { "dropout", "fraction of recurrent outputs dropped in training", DEMO_REAL, &o.dropout, 0, 0.9 },
            { "samples", "names to invent", DEMO_WHOLE, &o.samples, 0, 1e6 },
            { "temperature", "below 1: more likely names, above 1: more unusual ones", DEMO_REAL, &o.temperature, 0.01,
              100 },
            DEMO_SEED(&o.seed),
            { 0 } });
    if (o.data == NULL) demo_refuse(argv, "--data FILE", "is required");
    if (strcmp(o.cell, "lstm") != 0 && strcmp(o.cell, "gru") != 0) demo_refuse(argv, "cell", "must be lstm or gru");

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)o.seed);
    nn_table *names = nn_read_csv(g, o.data, (nn_csv_opts){ .no_header = true });
    alphabet a = alphabet_of(names);
    nn_parts p = nn_split(load(g, names, &a), (nn_split_opts){ .validation = 0.1, .seed = (uint64_t)o.seed });
    model m = model_new(g, &a, &o);
    train(&m, p, &o);
    invent_some(g, &m, &a, names, &o);
    return demo_end(argv, g);
}
