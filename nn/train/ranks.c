/* ranks.c: a step of a training by several ranks: each has parts of the minibatch, whose gradients, losses and buffers
   are added up. */
#include <math.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/module/module_private.h"
#include "nn/train/same.h"
#include "nn/train/training.h"
#include "ops/ops.h"

struct nn__shares {
    int64_t parts, first, end; /* of a minibatch; this rank's are first .. end-1 */
    int n;
    ad_var **xs;    /* [n] the parameters that the optimiser moves */
    double *values; /* what finish adds up: see layout_of */
    int n_buffers;
    size_t buffer_bytes;
    char *before, *after;   /* the buffers before the step; after each of this rank's parts */
    bool *changed;          /* [parts of this rank][n_buffers] */
    ad_random_state common; /* the random numbers of all ranks */
    bool stands_in;         /* the rows that are computed are not this rank's, and do not count */
    bool is_backward;       /* the forward pass of a part is over */
    double full;            /* what scales are relative to */
    nn__rows_of_step *rows; /* of a closure, with its weight */
    double weight;
};

/* ---- what is added up at the end of a step ----------------------------------------------------------------------- */

/* Places in values. Losses, weights and rows have one place for each block, so that they too are added in a fixed
   order, or one in all. */
typedef struct {
    int64_t interrupted, more, losses, weights, rows, slots, has_grad, buffers, n;
} layout;

static layout layout_of(const nn__run *t) {
    const nn__shares *s = t->shares;
    layout l = { .interrupted = 0, .more = 1, .losses = 2, .slots = t->ranks->blocks > 0 ? s->parts : 1 };
    l.weights = l.losses + l.slots, l.rows = l.weights + l.slots;
    l.has_grad = l.rows + l.slots, l.buffers = l.has_grad + s->n, l.n = l.buffers + s->n_buffers;
    return l;
}

static double total(const nn__run *t, int64_t from) {
    double sum = 0;
    for (int64_t i = 0; i < layout_of(t).slots; i++) sum += t->shares->values[from + i];
    return sum;
}

static void note_part(nn__run *t, int64_t part, double loss, double weight, int64_t rows) {
    layout l = layout_of(t);
    double *values = t->shares->values;
    int64_t slot = t->ranks->blocks > 0 ? part : 0;
    values[l.losses + slot] += loss * weight;
    values[l.weights + slot] += weight;
    values[l.rows + slot] += (double)rows;
    for (int i = 0; i < t->shares->n; i++)
        if (ad_has_grad(t->shares->xs[i])) values[l.has_grad + i] = 1;
}

/* ---- buffers, such as running averages --------------------------------------------------------------------------- */

static ad_var *buffer_at(const nn__run *t, int i) { return nn_buffer_at(t->net, i).var; }

static void keep_buffers(const nn__run *t, char *to) {
    for (int i = 0; i < t->shares->n_buffers; i++) {
        size_t bytes = ad_bytes_of(buffer_at(t, i));
        if (bytes > 0) memcpy(to, ad_data(buffer_at(t, i)), bytes);
        to += bytes;
    }
}

static void put_buffers_back(const nn__run *t, const char *from) {
    for (int i = 0; i < t->shares->n_buffers; i++) {
        ad_var *x = buffer_at(t, i);
        size_t bytes = ad_bytes_of(x);
        if (bytes > 0 && memcmp(ad_data(x), from, bytes) != 0) memcpy(ad_data_mut(x), from, bytes);
        from += bytes;
    }
}

/* Notes which buffers a part has changed, and puts them back. */
static void note_buffers(nn__run *t, int64_t part) {
    nn__shares *s = t->shares;
    layout l = layout_of(t);
    int64_t own = part - s->first;
    char *after = s->after + (size_t)own * s->buffer_bytes, *before = s->before;
    if (s->n_buffers == 0 || !ad_ok(t->g)) return;
    keep_buffers(t, after);
    for (int i = 0; i < s->n_buffers; i++) {
        size_t bytes = ad_bytes_of(buffer_at(t, i));
        bool changed = memcmp(before, after, bytes) != 0;
        s->changed[own * s->n_buffers + i] = changed;
        s->values[l.buffers + i] += changed;
        before += bytes, after += bytes;
    }
    put_buffers_back(t, s->before);
}

/* The elements of the buffers that some part has changed: those of this rank's parts, to be added up. With blocks, each
   has a place of its own. */
static void collect_buffers(const nn__run *t, int64_t each, double *to) {
    const nn__shares *s = t->shares;
    for (int64_t part = s->first; part < s->end; part++) {
        const char *after = s->after + (size_t)(part - s->first) * s->buffer_bytes;
        double *at = to + (t->ranks->blocks > 0 ? part * each : 0);
        for (int i = 0; i < s->n_buffers; i++) {
            ad_var *x = buffer_at(t, i);
            bool adds = s->changed[(part - s->first) * s->n_buffers + i];
            for (int64_t k = 0; s->values[layout_of(t).buffers + i] > 0 && k < ad_numel(x); k++)
                *at++ += adds ? ad_read_element(ad_dtype_of(x), after, k) : 0;
            after += ad_bytes_of(x);
        }
    }
}

/* Sets these buffers to the means. */
static void set_buffers(const nn__run *t, int64_t each, const double *from) {
    const nn__shares *s = t->shares;
    for (int i = 0; i < s->n_buffers; i++) {
        ad_var *x = buffer_at(t, i);
        double count = s->values[layout_of(t).buffers + i];
        void *to = count > 0 ? ad_data_mut(x) : NULL;
        for (int64_t k = 0; k < ad_numel(x) && to != NULL; k++, from++) {
            double sum = 0;
            for (int64_t slot = 0; slot < layout_of(t).slots; slot++) sum += from[slot * each];
            ad_write_element(ad_dtype_of(x), to, k, sum / count);
        }
    }
}

static int average_buffers(nn__run *t) {
    const nn__shares *s = t->shares;
    int64_t each = 0, slots = layout_of(t).slots;
    for (int i = 0; i < s->n_buffers; i++)
        if (s->values[layout_of(t).buffers + i] > 0) each += ad_numel(buffer_at(t, i));
    if (each == 0) return AD_OK;
    double *elements = ad_scope_zalloc(t->g, (size_t)(each * slots) * sizeof *elements);
    if (elements != NULL) collect_buffers(t, each, elements);
    int rc = t->ranks->sum(t->g, each * slots, elements, t->ranks->data);
    if (rc == AD_OK) set_buffers(t, each, elements);
    return rc;
}

/* ---- one part ---------------------------------------------------------------------------------------------------- */

/* Each part of each minibatch of a step draws from a stream of its own, a function of where the training is. */
static ad_random_state stream_of(const nn__run *t, int64_t minibatch, int64_t part) {
    uint64_t h = t->shares->common.seed;
    const uint64_t from[] = { t->shares->common.counter, (uint64_t)t->s.steps, (uint64_t)minibatch, (uint64_t)part };
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        h += from[i] + 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
        h = (h ^ h >> 27) * 0x94d049bb133111ebu;
        h ^= h >> 31;
    }
    return (ad_random_state){ h, 0 };
}

/* What stands in adds nothing, and gets no slopes by the statistics. */
static int sum_of_batch(ad_graph *g, int64_t n, double *values, void *training) {
    const nn__run *t = training;
    if (t->shares->stands_in) memset(values, 0, (size_t)n * sizeof *values);
    int rc = t->ranks->sum(g, n, values, t->ranks->data);
    if (t->shares->stands_in && t->shares->is_backward) memset(values, 0, (size_t)n * sizeof *values);
    return rc;
}

static void ignore_leaf(ad_var *leaf, void *data) { (void)leaf, (void)data; }

/* scale: of the gradients, in the loss; 1 where the ranks' library scales. told: leaves are reported. */
static double backward(nn__run *t, nn__rows_of_step *b, double scale, bool told, bool *keep_scope) {
    if (t->o->compile) return nn__compiled_rows(t, b, keep_scope);
    const nn_ranks *r = t->ranks;
    ad_var *loss = nn__loss_of_rows(b), *y = scale == 1 ? loss : ad_muls(loss, scale);
    t->shares->is_backward = true;
    ad_backward_with(y, NULL, told ? t->shares->n : 0, t->shares->xs, told ? r->ready : ignore_leaf, r->data);
    return ad_item(loss);
}

static double weight_of(const nn__rows_of_step *b) {
    return b->w ? ad_item(ad_sum(b->w)) : (double)ad_shape_of(b->x).dim[0];
}

/* A mean has no weights that are all 0: what does not count is scaled by 0 instead. */
static void drop_weights(nn__rows_of_step *b) {
    if (b->w != NULL) b->w = ad_ones(ad_graph_of(b->x), ad_dtype_of(b->w), AD_SHAPE(ad_shape_of(b->x).dim[0]));
}

/* Loss and gradients of the rows of a part. Rows of weight 0 are rows all the same: statistics count them, and so does
   the number of rows. last: of the step's minibatches. */
static void differentiate_part(nn__run *t, nn__rows_of_step *b, int64_t minibatch, int64_t part, bool last,
                               bool *keep_scope) {
    nn__shares *s = t->shares;
    const nn_ranks *r = t->ranks;
    /* Statistics of all ranks need slopes of one scale. */
    bool grouped = t->o->accumulate > 1, in_loss = grouped || r->batch_norm;
    double weight = s->stands_in ? 0 : weight_of(b), scale = weight / s->full;
    if (!ad_ok(t->g)) return;
    if (weight == 0) drop_weights(b);
    if (s->stands_in) keep_buffers(t, s->after);
    if (r->blocks == 0) r->begin(t->g, s->n, s->xs, grouped || (in_loss && !s->stands_in) ? 1 : scale, r->data);
    ad_random_set(t->g, stream_of(t, minibatch, part));
    ad_sum_over(t->g, r->batch_norm ? sum_of_batch : NULL, t);
    double loss = backward(t, b, in_loss ? scale : 1, last && r->blocks == 0 && r->ready != NULL, keep_scope);
    ad_sum_over(t->g, NULL, NULL);
    s->is_backward = false;
    ad_random_set(t->g, s->common);
    if (s->stands_in) put_buffers_back(t, s->after);
    else note_part(t, part, loss, weight, ad_shape_of(b->x).dim[0]);
    if (r->blocks > 0) r->add(t->g, part, scale, r->data);
}

/* ---- a minibatch ------------------------------------------------------------------------------------------------- */

static ad_var *rows_of(ad_var *x, int64_t from, int64_t n) { return x ? nn__rows_of(x, from, n) : NULL; }

/* Some of b's rows, or the first one in place of none. */
static nn__rows_of_step part_of(nn__run *t, const nn__rows_of_step *b, int64_t from, int64_t to) {
    t->shares->stands_in = from == to;
    if (from == to) from = 0, to = 1;
    return (nn__rows_of_step){ t, rows_of(b->x, from, to - from), rows_of(b->y, from, to - from),
                               rows_of(b->w, from, to - from) };
}

/* One block after the other. b has the rows of all blocks of this rank, or of all ranks; n is how many the minibatch
   has. */
static void differentiate_blocks(nn__run *t, const nn__rows_of_step *b, int64_t n, bool *keep_scope) {
    nn__shares *s = t->shares;
    int64_t start = t->o->mix != NULL ? 0 : s->first * n / s->parts;
    bool none = nn__loader_stands_in(t->loader) && t->o->mix == NULL;
    for (int64_t k = s->first; k < s->end && ad_ok(t->g); k++) {
        int64_t from = k * n / s->parts - start, to = (k + 1) * n / s->parts - start;
        if (none) from = to = 0;
        ad_mark m = ad_begin(t->g);
        bool keep = false;
        nn__rows_of_step part = part_of(t, b, from, to);
        nn__zero_gradients(t);
        if (!s->stands_in) differentiate_part(t, &part, 0, k, true, &keep);
        else t->ranks->add(t->g, k, 0, t->ranks->data);
        note_buffers(t, k);
        *keep_scope |= keep;
        if (!*keep_scope) ad_end(t->g, m);
    }
}

/* The rows of this rank. After mix, b has those of all ranks. */
static void differentiate_rows(nn__run *t, const nn__rows_of_step *b, int64_t minibatch, bool last, bool *keep) {
    nn__shares *s = t->shares;
    int64_t n = ad_shape_of(b->x).dim[0];
    bool whole = t->loader != NULL && t->o->mix != NULL;
    nn__rows_of_step part = *b;
    s->stands_in = t->loader != NULL && !whole && nn__loader_stands_in(t->loader);
    if (whole) part = part_of(t, b, s->first * n / s->parts, s->end * n / s->parts);
    differentiate_part(t, &part, minibatch, s->first, last, keep);
}

/* What scales are relative to: the weights of the whole minibatch, or of a full step; 1 for a stream, which tells of
   its own rows alone. */
static double full_weight(const nn__run *t) {
    if (t->o->accumulate > 1) return (double)t->o->accumulate * (double)t->o->batch;
    return t->loader ? nn__loader_weight(t->loader, t->o->weights) : 1;
}

static bool is_last(const nn__run *t, int64_t i) {
    return i + 1 == t->o->accumulate || (t->loader != NULL && !nn__loader_has_more(t->loader));
}

/* Statistics over all ranks need rows on each. */
static bool check_more(nn__run *t, bool more) {
    if (!t->ranks->batch_norm || t->o->stream == NULL) return more;
    double ended = !more;
    if (t->ranks->sum(t->g, 1, &ended, t->ranks->data) != AD_OK) return false;
    if (ended > 0 && ended < t->ranks->size && !more)
        ad_fail(t->g, AD_EVALUE,
                "fit: the stream has ended while those of other ranks have more; batch_norm over all "
                "ranks needs rows on each");
    return more && ended == 0;
}

/* Differentiates minibatch i of a step; false where there is none, and after an error. */
static bool add_minibatch(nn__run *t, int64_t i, bool *keep_scope) {
    nn__rows_of_step b = { .t = t };
    bool more = check_more(t, nn__next_rows(t, &b));
    if (!more) return false;
    t->shares->common = ad_random_get(t->g);
    t->shares->full = full_weight(t);
    if (!(t->shares->full > 0)) ad_fail(t->g, AD_EVALUE, "fit: the weights of the rows of a minibatch are all 0");
    if (t->ranks->blocks == 0) differentiate_rows(t, &b, i, is_last(t, i), keep_scope);
    else differentiate_blocks(t, &b, (int64_t)nn__loader_weight(t->loader, NULL), keep_scope);
    return ad_ok(t->g);
}

/* ---- the step ---------------------------------------------------------------------------------------------------- */

static void list_parameters(nn__run *t) {
    nn__shares *s = t->shares;
    s->n = 0;
    for (int i = 0; i < t->opt->n; i++) {
        ad_var *x = t->opt->slots[i].parameter.var;
        if (ad_requires_grad(x)) s->xs[s->n++] = x;
    }
}

static void begin_step(nn__run *t) {
    nn__shares *s = t->shares;
    list_parameters(t);
    memset(s->values, 0, (size_t)layout_of(t).n * sizeof *s->values);
    if (s->n_buffers > 0) keep_buffers(t, s->before);
    s->stands_in = true;
    s->full = t->loader ? 0 : full_weight(t);
    nn__zero_gradients(t);
    t->ranks->begin(t->g, s->n, s->xs, 0, t->ranks->data);
}

/* Adds up what all ranks have, also after an error, of which they all learn. */
static int end_step(nn__run *t) {
    nn__shares *s = t->shares;
    layout l = layout_of(t);
    s->values[l.interrupted] = t->o->catch_interrupt && nn__interrupted();
    if (t->ranks->blocks == 0) note_buffers(t, s->first);
    int rc = t->ranks->finish(t->g, l.n, s->values, t->ranks->data);
    if (rc != AD_OK) return rc;
    for (int i = 0; i < s->n; i++)
        if (s->values[l.has_grad + i] == 0) ad_zero_grad(s->xs[i]);
    double weight = total(t, l.weights);
    if (weight > 0 && weight != s->full) nn__scale_optim(t->opt, s->full / weight);
    if (s->values[l.interrupted] > 0) t->stop = t->s.interrupted = true;
    return average_buffers(t);
}

static double loss_of_step(const nn__run *t) {
    double weight = total(t, layout_of(t).weights);
    return weight > 0 ? total(t, layout_of(t).losses) / weight : NAN;
}

/* What the loss of a closure is multiplied with, so that statistics of all ranks get slopes of one scale. */
static double scale_in_loss(const nn__run *t) {
    const nn__shares *s = t->shares;
    return t->ranks->batch_norm && !s->stands_in ? s->weight / s->full : 1;
}

/* An nn_closure_fn. */
static ad_var *loss_of_part(void *rows) {
    double scale = scale_in_loss(((nn__rows_of_step *)rows)->t);
    ad_var *loss = nn__loss_of_rows(rows);
    return scale == 1 ? loss : ad_muls(loss, scale);
}

/* After each evaluation of a closure, an nn_gradient_fn. */
static int add_closure(nn_optim *opt, double *loss, void *rows) {
    nn__rows_of_step *b = rows;
    nn__run *t = b->t;
    (void)opt;
    double weight = t->shares->weight, in_loss = scale_in_loss(t);
    *loss /= in_loss;
    memset(t->shares->values, 0, (size_t)layout_of(t).n * sizeof(double));
    t->ranks->begin(t->g, t->shares->n, t->shares->xs, weight / t->shares->full / in_loss, t->ranks->data);
    if (weight > 0 && ad_ok(t->g)) note_part(t, t->shares->first, *loss, weight, ad_shape_of(b->x).dim[0]);
    int rc = end_step(t);
    *loss = loss_of_step(t);
    if (t->shares->n_buffers > 0 && rc == AD_OK) keep_buffers(t, t->shares->before);
    return rc;
}

/* The step of an optimiser that evaluates the loss itself. */
static bool closure_step(nn__run *t, double *loss) {
    nn__rows_of_step b = { .t = t };
    nn__shares *s = t->shares;
    if (!nn__next_rows(t, &b)) return false;
    s->stands_in = nn__loader_stands_in(t->loader);
    s->common = ad_random_get(t->g);
    s->weight = s->stands_in ? 0 : (double)ad_shape_of(b.x).dim[0];
    s->full = full_weight(t);
    nn_on_gradient(t->opt, add_closure, &b);
    ad_sum_over(t->g, t->ranks->batch_norm ? sum_of_batch : NULL, t);
    nn_step_closure(t->opt, loss_of_part, &b, loss);
    ad_sum_over(t->g, NULL, NULL);
    nn_on_gradient(t->opt, NULL, NULL);
    return ad_ok(t->g);
}

/* Sums of several minibatches have no program, and each is in a scope of its own. */
static bool differentiate_all(nn__run *t, bool *keep_scope) {
    bool any = false, over = false; /* over: the loader has no more; a stream's other ranks may have some */
    for (int64_t i = 0; i < t->o->accumulate && ad_ok(t->g) && !over; i++) {
        if (i > 0 && t->loader != NULL && !nn__loader_has_more(t->loader)) break;
        ad_mark m = ad_begin(t->g);
        bool keep = false;
        bool more = add_minibatch(t, i, &keep);
        any |= more, over = !more && t->loader != NULL;
        *keep_scope |= keep;
        if (!*keep_scope) ad_end(t->g, m);
    }
    return any;
}

static bool rule_step(nn__run *t, bool *keep_scope) {
    nn__shares *s = t->shares;
    bool more = differentiate_all(t, keep_scope);
    if (!more && t->loader != NULL && ad_ok(t->g)) return false;
    double *any = &s->values[layout_of(t).more];
    *any = more;
    if (end_step(t) != AD_OK) return false;
    if (*any == 0 && t->rows == 0)
        ad_fail(t->g, AD_EVALUE, "fit: the streams have no minibatch in epoch %lld", (long long)t->s.epoch);
    if (*any == 0) return false;
    if (nn__is_usable(t, "loss", loss_of_step(t)) && nn__clip_step(t)) nn_step(t->opt);
    return true;
}

/* Trains on this rank's part of the next minibatch; false at the end of the epoch and after an error. */
bool nn__ranks_step(nn__run *t) {
    ad_mark m = ad_begin(t->g);
    bool keep_scope = false, more;
    double loss = NAN;
    int64_t rows = 0;
    begin_step(t);
    if (t->opt->method->minimise != NULL) more = closure_step(t, &loss);
    else if ((more = rule_step(t, &keep_scope))) loss = loss_of_step(t);
    if (more) rows = (int64_t)total(t, layout_of(t).rows);
    if (!keep_scope) ad_end(t->g, m);
    if (more && ad_ok(t->g)) nn__after_step(t, loss, rows);
    return more && ad_ok(t->g);
}

/* ---- the beginning and the end ----------------------------------------------------------------------------------- */

bool nn__any_rank(nn__run *t, bool wanted) {
    double sum = wanted;
    if (t->ranks == NULL) return wanted;
    return t->ranks->sum(t->g, 1, &sum, t->ranks->data) == AD_OK && sum > 0;
}

int nn__ranks_agree(nn__run *t) {
    if (t->ranks != NULL) t->ranks->sum(t->g, 0, NULL, t->ranks->data);
    return ad_error_code(t->g);
}

int nn__check_functions_of(ad_graph *g, const nn_ranks *r) {
    if (r == NULL) return AD_OK;
    bool whole = r->sum && r->broadcast && r->gather && r->begin && r->finish && (r->blocks == 0 || r->add);
    if (whole && r->rank >= 0 && r->rank < r->size && r->blocks >= 0) return AD_OK;
    ad_fail(g, AD_EVALUE, "fit: rank %d of %d, %lld blocks: the rank must be from 0 to below size, blocks 0 or more, "
            "and all functions be given but ready", r->rank, r->size, (long long)r->blocks);
    return AD_EVALUE;
}

/* What steps over ranks cannot do. */
int nn__check_ranks(const nn__run *t) {
    const nn_ranks *r = t->ranks;
    const nn_fit_opts *o = t->o;
    bool minimises = t->opt->method->minimise != NULL;
    if (r == NULL) return AD_OK;
    if (r->blocks > 0 && r->batch_norm)
        return ad_fail(t->g, AD_EVALUE,
                       "fit: batch_norm over all ranks goes without blocks (ordered), which are "
                       "computed one after the other");
    if (r->blocks > 0 && (o->accumulate > 1 || o->stream != NULL || minimises))
        return ad_fail(t->g, AD_EVALUE,
                       "fit: blocks (ordered) go without accumulate, a stream, and an optimiser that "
                       "evaluates the loss itself; they need no more memory than one block, so take a larger batch");
    if (minimises && (o->stream != NULL || o->mix != NULL))
        return ad_fail(t->g, AD_EVALUE, "fit: over ranks, %s takes neither a stream nor mix", t->opt->method->name);
    if (o->compile && (r->batch_norm || o->accumulate > 1 || o->weights != NULL))
        return ad_fail(t->g, AD_EVALUE,
                       "fit: over ranks, compile goes without batch_norm over all ranks, accumulate "
                       "and weights");
    return AD_OK;
}

int nn__ranks_begin(nn__run *t, nn_dataset data) {
    const nn_ranks *r = t->ranks;
    if (r == NULL) return AD_OK;
    if (nn__check_same(t, data) != AD_OK) return ad_error_code(t->g);
    int n = t->opt->n, buffers = nn_buffer_count(t->net);
    nn__shares *s = t->shares = ad_scope_zalloc(t->g, sizeof *s);
    if (s == NULL) return AD_ENOMEM;
    s->parts = r->blocks > 0 ? r->blocks : r->size;
    s->first = r->rank * s->parts / r->size, s->end = (r->rank + 1) * s->parts / r->size;
    int64_t own = s->end - s->first;
    s->n_buffers = buffers;
    for (int i = 0; i < buffers; i++) s->buffer_bytes += ad_bytes_of(buffer_at(t, i));
    s->n = n;
    s->xs = ad_scope_alloc(t->g, (size_t)n * sizeof *s->xs + 1);
    s->values = ad_scope_alloc(t->g, (size_t)layout_of(t).n * sizeof *s->values);
    s->before = ad_scope_alloc(t->g, s->buffer_bytes + 1);
    s->after = ad_scope_alloc(t->g, (size_t)own * s->buffer_bytes + 1);
    s->changed = ad_scope_zalloc(t->g, (size_t)own * (size_t)buffers + 1);
    return ad_error_code(t->g);
}

void nn__ranks_split(nn__run *t) {
    const nn__shares *s = t->shares;
    if (t->ranks != NULL && t->o->mix == NULL) nn__loader_split(t->loader, s->first, s->end, s->parts);
}
