/* flat_rows.c: packs the instructions of a flat program. Where they repeat, those of many repetitions follow one
   another, so that they need not wait for each other, and become one instruction with rows if they use slots at fixed
   steps.

   The same is computed from the same numbers: a slot that is written or added to more than once, or read afterwards, is
   used in the order of before. */
#include "autodiff/pass/flat.h"

enum {
    MOST_PIECES = 64, /* of a body: bits of a word */
    FEWEST_ROWS = 8,
    MOST_ROWS = 64,
    TILE_BYTES = 16384, /* of the slots that the rows of a body use: half of a first-level cache */
    SEEN = 1024,
    LIKE = 4, /* so many instructions with the same functions are a sign that a body repeats */
    WHOLE = 3, /* a piece with all operands */
    CALLS = 256 /* as many may lie on the stack */
};

/* A part of an instruction: all of it, or for slopes what it does for one operand. */
typedef struct {
    uint8_t item, operand;
} piece;

/* Instructions at .. at + period * rows repeat the first `period` of them. */
typedef struct {
    size_t at, period, rows;
    int n;
    piece pieces[MOST_PIECES];
    uint8_t first[MOST_PIECES + 1]; /* by instruction: its first piece */
    uint64_t after[MOST_PIECES];    /* by piece: those that it comes after, in the same repetition or a later one */
    int n_groups;
    uint64_t groups[MOST_PIECES]; /* in their order; the pieces of a group wait for each other in turn */
} body;

typedef struct {
    const ad__flat *p;
    const ad__instr *items; /* rows: the number of the Op + 1, or 0 if it is run by its descriptor */
    size_t n;
    bool slopes;
    uint32_t *last; /* by slot: the piece of a body that used it last; see tag */
    uint32_t tag;   /* of the present body: a multiple of MOST_PIECES */
    ad__instr *code;
    size_t n_code, since; /* since: instructions after the last one that returns */
    uint32_t seen[SEEN];  /* by functions of LIKE instructions: the place after the last ones that had these */
    size_t period, end;   /* instructions repeat after this period, up to the end */
} packer;

/* ---- finding bodies ------------------------------------------------------------------------------------------ */

static bool alike(const ad__instr *a, const ad__instr *b) {
    return a->run == b->run && a->rows && b->rows && memcmp(a->how, b->how, sizeof a->how) == 0;
}

/* Rows from `at` on. The same end is not looked for twice. */
static size_t count_rows(packer *q, size_t at, size_t period) {
    if (period == q->period && at + period <= q->end) return (q->end - at) / period;
    size_t k = at + period;
    while (k < q->n && alike(&q->items[k], &q->items[k - period])) k++;
    q->period = period, q->end = k;
    return (k - at) / period;
}

static size_t place_of(uint64_t key) { return key * 0x9e3779b97f4a7c15u >> 54; }

/* Makes key that of the LIKE instructions up to place k. Finds a body that begins where they were met last, from
   `from` on; false if there is none. */
static bool find_body(packer *q, size_t from, size_t k, uint64_t *key, body *b) {
    const ad__instr *i = &q->items[k];
    *key = *key << 64 / LIKE ^ (uint16_t)((uintptr_t)i->run >> 5) ^ (uint16_t)(i->how[0] << 14);
    uint32_t *seen = &q->seen[place_of(*key)];
    size_t at = *seen;
    *seen = (uint32_t)k + 1;
    if (at < from + LIKE || k + 1 - at > MOST_PIECES) return false;
    b->at = at - LIKE, b->period = k + 1 - at;
    b->rows = count_rows(q, b->at, b->period);
    return b->rows >= FEWEST_ROWS;
}

/* ---- what waits for what ------------------------------------------------------------------------------------- */

static const ad_op *op_of(const packer *q, const ad__instr *i) { return q->p->ops[i->rows - 1]; }

/* True if c follows b as b follows a. */
static bool is_next(const ad__instr *a, const ad__instr *b, const ad__instr *c) {
    bool next = c->y - b->y == b->y - a->y;
    for (int k = 0; k < 3; k++) next &= c->in[k] - b->in[k] == b->in[k] - a->in[k];
    return next;
}

/* True if the steps from row to row are the same. */
static bool is_even(const ad__instr *i, size_t period, size_t rows) {
    bool even = true;
    for (size_t r = 2; r < rows && even; r++, i += period) even = is_next(i, &i[period], &i[2 * period]);
    return even;
}

/* The function with rows for a piece of an instruction; NULL if there is none. */
static ad__instr_fn *rows_of(const packer *q, const ad__instr *i, int operand) {
    const ad_op *op = op_of(q, i);
    const ad__flat_rows *rows = *ad__flat_code_of(op)->rows;
    if (rows == NULL || ad__out(op)->layout->dtype != AD_F64) return NULL;
    return !q->slopes ? rows->value : operand == WHOLE ? NULL : rows->slopes[operand];
}

static void add_piece(body *b, size_t item, int operand) {
    if (b->n < MOST_PIECES) b->pieces[b->n] = (piece){ (uint8_t)item, (uint8_t)operand };
    b->n++;
}

/* False if there are too many pieces. */
static bool cut(const packer *q, body *b) {
    b->n = 0;
    for (size_t j = 0; j < b->period && b->n <= MOST_PIECES; j++) {
        const ad__instr *i = &q->items[b->at + j];
        b->first[j] = (uint8_t)b->n;
        bool whole = !q->slopes || rows_of(q, i, 0) == NULL || !is_even(&i[b->period], b->period, b->rows - 1);
        if (whole) add_piece(b, j, WHOLE);
        for (int k = 0; k < 2 && !whole; k++)
            if (i->how[k] != AD__NO_SLOPE) add_piece(b, j, k);
    }
    b->first[b->period] = (uint8_t)b->n;
    return b->n <= MOST_PIECES;
}

static uint32_t *last_of(const packer *q, uint32_t offset) {
    return &q->last[(offset - offsetof(ad__flat, slots)) / sizeof(ad__slot)];
}

/* The piece comes after the one that used the slot last. */
static void comes_after(const packer *q, body *b, int x, uint32_t offset) {
    uint32_t last = *last_of(q, offset) - q->tag;
    if (last < MOST_PIECES) b->after[x] |= (uint64_t)1 << last;
}

static void follow_value(const packer *q, body *b, const ad__instr *i, int n_in, int x) {
    for (int k = 0; k < n_in; k++) comes_after(q, b, x, i->in[k]);
    *last_of(q, i->y) = q->tag + (uint32_t)x;
}

/* A gradient is added to by the slopes of those that use the result, and then read. */
static void follow_slopes(const packer *q, body *b, const ad__instr *i, int n_in, int from, int to) {
    for (int x = from; x < to; x++) comes_after(q, b, x, i->y);
    for (int k = 0; k < n_in; k++) {
        if (i->how[k] == AD__NO_SLOPE) continue;
        int x = to - from > 1 ? from + k : from;
        comes_after(q, b, x, i->in[k]);
        *last_of(q, i->in[k]) = q->tag + (uint32_t)x;
    }
}

static void follow(packer *q, body *b) {
    uint8_t n_in[MOST_PIECES];
    const ad__instr *i = &q->items[b->at];
    for (size_t j = 0; j < b->period; j++) n_in[j] = (uint8_t)op_of(q, &i[j])->n_in;
    q->tag += MOST_PIECES;
    memset(b->after, 0, (size_t)b->n * sizeof *b->after);
    for (size_t r = 0; r < b->rows; r++)
        for (size_t j = 0; j < b->period; j++, i++)
            if (q->slopes) follow_slopes(q, b, i, n_in[j], b->first[j], b->first[j + 1]);
            else follow_value(q, b, i, n_in[j], b->first[j]);
    for (int k = 0; k < b->n; k++) /* what those come after, too */
        for (int x = 0; x < b->n; x++)
            if (b->after[x] >> k & 1) b->after[x] |= b->after[k];
}

/* The pieces that come after piece x and before it; x itself. */
static uint64_t group_of(const body *b, int x) {
    uint64_t group = (uint64_t)1 << x;
    for (int k = 0; k < b->n; k++)
        if (b->after[x] >> k & b->after[k] >> x & 1) group |= (uint64_t)1 << k;
    return group;
}

/* Groups in an order in which each comes after all others that its pieces come after. */
static void group(body *b) {
    uint64_t own[MOST_PIECES], done = 0;
    b->n_groups = 0;
    for (int x = 0; x < b->n; x++) own[x] = group_of(b, x);
    for (int x = 0; x < b->n;) {
        if (done >> x & 1 || b->after[x] & ~own[x] & ~done) {
            x++;
            continue;
        }
        b->groups[b->n_groups++] = own[x];
        done |= own[x];
        x = 0;
    }
}

/* ---- code ---------------------------------------------------------------------------------------------------- */

static const ad__instr *stop(const ad__instr *at, ad__flat *p) {
    (void)p;
    return at + 1;
}

static const ad__instr *end(const ad__instr *at, ad__flat *p) {
    (void)at, (void)p;
    return NULL;
}

static void add(packer *q, ad__instr i) {
    if (++q->since == CALLS) q->code[q->n_code++] = (ad__instr){ .run = stop }, q->since = 1;
    q->code[q->n_code++] = i;
}

static void add_straight(packer *q, size_t from, size_t to) {
    for (size_t k = from; k < to; k++) {
        ad__instr i = q->items[k];
        i.rows = 0;
        add(q, i);
    }
}

/* The instruction with only those of its pieces that are in the group. */
static ad__instr part_of(const body *b, const ad__instr *i, size_t item, uint64_t group) {
    ad__instr part = *i;
    part.rows = 0;
    for (int x = b->first[item]; x < b->first[item + 1]; x++)
        if (b->pieces[x].operand != WHOLE && !(group >> x & 1)) part.how[b->pieces[x].operand] = AD__NO_SLOPE;
    return part;
}

static void add_rows(packer *q, const body *b, int x, const ad__instr *i, size_t rows) {
    ad__instr first = *i, steps = { .y = i[b->period].y - i->y };
    for (int k = 0; k < 3; k++) steps.in[k] = i[b->period].in[k] - i->in[k];
    first.run = rows_of(q, i, b->pieces[x].operand);
    first.rows = (uint32_t)rows;
    add(q, first);
    q->code[q->n_code++] = steps;
}

static bool is_single(uint64_t group) { return (group & (group - 1)) == 0; }

/* One group, for rows of a tile that begins at i. */
static void add_group(packer *q, const body *b, uint64_t group, const ad__instr *i, size_t rows) {
    int x = __builtin_ctzll(group);
    const ad__instr *own = &i[b->pieces[x].item];
    if (is_single(group) && rows_of(q, own, b->pieces[x].operand) != NULL && is_even(own, b->period, rows)) {
        add_rows(q, b, x, own, rows);
        return;
    }
    for (size_t r = 0; r < rows; r++, i += b->period)
        for (size_t j = b->pieces[x].item; j < b->period; j++) {
            uint64_t pieces = ((uint64_t)2 << (b->first[j + 1] - 1)) - ((uint64_t)1 << b->first[j]);
            if (pieces & group) add(q, part_of(b, &i[j], j, group));
        }
}

static void add_tiles(packer *q, const body *b) {
    size_t most = TILE_BYTES / sizeof(ad__slot) / b->period;
    most = most < FEWEST_ROWS ? FEWEST_ROWS : most > MOST_ROWS ? MOST_ROWS : most;
    size_t tiles = (b->rows + most - 1) / most, done = 0;
    for (size_t t = 0; t < tiles; t++) {
        size_t rows = b->rows * (t + 1) / tiles - done;
        for (int k = 0; k < b->n_groups; k++)
            add_group(q, b, b->groups[k], &q->items[b->at + done * b->period], rows);
        done += rows;
    }
}

/* True if most pieces need not wait for others in turn. Else the work of the rest would not be done meanwhile. */
static bool is_worthwhile(const body *b) {
    int waiting = 0;
    for (int k = 0; k < b->n_groups; k++)
        if (!is_single(b->groups[k])) waiting += __builtin_popcountll(b->groups[k]);
    return 2 * waiting < b->n;
}

static void add_body(packer *q, body *b) {
    bool worthwhile = cut(q, b);
    if (worthwhile) {
        follow(q, b);
        group(b);
        worthwhile = is_worthwhile(b);
    }
    if (worthwhile) add_tiles(q, b);
    else add_straight(q, b->at, b->at + b->period * b->rows);
}

static void pack(packer *q) {
    size_t from = 0;
    uint64_t key = 0;
    for (size_t k = 0; k < q->n; k++) {
        body b;
        if (!find_body(q, from, k, &key, &b)) continue;
        add_straight(q, from, b.at);
        add_body(q, &b);
        from = b.at + b.period * b.rows;
        k = from - 1;
    }
    add_straight(q, from, q->n);
    q->code[q->n_code++] = (ad__instr){ .run = end };
}

/* A body may take twice as much: two pieces of an instruction. */
static size_t most_code(size_t n) { return 2 * n + n / 64 + 4; }

ad__instr *ad__flat_pack(ad__flat *p, const ad__instr *items, size_t n, bool slopes, size_t *size) {
    ad__memory *m = &p->graph->memory;
    size_t code = most_code(n) * sizeof(ad__instr), last = (p->size / sizeof(ad__slot) + 1) * sizeof(uint32_t);
    packer q = { .p = p, .items = items, .n = n, .slopes = slopes };
    q.code = ad__memory_take(m, AD__ALIGN, code);
    q.last = q.code == NULL ? NULL : ad__memory_take(m, AD__ALIGN, last);
    ad__instr *packed = NULL;
    if (q.last != NULL) {
        memset(q.last, 0, last);
        pack(&q);
        *size = q.n_code * sizeof(ad__instr);
        packed = ad__pool_take(&p->graph->pool, *size);
        if (packed != NULL) memcpy(packed, q.code, *size);
    }
    ad__memory_give(m, q.last, last);
    ad__memory_give(m, q.code, code);
    return packed;
}
