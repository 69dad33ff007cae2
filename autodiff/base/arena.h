/* arena.h: blocks of memory released by rewinding, and a free list of buffers for gradients. */
#ifndef AUTODIFF_BASE_ARENA_H
#define AUTODIFF_BASE_ARENA_H

#include "autodiff/autodiff.h"

#if defined(__SANITIZE_ADDRESS__)
#define AD__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AD__ASAN 1
#endif
#endif
#ifdef AD__ASAN
#include <sanitizer/asan_interface.h>
#define AD__POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define AD__UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define AD__POISON(p, n) ((void)(p), (void)(n))
#define AD__UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define AD__ALIGN 64 /* of arrays: a cache line, and an AVX-512 register */

/* size as a multiple of to, at least one. */
static inline size_t ad__round_up(size_t size, size_t to) { return size ? (size + to - 1) / to * to : to; }

/* The graph's allocator with its counts. */
typedef struct {
    ad_allocator use;
    int64_t held, allocs;
} ad__memory;
void *ad__memory_take(ad__memory *m, size_t align, size_t size);
void ad__memory_give(ad__memory *m, void *p, size_t size);

typedef struct ad__block ad__block;

/* Memory handed out by moving a pointer up, and taken back by moving it down to an earlier place.
   Blocks once taken from the system stay with the arena until ad__arena_free. */
typedef struct {
    ad__memory *memory;
    ad__block *first, *at; /* at: the block that top is in; NULL when nothing is in use */
    char *top, *end;
    size_t used_before; /* bytes in use in the blocks before at */
    size_t held;
} ad__arena;

typedef struct {
    ad__block *at;
    char *top;
    size_t used_before;
} ad__arena_place;

void *ad__arena_more(ad__arena *a, size_t size); /* the slow path */
void ad__arena_rewind(ad__arena *a, ad__arena_place p);
void ad__arena_free(ad__arena *a);
/* Whether memory was handed out before place p: it survives rewinding to p. */
bool ad__arena_before(const ad__arena *a, ad__arena_place p, const void *memory);
bool ad__arena_holds(const ad__arena *a, const void *memory); /* whether it was handed out and is in use */
size_t ad__arena_used(const ad__arena *a);

static inline ad__arena_place ad__arena_here(const ad__arena *a) {
    return (ad__arena_place){ a->at, a->top, a->used_before };
}

/* size bytes, more than 0, of an arena that only ever gives out multiples of its alignment; NULL when
   memory is short. */
static inline void *ad__arena_alloc(ad__arena *a, size_t size) {
    char *p = a->top;
    if (__builtin_expect(size > (size_t)(a->end - p), 0)) return ad__arena_more(a, size);
    AD__UNPOISON(p, size);
    a->top = p + size;
    return p;
}

/* Free lists of 64-byte-aligned buffers, one per size class (four to a doubling): what a backward
   pass takes and returns when interior gradients need not be kept. */
#define AD__POOL_CLASSES 168
#define AD__POOL_MAX (SIZE_MAX / 4 >> (sizeof(size_t) > 4 ? 16 : 0)) /* 2^46 bytes, or 2^30; larger ones are refused */
typedef struct {
    ad__memory *memory;
    void *free[AD__POOL_CLASSES];
} ad__pool;

void *ad__pool_take(ad__pool *p, size_t size);
void ad__pool_give(ad__pool *p, void *buffer, size_t size);
void *ad__pool_resize(ad__pool *p, void *buffer, size_t old_size, size_t new_size); /* NULL: buffer stays */
void ad__pool_free(ad__pool *p); /* releases what is on the lists */

#endif
