/* gpt.c: a transformer learns to predict the next character of a text, and writes on in its style. */
#include "demos/demo.h"
#include "nn/nn.h"

typedef struct {
    const char *data, *save, *resume;
    int64_t layers, heads, width, block, batch, steps, stop, top_k, length, seed;
    double lr, dropout, temperature;
} options;

/* ---- text --------------------------------------------------------------------------------------------------- */

/* A text, and its characters by number: 0 .. n-1 are the bytes that occur in it. */
typedef struct {
    unsigned char *byte;
    int64_t length, n;
    int number[256];
    unsigned char character[256];
} text;

static void count_characters(text *t) {
    for (int64_t i = 0; i < t->length; i++) t->number[t->byte[i]] = 1;
    for (int b = 0; b < 256; b++) {
        if (t->number[b] == 0) continue;
        t->character[t->n] = (unsigned char)b;
        t->number[b] = (int)t->n++;
    }
}

/* Rhymes for runs without a file: a few words in a fixed order of kinds. */
static void make_text(text *t) {
    static const char *const words[4][4] = { { "the ", "a ", "one ", "no " },
                                             { "cat ", "dog ", "fox ", "hen " },
                                             { "sees ", "hears ", "likes ", "knows " },
                                             { "me.\n", "him.\n", "her.\n", "you.\n" } };
    enum { LENGTH = 20000 };
    t->byte = calloc(LENGTH + 16, 1);
    uint32_t random = 1;
    for (int kind = 0; t->byte != NULL && t->length < LENGTH; kind = (kind + 1) % 4) {
        random = random * 1664525u + 1013904223u;
        const char *word = words[kind][random >> 30];
        size_t n = strlen(word);
        memcpy(t->byte + t->length, word, n);
        t->length += (int64_t)n;
    }
}

static bool read_text(text *t, const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) return false;
    size_t room = 1 << 16, got = 0;
    for (;;) {
        unsigned char *more = realloc(t->byte, room);
        if (more == NULL) break;
        t->byte = more;
        size_t n = fread(t->byte + got, 1, room - got, f);
        got += n;
        if (n == 0) break;
        if (got == room) room *= 2;
    }
    t->length = (int64_t)got;
    bool ok = !ferror(f);
    fclose(f);
    return ok;
}

/* x [n,block] and y, the characters that follow each of x: from offsets drawn at random in from .. to, or, with n 0,
   side by side. */
static nn_dataset blocks(ad_graph *g, const text *t, int64_t from, int64_t to, int64_t n, int64_t block) {
    bool all = n == 0;
    int64_t last = to - from - block - 1;
    if (all) n = last / block + 1;
    ad_mark scope = ad_begin(g);
    ad_var *u = ad_rand(g, AD_F64, AD_SHAPE(n));
    int64_t *at = calloc((size_t)n, sizeof *at);
    for (int64_t i = 0; i < n && at != NULL && ad_ok(g); i++)
        at[i] = from + (all ? i * block : (int64_t)(ad_at(u, i) * (double)(last + 1)));
    ad_end(g, scope);
    nn_dataset d = { ad_zeros(g, AD_F32, AD_SHAPE(n, block)), ad_zeros(g, AD_F32, AD_SHAPE(n, block)) };
    float *x = ad_data_mut(d.x), *y = ad_data_mut(d.y);
    for (int64_t i = 0; i < n * block && at != NULL && ad_ok(g); i++) {
        x[i] = (float)t->number[t->byte[at[i / block] + i % block]];
        y[i] = (float)t->number[t->byte[at[i / block] + i % block + 1]];
    }
    free(at);
    return d;
}

/* ---- the network ---------------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *ending) {
    size_t n = strlen(name), e = strlen(ending);
    return n >= e && strcmp(name + n - e, ending) == 0;
}

/* As GPT-2's: matrices are small, those at the end of each part smaller with the number of layers. */
static void initialise(nn_module *m, int64_t layers) {
    for (int i = 0; i < nn_parameter_count(m); i++) {
        nn_parameter p = nn_parameter_at(m, i);
        bool end = ends_with(p.name, "out_proj.weight") || ends_with(p.name, "linear2.weight");
        if (ad_shape_of(p.var).ndim == 2) nn_init_normal(p.var, 0, end ? 0.02 / sqrt(2 * (double)layers) : 0.02);
        else if (ends_with(p.name, "bias")) nn_init_constant(p.var, 0);
    }
}

/* Characters and logits share one weight. */
static nn_module *gpt_new(ad_graph *g, const text *t, const options *o) {
    nn_transformer_opts opts = { .width = o->width, .heads = o->heads, .feedforward = 4 * o->width };
    opts.layers = (int)o->layers, opts.dropout = o->dropout > 0 ? o->dropout : AD_ZERO;
    opts.gelu = opts.norm_first = opts.causal = opts.final_norm = true;
    nn_module *characters = nn_embedding(g, AD_F32, t->n, o->width);
    ad_var *weight = characters ? nn_find_parameter(characters, "weight") : NULL;
    nn_module *m =
        nn_sequential(g, characters, nn_learned_positions(g, AD_F32, o->block, o->width), nn_dropout(g, o->dropout),
                      nn_transformer_encoder(g, AD_F32, opts), weight ? nn_linear_shared(g, weight, false) : NULL);
    if (m != NULL) initialise(m, o->layers);
    return m;
}

/* ---- training --------------------------------------------------------------------------------------------------- */

/* Logits [n,time,characters], target [n,time]: the mean loss in nats per character. */
static ad_var *nats(ad_var *logits, ad_var *target) {
    return nn_cross_entropy(ad_flatten(logits, 0, 1), ad_flatten(target, 0, 1));
}

static int show(const nn_training_state *s, void *data) {
    const options *o = data;
    if (s->steps % 100 == 0) printf("step %lld  mean loss %.3f\n", (long long)s->steps, s->loss), fflush(stdout);
    return s->steps == o->stop || s->steps == o->steps;
}

/* AdamW; matrices decay, biases and the weights of norms do not. */
static nn_optim *optimiser(nn_module *m, const options *o) {
    nn_optim *opt = nn_adamw(m, (nn_adam_opts){ .lr = o->lr, .beta2 = 0.99, .weight_decay = 0.1 });
    nn_group(opt, (nn_group_opts){ .pattern = "*bias|*norm*.weight" });
    return opt;
}

static void train(nn_module *m, nn_dataset d, const options *o) {
    nn_optim *opt = optimiser(m, o);
    int64_t warm = o->steps < 1000 ? o->steps / 10 + 1 : 100, rest = o->steps > warm ? o->steps - warm : 1;
    nn_schedule *s = nn_sequential_lr(nn_linear_lr(opt, 0.01, 1, warm), nn_cosine_lr(opt, rest, o->lr / 10), warm);
    int64_t steps_in_epoch = ad_shape_of(d.x).dim[0] / o->batch;
    nn_fit_opts f = { .epochs = (o->steps + steps_in_epoch - 1) / steps_in_epoch, .batch = o->batch };
    f.schedule = s, f.schedule_by_step = true, f.clip_norm = 1, f.drop_last = true, f.catch_interrupt = true;
    f.checkpoint = o->resume ? o->resume : o->save, f.checkpoint_steps = f.checkpoint ? 200 : 0;
    f.resume = o->resume != NULL, f.on_step = show, f.callback_data = (void *)o;
    nn_fit(m, nats, opt, d, f, NULL);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* Draws from the probabilities of the k largest logits [1,time,characters] of the last step: the largest sum of logits
   and Gumbel noise (Maddison et al. 2014). */
static int draw(ad_var *logits, const options *o, int64_t characters) {
    ad_var *parts[2], *last = ad_select(ad_select(logits, 0, 0), 0, -1);
    int64_t k = o->top_k > 0 && o->top_k < characters ? o->top_k : characters;
    if (ad_topk(last, 0, k, false, parts) != AD_OK) return 0;
    ad_var *u = ad_rand(ad_graph_of(logits), AD_F32, AD_SHAPE(k));
    ad_var *noise = ad_neg(ad_log(ad_neg(ad_log(u))));
    ad_var *place = ad_argmax(ad_add(ad_muls(parts[0], 1 / o->temperature), noise));
    return ad_ok(ad_graph_of(logits)) ? (int)ad_at(parts[1], (int64_t)ad_item(place)) : 0;
}

/* Writes on after the characters in recent. Only the new one goes through the net, as long as the caches hold all of
   them; when these are full, they begin again with the last half of a block. */
static void write_text(nn_module *m, const text *t, const options *o) {
    ad_graph *g = nn_graph_of(m);
    int64_t most = o->block, have = 1, fresh = 1;
    float *recent = calloc((size_t)most + 1, sizeof *recent);
    if (recent == NULL) return;
    recent[0] = (float)t->number['\n'];
    nn_cache_begin(m, 1, most);
    for (int64_t i = 0; i < o->length && ad_ok(g); i++) {
        if (have > most) {
            have = most > 1 ? most / 2 : 1, fresh = have;
            memmove(recent, recent + most + 1 - have, (size_t)have * sizeof *recent);
            nn_cache_end(m);
            nn_cache_begin(m, 1, most);
        }
        ad_mark scope = ad_begin(g);
        ad_var *x = ad_tensor(g, AD_F32, recent + have - fresh, AD_SHAPE(1, fresh));
        int next = draw(nn_apply(m, x), o, t->n);
        ad_end(g, scope);
        if (ad_ok(g)) putchar(t->character[next]);
        recent[have++] = (float)next, fresh = 1;
    }
    nn_cache_end(m);
    free(recent);
    putchar('\n');
}

/* ---- the program ------------------------------------------------------------------------------------------------ */

static void parse(int argc, char **argv, options *o) {
    demo_parse(
        argc, argv,
        "Learns to predict the next character of a text with a transformer, prints the loss on the last tenth of the\n"
        "text, which is not used for training, and writes on. Ctrl-C ends the training; --resume goes on.",
        (demo_option[]){
            { "data", "the text file; without it the demo makes a text", DEMO_TEXT, &o->data, 0, 0 },
            { "layers", "layers of the transformer", DEMO_WHOLE, &o->layers, 1, 100 },
            { "heads", "attention heads of a layer", DEMO_WHOLE, &o->heads, 1, 1000 },
            { "width", "numbers for each character, a multiple of heads", DEMO_WHOLE, &o->width, 1, 1e5 },
            { "block", "characters that the net looks at", DEMO_WHOLE, &o->block, 1, 1e5 },
            { "batch", "blocks in a minibatch", DEMO_WHOLE, &o->batch, 1, 1e5 },
            { "dropout", "fraction dropped in training", DEMO_REAL, &o->dropout, 0, 0.9 },
            { "steps", "training steps", DEMO_WHOLE, &o->steps, 1, 1e7 },
            { "stop", "ends the training after so many steps, to be resumed; 0: never", DEMO_WHOLE, &o->stop, 0, 1e7 },
            { "lr", "learning rate of AdamW, rising, then falling by a cosine", DEMO_REAL, &o->lr, 1e-9, 1 },
            { "temperature", "below 1: likelier text, above 1: more unusual", DEMO_REAL, &o->temperature, 0.01, 100 },
            { "top-k", "draws from the k likeliest characters; 0: all", DEMO_WHOLE, &o->top_k, 0, 256 },
            { "length", "characters to write", DEMO_WHOLE, &o->length, 0, 1e7 },
            { "save", "a checkpoint file to write in training", DEMO_TEXT, &o->save, 0, 0 },
            { "resume", "a checkpoint file to go on from and to write", DEMO_TEXT, &o->resume, 0, 0 },
            DEMO_SEED(&o->seed),
            { 0 } });
    if (o->width % o->heads != 0) demo_refuse(argv, "width", "must be a multiple of heads");
}

static void run(ad_graph *g, const text *t, const options *o) {
    enum { MOST_BLOCKS = 50000 };
    int64_t part = t->length - t->length / 10,
            n = o->steps < MOST_BLOCKS / o->batch ? o->steps * o->batch : MOST_BLOCKS;
    nn_dataset d = blocks(g, t, 0, part, n < o->batch ? o->batch : n, o->block);
    nn_dataset validation = blocks(g, t, part, t->length, 0, o->block);
    nn_module *m = gpt_new(g, t, o);
    if (!ad_ok(g)) return;
    printf("%lld characters, %lld of them different; %lld parameters\n", (long long)t->length, (long long)t->n,
           (long long)nn_parameter_numel(m));
    train(m, d, o);
    double loss = nn_evaluate(m, nats, NULL, validation, o->batch).loss;
    if (ad_ok(g)) printf("validation loss %.4f nats per character\n\n", loss);
    ad_enable_grad(g, false);
    nn_train(m, false);
    ad_seed(g, (uint64_t)o->seed);
    write_text(m, t, o);
}

int main(int argc, char **argv) {
    options o = { .layers = 4,
                  .heads = 4,
                  .width = 128,
                  .block = 64,
                  .batch = 12,
                  .steps = 2000,
                  .length = 500,
                  .lr = 2e-3,
                  .temperature = 0.8 };
    parse(argc, argv, &o);
    text t = { 0 };
    if (o.data == NULL) make_text(&t);
    else if (!read_text(&t, o.data)) demo_refuse(argv, o.data, strerror(errno));
    if (t.length / 10 < o.block + 2) demo_refuse(argv, "data", "a tenth of the text must be longer than a block");
    count_characters(&t);
    ad_graph *g = ad_graph_new();
    ad_keep_grads(g, false);
    ad_seed(g, (uint64_t)o.seed);
    run(g, &t, &o);
    free(t.byte);
    return demo_end(argv, g);
}
