/* transformer.c: the encoder and decoder layers of transformers (Vaswani et al. 2017), and stacks of them. */
#include <string.h>

#include "nn/layers/attention.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

/* A layer of either kind. Without memory_attn it is an encoder's. */
typedef struct {
    nn_module *self_attn, *memory_attn, *linear1, *linear2, *norm[3]; /* norm[2] is a decoder's */
    nn_transformer_opts o;
} layer;

/* What is applied besides x: masks of x's own time steps, and, for decoders, memory with its masks. */
typedef struct {
    nn_attention_masks masks, memory_masks;
    ad_var *memory;
} context;

/* ---- a layer: each part is added to x, which is normalised before the part or after the sum ------------------ */

static ad_var *self_part(const layer *l, ad_var *x, const context *c) {
    return nn_apply_attention(l->self_attn, x, x, x, c->masks);
}
static ad_var *memory_part(const layer *l, ad_var *x, const context *c) {
    return nn_apply_attention(l->memory_attn, x, c->memory, c->memory, c->memory_masks);
}
static ad_var *feedforward_part(const layer *l, ad_var *x, const context *c) {
    (void)c;
    ad_var *h = nn__apply_child(l->linear1, x);
    h = l->o.gelu ? ad_gelu(h) : ad_relu(h);
    return nn__apply_child(l->linear2, ad_dropout(h, l->o.dropout, nn_training(l->linear2)));
}

typedef ad_var *part_fn(const layer *l, ad_var *x, const context *c);

static ad_var *with_part(const layer *l, part_fn *part, nn_module *norm, ad_var *x, const context *c) {
    ad_var *y = part(l, l->o.norm_first ? nn__apply_child(norm, x) : x, c);
    y = ad_add(x, ad_dropout(y, l->o.dropout, nn_training(norm)));
    return l->o.norm_first ? y : nn__apply_child(norm, y);
}

static ad_var *apply_layer(const layer *l, ad_var *x, const context *c) {
    int norm = 0;
    x = with_part(l, self_part, l->norm[norm++], x, c);
    if (l->memory_attn != NULL) x = with_part(l, memory_part, l->norm[norm++], x, c);
    return with_part(l, feedforward_part, l->norm[norm], x, c);
}

/* ---- inputs as arrays, for hooks and nn_apply_n: x, the masks; a decoder's memory is the second, its masks the
   last */

enum { OF_ENCODER = 3, OF_DECODER = 6 };

static int list_inputs(ad_var *x, const context *c, bool decoder, ad_var *to[OF_DECODER]) {
    const nn_attention_masks *own = &c->masks, *other = &c->memory_masks;
    if (decoder)
        memcpy(to, (ad_var *[]){ x, c->memory, own->mask, own->padding, other->mask, other->padding },
               OF_DECODER * sizeof *to);
    else memcpy(to, (ad_var *[]){ x, own->mask, own->padding }, OF_ENCODER * sizeof *to);
    return decoder ? OF_DECODER : OF_ENCODER;
}

/* The context for n of these inputs. flags has what is no Var. */
static context context_of(int n, ad_var *const x[], bool decoder, const context *flags) {
    context c = flags ? *flags : (context){ 0 };
    ad_var *all[OF_DECODER] = { NULL };
    memcpy(all, x, (size_t)n * sizeof *all);
    c.masks.mask = all[decoder ? 2 : 1], c.masks.padding = all[decoder ? 3 : 2];
    if (!decoder) return c;
    c.memory = all[1] ? all[1] : all[0];
    c.memory_masks.mask = all[4], c.memory_masks.padding = all[5];
    return c;
}

static void forward_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]);

/* ---- construction of a layer --------------------------------------------------------------------------------- */

static bool check_opts(ad_graph *g, const char *name, const nn_transformer_opts *o) {
    if (!nn__is_size(g, name, "width", o->width) || !nn__is_size(g, name, "heads", o->heads) ||
        !nn__is_size(g, name, "feedforward", o->feedforward))
        return false;
    if (o->width % o->heads != 0)
        ad_fail(g, AD_EVALUE, "%s: width %lld is no multiple of the %lld heads", name, (long long)o->width,
                (long long)o->heads);
    else if (!(o->dropout >= 0 && o->dropout <= 1))
        ad_fail(g, AD_EVALUE, "%s: dropout %g: it must be from 0 to 1", name, o->dropout);
    return ad_ok(g);
}

static void add(nn_module *m, nn_module **field, const char *name, nn_module *child) {
    *field = nn_add_child(m, name, child);
    nn_add_reference(m, field);
}

static nn_module *attention_of(ad_graph *g, ad_dtype t, const nn_transformer_opts *o, bool of_memory) {
    nn_attention_opts a = { .embed = o->width, .heads = o->heads, .dropout = o->dropout };
    if (!of_memory) a.causal = o->causal, a.rotary = o->rotary;
    nn_module *m = nn_multihead_attention(g, t, a);
    if (of_memory) nn__attention_of_memory(m);
    return m;
}

static nn_transformer_opts with_defaults(nn_transformer_opts o) {
    o.feedforward = ad_option_int(o.feedforward, 2048);
    o.dropout = ad_option(o.dropout, 0.1);
    return o;
}

static nn_module *layer_new(ad_graph *g, ad_dtype t, nn_transformer_opts o, const char *name, nn_forward_fn *forward,
                            bool decoder) {
    o = with_defaults(o);
    if (!check_opts(g, name, &o)) return NULL;
    nn_module *m = nn_module_new(g, name, forward, sizeof(layer));
    if (m == NULL) return NULL;
    m->forward_n = forward_n;
    layer *l = nn_self(m);
    l->o = o;
    add(m, &l->self_attn, "self_attn", attention_of(g, t, &o, false));
    if (decoder) add(m, &l->memory_attn, "multihead_attn", attention_of(g, t, &o, true));
    add(m, &l->linear1, "linear1", nn_linear(g, t, o.width, o.feedforward, true));
    add(m, &l->linear2, "linear2", nn_linear(g, t, o.feedforward, o.width, true));
    for (int i = 0; i < (decoder ? 3 : 2); i++) {
        static const char *const names[] = { "norm1", "norm2", "norm3" };
        add(m, &l->norm[i], names[i], nn_layer_norm(g, t, AD_SHAPE(o.width)));
    }
    return ad_ok(g) ? m : NULL;
}

/* ---- stacks -------------------------------------------------------------------------------------------------- */

typedef struct {
    nn_module *layers, *norm; /* norm NULL: none */
} stack;

/* The module "layers" names its children by their numbers; the stack applies them. */
typedef struct {
    int n;
    nn_module *layer[];
} list;

static ad_var *list_forward(nn_module *m, ad_var *x) {
    const list *l = nn_self(m);
    for (int i = 0; i < l->n; i++) x = nn__apply_child(l->layer[i], x);
    return x;
}

static ad_var *apply_stack(const stack *s, ad_var *x, const context *c);

/* Of all four kinds of modules; what has been put in the place of one takes x alone. */
static bool is_layer(const nn_module *m);
static bool is_stack(const nn_module *m);
static bool is_decoder(const nn_module *m);

/* An nn__call_fn. */
static void call_part(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], const void *flags) {
    const context c = context_of(n, x, is_decoder(m), flags);
    (void)n_y;
    y[0] = is_layer(m) ? apply_layer(nn_self(m), x[0], &c) : apply_stack(nn_self(m), x[0], &c);
}

static ad_var *apply_part(nn_module *m, ad_var *x, const context *c) {
    ad_var *all[OF_DECODER], *y;
    if (!is_layer(m) && !is_stack(m)) return nn__apply_child(m, x);
    int n = list_inputs(x, c, is_decoder(m), all);
    return nn__call_hooked(m, n, all, 1, &y, call_part, c);
}

static ad_var *apply_stack(const stack *s, ad_var *x, const context *c) {
    const list *l = s->layers->forward == list_forward ? nn_self(s->layers) : NULL;
    if (l == NULL) x = nn__apply_child(s->layers, x);
    for (int i = 0; l != NULL && i < l->n; i++) x = apply_part(l->layer[i], x, c);
    return s->norm ? nn__apply_child(s->norm, x) : x;
}

static void forward_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    if (nn__takes(m, n, is_decoder(m) ? OF_DECODER : OF_ENCODER, n_y, 1)) call_part(m, n, x, n_y, y, NULL);
}

static nn_module *list_of(ad_graph *g, ad_dtype t, nn_transformer_opts o,
                          nn_module *make(ad_graph *, ad_dtype, nn_transformer_opts)) {
    nn_module *m = nn_module_new(g, "layers", list_forward, sizeof(list) + (size_t)o.layers * sizeof(nn_module *));
    list *l = nn_self(m);
    for (int i = 0; m != NULL && i < o.layers && ad_ok(g); i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        add(m, &l->layer[i], name, make(g, t, o));
        l->n++;
    }
    return ad_ok(g) ? m : NULL;
}

static nn_module *stack_new(ad_graph *g, ad_dtype t, nn_transformer_opts o, const char *name, nn_forward_fn *forward,
                            nn_module *make(ad_graph *, ad_dtype, nn_transformer_opts)) {
    enum { MOST_LAYERS = 1 << 16 };
    if (!nn__is_size(g, name, "layers", o.layers)) return NULL;
    if (o.layers > MOST_LAYERS)
        return ad_fail(g, AD_EVALUE, "%s: %d layers: at most %d", name, o.layers, MOST_LAYERS), NULL;
    nn_module *layers = list_of(g, t, o, make), *m = layers ? nn_module_new(g, name, forward, sizeof(stack)) : NULL;
    if (m == NULL) return NULL;
    m->forward_n = forward_n;
    stack *s = nn_self(m);
    add(m, &s->layers, "layers", layers);
    if (o.final_norm) add(m, &s->norm, "norm", nn_layer_norm(g, t, AD_SHAPE(o.width)));
    return ad_ok(g) ? m : NULL;
}

/* ---- encoders ------------------------------------------------------------------------------------------------ */

static ad_var *encoder_layer_forward(nn_module *m, ad_var *x) { return apply_layer(nn_self(m), x, &(context){ 0 }); }
static ad_var *encoder_forward(nn_module *m, ad_var *x) { return apply_stack(nn_self(m), x, &(context){ 0 }); }

nn_module *nn_transformer_encoder_layer(ad_graph *g, ad_dtype t, nn_transformer_opts o) {
    return layer_new(g, t, o, "transformer_encoder_layer", encoder_layer_forward, false);
}
nn_module *nn_transformer_encoder(ad_graph *g, ad_dtype t, nn_transformer_opts o) {
    return stack_new(g, t, o, "transformer_encoder", encoder_forward, nn_transformer_encoder_layer);
}

ad_var *nn_apply_encoder(nn_module *m, ad_var *x, nn_attention_masks masks) {
    if (m == NULL) return nn__without_module("apply_encoder", 3, (ad_var *[]){ x, masks.mask, masks.padding });
    ad_graph *g = x ? ad_graph_of(x) : nn_graph_of(m);
    if (nn__check_apply(m, x)) return ad_nil(g);
    const context c = { .masks = masks };
    if (m->forward == encoder_layer_forward || m->forward == encoder_forward) return apply_part(m, x, &c);
    return ad_fail(g, AD_EVALUE, "apply_encoder: the module is a %s, not an encoder", m->kind), ad_nil(g);
}

/* ---- decoders ------------------------------------------------------------------------------------------------ */

static ad_var *decoder_layer_forward(nn_module *m, ad_var *x) {
    return apply_layer(nn_self(m), x, &(context){ .memory = x });
}
static ad_var *decoder_forward(nn_module *m, ad_var *x) {
    return apply_stack(nn_self(m), x, &(context){ .memory = x });
}

nn_module *nn_transformer_decoder_layer(ad_graph *g, ad_dtype t, nn_transformer_opts o) {
    return layer_new(g, t, o, "transformer_decoder_layer", decoder_layer_forward, true);
}
nn_module *nn_transformer_decoder(ad_graph *g, ad_dtype t, nn_transformer_opts o) {
    return stack_new(g, t, o, "transformer_decoder", decoder_forward, nn_transformer_decoder_layer);
}

ad_var *nn_apply_decoder(nn_module *m, ad_var *x, ad_var *memory, nn_attention_masks masks,
                         nn_attention_masks memory_masks) {
    ad_var *const all[] = {
        x, memory, masks.mask, masks.padding, memory_masks.mask, memory_masks.padding,
    };
    if (m == NULL) return nn__without_module("apply_decoder", 6, all);
    ad_graph *g = x ? ad_graph_of(x) : nn_graph_of(m);
    if (nn__check_apply(m, x) || nn__check_apply(m, memory)) return ad_nil(g);
    const context c = { masks, memory_masks, memory };
    if (is_decoder(m)) return apply_part(m, x, &c);
    return ad_fail(g, AD_EVALUE, "apply_decoder: the module is a %s, not a decoder", m->kind), ad_nil(g);
}

/* ---- kinds --------------------------------------------------------------------------------------------------- */

static bool is_layer(const nn_module *m) {
    return m->forward == encoder_layer_forward || m->forward == decoder_layer_forward;
}
static bool is_stack(const nn_module *m) { return m->forward == encoder_forward || m->forward == decoder_forward; }
static bool is_decoder(const nn_module *m) {
    return m->forward == decoder_layer_forward || m->forward == decoder_forward;
}
