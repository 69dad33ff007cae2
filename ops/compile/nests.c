/* nests.c: writes nests, loops over arrays, as C. The nests of a step share one loop. Joined steps share the loop over
   axis 0, that over rows. */
#include <stdio.h>
#include <string.h>

#include "ops/compile/source.h"

/* Sums are kept in LANES numbers at once, so that a compiler can use vectors. Each lane sums at most BLOCK / LANES
   numbers before it is added to the total, a double, so rounding errors stay small. A loop that computes several slow
   functions is cut into loops with one of them each, over tiles that take TILES bytes: the first-level cache holds them
   and the functions' tables. */
enum { LANES = 16, BLOCK = 4096, LEAST_TILE = 128, TILES = 12288 };

/* The nests of a step as they are written. */
typedef struct {
    ad__writer *w;
    int n, ndim;
    int first;    /* axis: of its own loops; 1 if it is joined to other steps */
    int number;   /* among the joined steps */
    ad__nest nest[AD__MEMBERS];
    const ad__form *form[AD__MEMBERS];
    int loop[AD__MEMBERS]; /* the inner loop that it is in */
    int loops;
    int from[AD__MEMBERS]; /* of a reduction over the last axes: the first of these; -1 for others */
    bool later[AD__MEMBERS], crosses[AD__MEMBERS]; /* other members read the value; in another inner loop */
    bool dead[AD__MEMBERS]; /* nobody reads it, as another member sets the elements again */
    int64_t tile; /* indices of the last axis at once; 0: all */
    int at;       /* the member that is being written */
} writing;

static const char *type_of(const writing *c, int k) { return ad__c_type(c->form[k]->dtype); }
static ad__text *body(writing *c) { return &c->w->body; }

/* ---- what the members read from each other ----------------------------------------------------------------------- */

/* The last member before k that computed what k reads at m; -1 if it is read from memory. */
static int source_of(const writing *c, int k, const ad__map *m) {
    for (int j = k; j-- > 0;) {
        const ad__nest *n = &c->nest[j];
        if (c->from[j] < 0 && ad__is_elementwise(n) && ad__same_place(n, &n->out, m)) return j;
    }
    return -1;
}

static bool is_local(const writing *c, int k) { return c->w->s->local[ad__buffer_of(c->nest[k].out.at)]; }

static void find_readers(writing *c) {
    for (int k = c->n; k-- > 0;) {
        const ad__nest *n = &c->nest[k];
        c->dead[k] = is_local(c, k) && !c->later[k];
        for (int i = 0; i <= n->n && !c->dead[k]; i++) {
            if (i == n->n ? n->kind != AD__ADD_TO : !(c->form[k]->used >> i & 1)) continue;
            int j = source_of(c, k, i == n->n ? &n->out : &n->in[i]);
            if (j < 0) continue;
            c->later[j] = true, c->crosses[j] |= c->loop[j] != c->loop[k];
        }
    }
}

static void find_reductions(writing *c) {
    for (int k = 0; k < c->n; k++) {
        int d = c->ndim;
        while (d > 0 && ad__reduces(&c->nest[k], d - 1)) d--;
        c->from[k] = d < c->ndim ? d : -1;
    }
}

/* Whether the step has no loop of its own: it computes numbers between the loops of other steps. */
static bool is_single(const writing *c) { return c->first == c->ndim; }

/* A loop has at most one member with slow functions, except where nothing is gained: without vectors. */
static void cut_loops(writing *c) {
    int slow = 0;
    c->loops = 1;
    for (int k = 0; k < c->n; k++) {
        bool vector = !c->w->portable && !is_single(c) && c->nest[0].dim[c->ndim - 1] > 1;
        bool is_slow = c->form[k]->calls > 0 && vector;
        if (is_slow && slow++ > 0) c->loops++, slow = 1;
        c->loop[k] = c->loops - 1;
    }
}

static bool has_lanes(const writing *c, int loop) {
    if (c->w->portable || is_single(c)) return false;
    for (int k = 0; k < c->n; k++)
        if (c->loop[k] == loop && c->from[k] >= 0 && c->nest[k].dim[c->ndim - 1] >= 2 * LANES) return true;
    return false;
}

static int64_t tile_of_loops(const writing *c) {
    int64_t bytes = 0;
    for (int k = 0; k < c->n; k++)
        if (c->crosses[k]) bytes += c->form[k]->dtype == AD_F32 ? 4 : 8;
    int64_t tile = TILES / (bytes + 4) / LANES * LANES;
    return tile > BLOCK ? BLOCK : tile < LEAST_TILE ? LEAST_TILE : tile;
}

static void choose_tile(writing *c) {
    int64_t n = c->nest[0].dim[c->ndim - 1];
    for (int i = 0; i < c->loops; i++)
        if (has_lanes(c, i)) c->tile = BLOCK;
    if (c->loops > 1) c->tile = tile_of_loops(c);
    if (c->tile > n) c->tile = n;
}

/* Whether the two reads are of one array, less than a vector apart. */
static bool are_neighbours(const writing *c, const ad__map *a, const ad__map *b) {
    int64_t apart = ad__offset_of(a->at) - ad__offset_of(b->at);
    return ad__buffer_of(a->at) == ad__buffer_of(b->at) && ad__is_memory(a->at) && a->stride[c->ndim - 1] == 1 &&
           b->stride[c->ndim - 1] == 1 && apart != 0 && -LANES < apart && apart < LANES;
}

static bool reads_neighbour_of(const writing *c, const ad__map *m) {
    for (int k = 0; k < c->n; k++)
        for (int i = 0; i < c->nest[k].n; i++)
            if (are_neighbours(c, m, &c->nest[k].in[i])) return true;
    return false;
}

/* Notes what the choice of the vectors' width depends on: see write_width in source.c. */
static void note_kind(writing *c) {
    for (int k = 0; k < c->n; k++) {
        if (c->form[k]->calls > 0) c->w->has_slow = true;
        for (int i = 0; i < c->nest[k].n && !c->w->has_slow && !c->w->has_stencil; i++)
            c->w->has_stencil = reads_neighbour_of(c, &c->nest[k].in[i]);
    }
}

/* ---- pointers and elements --------------------------------------------------------------------------------------- */

static void point_to(writing *c, int k, const ad__map *m, bool written) {
    const ad__nest *n = &c->nest[k];
    int64_t from = ad__offset_of(m->at);
    for (int d = 0; d < n->ndim; d++) {
        int64_t reach = m->stride[d] * (n->dim[d] - 1);
        if (reach < 0) from += reach;
    }
    ad__pointer_to(c->w, ad__buffer_of(m->at), from, written);
}

static void point_to_all(writing *c) {
    for (int k = 0; k < c->n; k++) {
        const ad__nest *n = &c->nest[k];
        if (c->dead[k]) continue;
        if (!is_local(c, k)) point_to(c, k, &n->out, true);
        for (int i = 0; i < n->n; i++) {
            bool local = c->w->s->local[ad__buffer_of(n->in[i].at)];
            if (c->form[k]->used >> i & 1 && ad__is_memory(n->in[i].at) && !local) point_to(c, k, &n->in[i], false);
        }
    }
}

/* from: the first axis that counts. */
static void write_index(ad__text *t, const ad__nest *n, const ad__map *m, int64_t offset, int from) {
    const char *plus = "";
    if (offset) ad__text_put(t, "%lld", (long long)offset), plus = " + ";
    for (int d = from; d < n->ndim; d++) {
        if (m->stride[d] == 0) continue;
        if (m->stride[d] == 1) ad__text_put(t, "%si%d", plus, d);
        else ad__text_put(t, "%s%lld * i%d", plus, (long long)m->stride[d], d);
        plus = " + ";
    }
    if (*plus == '\0') ad__text_put(t, "0");
}

static void write_element(writing *c, int k, const ad__map *m) {
    int64_t at = ad__offset_of(m->at);
    int b = ad__buffer_of(m->at), p = ad__pointer_to(c->w, b, at, false);
    ad__text_put(body(c), "p%d[", p);
    write_index(body(c), &c->nest[k], m, at - c->w->pointer[p].least, c->w->s->row[b]);
    ad__text_put(body(c), "]");
}

static void write_tile_element(writing *c, int j) { ad__text_put(body(c), "t%d[i%d - b]", j, c->ndim - 1); }

/* The value that member k reads at m: a variable, an element of a tile or one of memory. */
static void write_read(writing *c, int k, const ad__map *m) {
    int j = source_of(c, k, m);
    if (j >= 0 && c->loop[j] == c->loop[k]) ad__text_put(body(c), "m%d", j);
    else if (j >= 0 && is_local(c, j)) write_tile_element(c, j);
    else write_element(c, k, m);
}

static void write_operand(ad__text *t, void *context, int i) {
    writing *c = context;
    const ad__map *m = &c->nest[c->at].in[i];
    const ad__form *form = c->form[c->at];
    int b = ad__buffer_of(m->at);
    if (b == AD__NUMBER_BUFFER) {
        ad__text_number(t, form->dtype, c->w->e->numbers.at[ad__offset_of(m->at)]);
    } else if (b == AD__INDEX_BUFFER) {
        ad__text_put(t, "(%s)(", ad__c_type(form->dtype));
        write_index(t, &c->nest[c->at], m, ad__offset_of(m->at), 0);
        ad__text_put(t, ")");
    } else {
        if (c->w->e->buffers.at[b].dtype != form->dtype) ad__text_put(t, "(%s)", ad__c_type(form->dtype));
        write_read(c, c->at, m);
    }
}

static void write_value(writing *c, int k) {
    ad__writer *w = c->w;
    bool vector = !w->portable;
    c->at = k;
    ad__text_put(body(c), "(%s)(", type_of(c, k));
    ad__form_write(body(c), c->form[k], vector, &w->macros[c->form[k]->dtype][vector], write_operand, c);
    ad__text_put(body(c), ")");
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

enum { NAME = 32 };
static void name_total(const writing *c, int k, char name[NAME]) {
    snprintf(name, NAME, "total%d", AD__MEMBERS * c->number + k);
}

static bool is_extremum(const ad__nest *n) { return n->kind == AD__LARGEST || n->kind == AD__SMALLEST; }

/* The better of best and v, or NaN if one is. Compilers find vector instructions for this form. */
static void write_better(writing *c, int k, const char *best, const char *v) {
    ad__text_put(body(c), "{\nconst %s u = %s != %s ? %s : %s;\n%s = %s %s u ? %s : u;\n}\n", type_of(c, k), v, v, v,
                 best, best, v, c->nest[k].kind == AD__LARGEST ? ">" : "<", v);
}

/* A reduction over the last axes: to the number of its lane, or to the total. */
static void write_reduction(writing *c, int k) {
    char best[NAME], v[NAME];
    if (has_lanes(c, c->loop[k])) snprintf(best, sizeof best, "s%d[l]", k);
    else name_total(c, k, best);
    if (!is_extremum(&c->nest[k])) {
        ad__text_put(body(c), "%s += ", best);
        write_value(c, k);
        ad__text_put(body(c), ";\n");
        return;
    }
    snprintf(v, sizeof v, "v%d", k);
    ad__text_put(body(c), "const %s %s = ", type_of(c, k), v);
    write_value(c, k);
    ad__text_put(body(c), ";\n");
    write_better(c, k, best, v);
}

/* A reduction over the first axes, which goes to memory row by row. */
static void write_row(writing *c, int k) {
    if (!is_extremum(&c->nest[k])) {
        write_element(c, k, &c->nest[k].out);
        ad__text_put(body(c), " += ");
        write_value(c, k);
        ad__text_put(body(c), ";\n");
        return;
    }
    ad__text_put(body(c), "const %s v%d = ", type_of(c, k), k);
    write_value(c, k);
    ad__text_put(body(c), ";\n%s *best%d = &", type_of(c, k), k);
    write_element(c, k, &c->nest[k].out);
    ad__text_put(body(c), ";\n");
    char best[NAME], v[NAME];
    snprintf(best, sizeof best, "*best%d", k), snprintf(v, sizeof v, "v%d", k);
    write_better(c, k, best, v);
}

/* One value for each element: to memory, and to a variable if other members read it. */
static void write_elementwise(writing *c, int k) {
    const ad__nest *n = &c->nest[k];
    bool adds = n->kind == AD__ADD_TO;
    if (c->later[k]) ad__text_put(body(c), "const %s m%d = ", type_of(c, k), k);
    else write_element(c, k, &n->out), ad__text_put(body(c), " = ");
    if (adds) {
        ad__text_put(body(c), "(%s)(", type_of(c, k));
        write_read(c, k, &n->out);
        ad__text_put(body(c), " + ");
    }
    write_value(c, k);
    ad__text_put(body(c), adds ? ");\n" : ";\n");
    if (!c->later[k]) return;
    if (!is_local(c, k)) write_element(c, k, &n->out);
    else if (c->crosses[k]) write_tile_element(c, k);
    else return;
    ad__text_put(body(c), " = m%d;\n", k);
}

static bool is_row(const writing *c, int k) { return c->from[k] < 0 && !ad__is_elementwise(&c->nest[k]); }

static void write_members(writing *c, int loop) {
    for (int k = 0; k < c->n; k++) {
        if (c->loop[k] != loop || c->dead[k]) continue;
        if (c->from[k] >= 0) write_reduction(c, k);
        else if (is_row(c, k)) write_row(c, k);
        else write_elementwise(c, k);
    }
}

/* ---- reductions -------------------------------------------------------------------------------------------------- */

static const char *worst_of(const ad__nest *n) { return n->kind == AD__LARGEST ? "-INFINITY" : "INFINITY"; }

/* Sums go on in double, except where a small processor would compute that without hardware. */
static const char *total_type(const writing *c, int k) {
    return c->w->portable || is_extremum(&c->nest[k]) ? type_of(c, k) : "double";
}

static void begin_totals(writing *c, int d) {
    for (int k = 0; k < c->n; k++) {
        if (c->from[k] != d) continue;
        const char *start = is_extremum(&c->nest[k]) ? worst_of(&c->nest[k]) : "0";
        char total[NAME];
        name_total(c, k, total);
        ad__text_put(body(c), "%s %s = (%s)%s;\n", total_type(c, k), total, total_type(c, k), start);
    }
}

static void end_totals(writing *c, int d) {
    for (int k = 0; k < c->n; k++) {
        if (c->from[k] != d) continue;
        char total[NAME];
        name_total(c, k, total);
        write_element(c, k, &c->nest[k].out);
        ad__text_put(body(c), " %s (%s)%s;\n", c->nest[k].kind == AD__ADD_TO ? "+=" : "=", type_of(c, k), total);
    }
}

static void begin_lanes(writing *c, int loop) {
    for (int k = 0; k < c->n; k++) {
        if (c->loop[k] != loop || c->from[k] < 0) continue;
        const char *t = type_of(c, k);
        ad__text_put(body(c), "%s s%d[%d];\nfor (int l = 0; l < %d; l++) s%d[l] = (%s)%s;\n", t, k, LANES, LANES, k, t,
                     is_extremum(&c->nest[k]) ? worst_of(&c->nest[k]) : "0");
    }
}

static void end_lanes(writing *c, int loop) {
    for (int k = 0; k < c->n; k++) {
        if (c->loop[k] != loop || c->from[k] < 0) continue;
        char total[NAME], lane[NAME];
        name_total(c, k, total), snprintf(lane, sizeof lane, "s%d[l]", k);
        ad__text_put(body(c), "for (int l = 0; l < %d; l++) ", LANES);
        if (is_extremum(&c->nest[k])) write_better(c, k, total, lane);
        else ad__text_put(body(c), "%s += %s;\n", total, lane);
    }
}

/* Sums of rows begin with 0, or with the worst number: at each index of axis 0 if `inside`. */
static void begin_row(writing *c, int k, bool inside) {
    const ad__nest *n = &c->nest[k];
    if (!is_row(c, k) || n->kind == AD__ADD_TO || inside != (c->first > 0 && n->out.stride[0] != 0)) return;
    for (int d = inside; d < n->ndim; d++) {
        if (n->out.stride[d] == 0) continue;
        ad__text_put(body(c), "for (long i%d = 0; i%d < %lld; i%d++) ", d, d, (long long)n->dim[d], d);
    }
    write_element(c, k, &n->out);
    ad__text_put(body(c), " = (%s)%s;\n", type_of(c, k), is_extremum(n) ? worst_of(n) : "0");
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

/* True if a member of the loop reads the index of the last axis as a number. */
static bool reads_index(const writing *c, int loop) {
    bool reads = false;
    for (int k = 0; k < c->n; k++)
        for (int i = 0; i < c->nest[k].n && c->loop[k] == loop; i++)
            reads |= ad__buffer_of(c->nest[k].in[i].at) == AD__INDEX_BUFFER;
    return reads;
}

/* True if an int holds offset + stride * index for n indices of axis d. */
static bool is_short(const ad__map *m, int d, int64_t n) {
    const int64_t half = INT32_MAX / 2, most = half / (n > 0 ? n : 1);
    return ad__offset_of(m->at) < half && -most < m->stride[d] && m->stride[d] < most;
}

/* The type of the inner index. An int becomes a float in half the time; elements must be reached with it, too. */
static const char *index_type(const writing *c, int loop) {
    int d = c->ndim - 1;
    bool narrow = !c->w->portable && reads_index(c, loop);
    for (int k = 0; k < c->n; k++) {
        narrow = narrow && is_short(&c->nest[k].out, d, c->nest[k].dim[d]);
        for (int i = 0; i < c->nest[k].n; i++) narrow = narrow && is_short(&c->nest[k].in[i], d, c->nest[k].dim[d]);
    }
    return narrow ? "int" : "long";
}

/* The inner loop over the indices from b to e of the last axis. */
static void write_plain_loop(writing *c, int loop) {
    int d = c->ndim - 1;
    const char *type = index_type(c, loop);
    long long n = (long long)c->nest[0].dim[d];
    if (c->tile) ad__text_put(body(c), "for (%s i%d = b; i%d < e; i%d++) {\n", type, d, d, d);
    else ad__text_put(body(c), "for (%s i%d = 0; i%d < %lld; i%d++) {\n", type, d, d, n, d);
    write_members(c, loop);
    ad__text_put(body(c), "}\n");
}

static void write_lanes_loop(writing *c, int loop) {
    int d = c->ndim - 1;
    const char *type = index_type(c, loop);
    ad__text_put(body(c), "{\n");
    begin_lanes(c, loop);
    ad__text_put(body(c), "long r = b;\nfor (; r + %d <= e; r += %d)\nfor (int l = 0; l < %d; l++) {\n"
                 "const %s i%d = (%s)r + l;\n", LANES, LANES, LANES, type, d, type);
    write_members(c, loop);
    ad__text_put(body(c), "}\nfor (int l = 0; r < e; l++, r++) {\nconst %s i%d = (%s)r;\n", type, d, type);
    write_members(c, loop);
    ad__text_put(body(c), "}\n");
    end_lanes(c, loop);
    ad__text_put(body(c), "}\n");
}

static void write_inner(writing *c) {
    long long n = (long long)c->nest[0].dim[c->ndim - 1], tile = (long long)c->tile;
    for (int k = 0; k < c->n; k++)
        if (c->crosses[k] && is_local(c, k)) ad__text_put(body(c), "%s t%d[%lld];\n", type_of(c, k), k, tile);
    if (tile == n) ad__text_put(body(c), "const long b = 0, e = %lld;\n", n);
    else if (tile)
        ad__text_put(body(c), "for (long b = 0; b < %lld; b += %lld) {\n"
                              "const long e = %lld - b < %lld ? %lld : b + %lld;\n", n, tile, n, tile, n, tile);
    for (int i = 0; i < c->loops; i++) {
        if (has_lanes(c, i)) write_lanes_loop(c, i);
        else write_plain_loop(c, i);
    }
    if (tile && tile != n) ad__text_put(body(c), "}\n");
}

/* A loop around others: see ad__write_macros. */
static void write_loop(writing *c, int d) {
    c->w->has_outer = true;
    ad__text_put(body(c), "OUTER for (long i%d = 0; i%d < %lld; i%d++) {\n", d, d, (long long)c->nest[0].dim[d], d);
}

static void begin_rows(writing *c, bool inside) {
    for (int k = 0; k < c->n; k++) begin_row(c, k, inside);
}

/* The loops of a step over its own axes. */
static void write_loops(writing *c) {
    int inner = c->ndim - 1;
    begin_rows(c, c->first > 0);
    for (int d = c->first; d < inner; d++) {
        begin_totals(c, d);
        write_loop(c, d);
    }
    begin_totals(c, inner);
    write_inner(c);
    end_totals(c, inner);
    for (int d = inner; d-- > c->first;) {
        ad__text_put(body(c), "}\n");
        end_totals(c, d);
    }
}

/* The loop over the rows of joined steps. */
static void write_joined(writing *c, int n) {
    for (int i = 0; i < n; i++) begin_rows(&c[i], false), begin_totals(&c[i], 0);
    write_loop(c, 0);
    for (int i = 0; i < n; i++) {
        ad__text_put(body(c), "{\n");
        if (is_single(&c[i])) write_members(&c[i], 0);
        else write_loops(&c[i]);
        ad__text_put(body(c), "}\n");
    }
    ad__text_put(body(c), "}\n");
    for (int i = 0; i < n; i++) end_totals(&c[i], 0);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* A call of an Op's evaluate, through the host. */
static void write_call(ad__writer *w, const ad__nest *n) {
    ad__text_put(&w->calls, "{\nvoid *at[] = { ");
    for (int i = 0; i < n->n; i++) {
        ad__text_put(&w->calls, "(void *)(");
        w->address(w, &w->calls, w->e->places.at[n->in[0].at + i]);
        ad__text_put(&w->calls, "), ");
    }
    w->address(w, &w->calls, n->out.at);
    ad__text_put(&w->calls, " };\nif ((code = host->call(host, %lld, at)) != 0) return code;\n}\n",
                 (long long)(n - w->e->nests.at));
}

static void begin(writing *c, ad__writer *w, const ad__step *step, int first) {
    c->w = w, c->first = first;
    for (c->n = 0; c->n < step->n; c->n++) {
        c->nest[c->n] = w->e->nests.at[w->s->members.at[step->first + c->n]];
        c->form[c->n] = &w->e->forms.at[c->nest[c->n].form];
    }
    ad__merge_axes(c->n, c->nest, first);
    for (int k = 0; k < c->n; k++)
        if (c->nest[k].ndim == 0) c->nest[k].ndim = 1, c->nest[k].dim[0] = 1;
    c->ndim = c->nest[0].ndim;
    find_reductions(c);
    cut_loops(c);
    find_readers(c);
    if (is_single(c)) return;
    choose_tile(c);
    note_kind(c);
}

/* The loop of a step, and that of the one behind it. */
static void write_in_order(writing *c, int n) {
    for (int i = 0; i < n; i++) {
        ad__text_put(body(c), "{\n");
        write_loops(&c[i]);
        ad__text_put(body(c), "}\n");
    }
}

/* Writes n steps as one function, and the call of it. */
static int write_function(ad__writer *w, const ad__step *step, int n) {
    size_t bytes = (size_t)n * sizeof(writing);
    writing *c = ad_buffer_take(w->e->g, bytes);
    if (c == NULL) return w->e->code = AD_ENOMEM, -1;
    memset(c, 0, bytes);
    bool joined = n > 1 && step[1].joined;
    ad__function_begin(w);
    for (int i = 0; i < n; i++) c[i].number = i, begin(&c[i], w, &step[i], joined);
    for (int i = 0; i < n; i++) {
        point_to_all(&c[i]);
        int64_t indices = ad__indices(&c[i].nest[0]);
        if (indices > w->repetitions) w->repetitions = indices;
    }
    if (joined) write_joined(c, n);
    else if (n > 1) write_in_order(c, n);
    else write_loops(c);
    ad_buffer_give(w->e->g, c, bytes);
    return ad__function_end(w, -1, -1);
}

void ad__write_nests(ad__writer *w, const ad__step *step, int n) {
    const ad__nest *first = &w->e->nests.at[w->s->members.at[step->first]];
    if (first->kind == AD__CALL) {
        if (first->code) ad__write_code(w, first);
        else write_call(w, first);
        return;
    }
    bool product = n == 1 && step->n == 1 && ad__is_product(w->e, first);
    if (product && !w->portable) {
        ad__write_product(w, first);
        return;
    }
    if (product) ad__text_put(&w->calls, "#ifndef %s\n", w->cblas);
    int number = write_function(w, step, n);
    if (!product) return;
    ad__text_put(&w->calls, "#else\n(void)%sk%d;\n", w->prefix, number);
    ad__write_product(w, first);
    ad__text_put(&w->calls, "#endif\n");
}
