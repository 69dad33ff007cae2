/* arena.c: arenas, which release memory by rewinding, and a pool of buffers in size classes. */
#include "autodiff/base/arena.h"

#include <string.h>

/* ---- the allocator and its statistics ---------------------------------------------------------------- */

void *ad__memory_take(ad__memory *m, size_t align, size_t size) {
    if (size > PTRDIFF_MAX - 4096) return NULL;
    void *p = m->use.alloc(m->use.data, align, size);
    m->allocs++;
    if (p != NULL) m->held += (int64_t)size;
    return p;
}

void ad__memory_give(ad__memory *m, void *p, size_t size) {
    if (p == NULL) return;
    m->held -= (int64_t)size;
    m->use.release(m->use.data, p, size);
}

/* ---- arena ---------------------------------------------------------------------------------- */

struct ad__block {
    ad__block *next;
    size_t size; /* bytes of the block, this header included */
};

enum { BLOCK_MIN = 64 << 10, BLOCK_MAX = 8 << 20 };

static char *block_start(ad__block *b) { return (char *)b + AD__ALIGN; }
static char *block_end(ad__block *b) { return (char *)b + b->size; }

static size_t size_class(size_t size, int *class);

/* A new block is as large as all blocks so far, within limits: few blocks for large graphs, little memory for small
   ones. A block for one large array has the size of its pool class. A later, slightly larger array often fits into it,
   so that growing arrays do not each leave an unused block behind. */
static ad__block *block_new(ad__arena *a, size_t need) {
    int class;
    size_t size = a->held < BLOCK_MIN ? BLOCK_MIN : a->held > BLOCK_MAX ? BLOCK_MAX : a->held;
    if (size < need) size = size_class(need, &class);
    ad__block *b = ad__memory_take(a->memory, AD__ALIGN, size);
    if (b == NULL && size > need) b = ad__memory_take(a->memory, AD__ALIGN, size = need);
    if (b == NULL) return NULL;
    b->size = size;
    a->held += size;
    AD__POISON(block_start(b), size - AD__ALIGN);
    return b;
}

/* Unlinks the first block of at least need bytes from the list at *link, which are blocks of scopes now closed. */
static ad__block *take_fitting(ad__block **link, size_t need) {
    for (; *link != NULL; link = &(*link)->next)
        if ((*link)->size >= need) {
            ad__block *b = *link;
            *link = b->next;
            return b;
        }
    return NULL;
}

void *ad__arena_more(ad__arena *a, size_t size) {
    if (size > PTRDIFF_MAX / 2) return NULL;
    size_t need = size + AD__ALIGN;
    ad__block **link = a->at ? &a->at->next : &a->first;
    ad__block *b = take_fitting(link, need);
    if (b == NULL) b = block_new(a, need);
    if (b == NULL) return NULL;
    b->next = *link;
    *link = b;
    if (a->at) a->used_before += (size_t)(a->top - block_start(a->at));
    a->at = b;
    a->top = block_start(b);
    a->end = block_end(b);
    return ad__arena_alloc(a, size);
}

void ad__arena_rewind(ad__arena *a, ad__arena_place p) {
#if defined(AD__ASAN) || defined(AD__MSAN)
    ad__block *b = p.at ? p.at : a->first;
    for (; b != NULL; b = b->next) {
        char *from = b == p.at ? p.top : block_start(b);
        AD__POISON(from, (size_t)(block_end(b) - from));
        if (b == a->at) break;
    }
#endif
    a->at = p.at;
    a->top = p.top;
    a->end = p.at ? block_end(p.at) : NULL;
    a->used_before = p.used_before;
}

void ad__arena_free(ad__arena *a) {
    for (ad__block *b = a->first, *next; b != NULL; b = next) {
        next = b->next;
        AD__UNPOISON(b, b->size);
        ad__memory_give(a->memory, b, b->size);
    }
    *a = (ad__arena){ .memory = a->memory };
}

bool ad__arena_before(const ad__arena *a, ad__arena_place p, const void *memory) {
    const char *m = memory;
    for (ad__block *b = a->first; b != NULL && p.at != NULL; b = b->next) {
        if (m >= (char *)b && m < (b == p.at ? p.top : block_end(b))) return true;
        if (b == p.at) break;
    }
    return false;
}

static bool is_in(ad__block *b, const char *memory) { return memory >= (char *)b && memory < block_end(b); }

bool ad__arena_is_older(const ad__arena *arena, const void *a, const void *b) {
    ad__block *at = arena->first;
    while (at != NULL && !is_in(at, a) && !is_in(at, b)) at = at->next;
    return at != NULL && is_in(at, a) && (!is_in(at, b) || (const char *)a < (const char *)b);
}

bool ad__arena_holds(const ad__arena *a, const void *memory) {
    const char *m = memory;
    for (ad__block *b = a->at ? a->first : NULL; b != a->at; b = b->next)
        if (m >= (char *)b && m < block_end(b)) return true;
    return a->at != NULL && m >= (char *)a->at && m < a->top;
}

size_t ad__arena_used(const ad__arena *a) {
    return a->used_before + (a->at ? (size_t)(a->top - block_start(a->at)) : 0);
}

/* ---- pool ----------------------------------------------------------------------------------- */

/* Class sizes are 64 << k times 4/4, 5/4, 6/4 or 7/4, rounded up to a multiple of 64. Returns the smallest that holds
   size bytes, and its number. */
static size_t size_class(size_t size, int *class) {
    size_t base = AD__ALIGN;
    int c = 0;
    while (base * 2 <= size) base *= 2, c += 4;
    size_t step = base / 4;
    while (base < size) base += step, c++;
    *class = c;
    return (base + AD__ALIGN - 1) / AD__ALIGN * AD__ALIGN;
}

void *ad__pool_take(ad__pool *p, size_t size) {
    if (size > AD__POOL_MAX) return NULL;
    int c;
    size_t bytes = size_class(size, &c);
    void *buffer = p->free[c];
    if (buffer == NULL) return ad__memory_take(p->memory, AD__ALIGN, bytes);
    AD__UNPOISON(buffer, bytes);
    memcpy(&p->free[c], buffer, sizeof(void *));
    return buffer;
}

void ad__pool_give(ad__pool *p, void *buffer, size_t size) {
    int c;
    size_t bytes = size_class(size, &c);
    memcpy(buffer, &p->free[c], sizeof(void *));
    p->free[c] = buffer;
    AD__POISON((char *)buffer + sizeof(void *), bytes - sizeof(void *));
}

void *ad__pool_resize(ad__pool *p, void *buffer, size_t old_size, size_t new_size) {
    void *larger = ad__pool_take(p, new_size);
    if (larger == NULL) return NULL;
    if (old_size > 0) memcpy(larger, buffer, old_size < new_size ? old_size : new_size);
    if (buffer != NULL) ad__pool_give(p, buffer, old_size);
    return larger;
}

void ad__pool_free(ad__pool *p) {
    size_t bytes[AD__POOL_CLASSES];
    for (size_t k = 0, base = AD__ALIGN; k + 4 <= AD__POOL_CLASSES; k += 4, base *= 2)
        for (size_t i = 0; i < 4; i++)
            bytes[k + i] = (base + i * (base / 4) + AD__ALIGN - 1) / AD__ALIGN * AD__ALIGN;
    for (int c = 0; c < AD__POOL_CLASSES; c++)
        while (p->free[c] != NULL) {
            void *buffer = p->free[c];
            AD__UNPOISON(buffer, bytes[c]);
            memcpy(&p->free[c], buffer, sizeof(void *));
            ad__memory_give(p->memory, buffer, bytes[c]);
        }
}
