/* arena.h: arenas, which release memory by rewinding, and a pool of buffers in size classes; private to the library. */
#ifndef AUTODIFF_BASE_ARENA_H
#define AUTODIFF_BASE_ARENA_H

#include "autodiff/autodiff.h"
#include "autodiff/base/floating.h"

#if defined(__SANITIZE_ADDRESS__)
#define AD__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AD__ASAN 1
#elif __has_feature(memory_sanitizer)
#define AD__MSAN 1
#endif
#endif
#ifdef AD__ASAN
#include <sanitizer/asan_interface.h>
#define AD__POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define AD__UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#elif defined(AD__MSAN) /* memory that is given back is as new: its contents are undefined */
#include <sanitizer/msan_interface.h>
#define AD__POISON(p, n) __msan_allocated_memory(p, n)
#define AD__UNPOISON(p, n) ((void)(p), (void)(n))
#else
#define AD__POISON(p, n) ((void)(p), (void)(n))
#define AD__UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define AD__ALIGN 64 /* alignment of arrays in bytes: a cache line, and an AVX-512 register */

/* Rounds size up to a multiple of unit; 0 becomes one unit. */
static inline size_t ad__round_up(size_t size, size_t unit) {
    return size ? (size + unit - 1) / unit * unit : unit;
}

/* A graph's allocator and its statistics. */
typedef struct {
    ad_allocator use;
    int64_t held, allocs; /* bytes taken and not given back; calls of alloc */
} ad__memory;
/* NULL if the allocator fails. */
void *ad__memory_take(ad__memory *m, size_t align, size_t size);
/* size is that given to ad__memory_take. A NULL p is ignored. */
void ad__memory_give(ad__memory *m, void *p, size_t size);

typedef struct ad__block ad__block;

/* An arena allocates by moving top up and releases by moving it back to an earlier place. It keeps its blocks until
   ad__arena_free. */
typedef struct {
    ad__memory *memory;
    ad__block *first, *at; /* at: the block that contains top; NULL if nothing is in use */
    char *top, *end;
    size_t used_before; /* bytes in use in the blocks before at */
    size_t held;        /* bytes of all blocks */
} ad__arena;

/* A position to rewind to. */
typedef struct {
    ad__block *at;
    char *top;
    size_t used_before;
} ad__arena_place;

/* The slow path of ad__arena_alloc: continues in another block. */
void *ad__arena_more(ad__arena *a, size_t size);
/* Releases all memory allocated since p was taken. */
void ad__arena_rewind(ad__arena *a, ad__arena_place p);
/* Gives all blocks back to the allocator; the arena can be used again. */
void ad__arena_free(ad__arena *a);
/* True if memory was allocated from this arena before place p, and so survives rewinding to p. */
bool ad__arena_before(const ad__arena *a, ad__arena_place p, const void *memory);
/* True if a, which is in use, was allocated before b, which is too. */
bool ad__arena_is_older(const ad__arena *arena, const void *a, const void *b);
bool ad__arena_holds(const ad__arena *a, const void *memory); /* true if memory was allocated from it and is in use */
size_t ad__arena_used(const ad__arena *a);                     /* bytes in use */

static inline ad__arena_place ad__arena_here(const ad__arena *a) {
    return (ad__arena_place){ a->at, a->top, a->used_before };
}

/* Allocates size bytes, or returns NULL if memory is short. size is a positive multiple of the alignment that the
   arena's user wants: the arena itself aligns only its blocks. */
static inline void *ad__arena_alloc(ad__arena *a, size_t size) {
    char *p = a->top;
    if (__builtin_expect(size > (size_t)(a->end - p), 0)) return ad__arena_more(a, size);
    AD__UNPOISON(p, size);
    a->top = p + size;
    return p;
}

/* Free lists of 64-byte-aligned buffers, one for each size class; there are four classes for each doubling of the size.
   A backward pass takes interior gradients that need not be kept from here. */
#define AD__POOL_CLASSES 168
#define AD__POOL_MAX (SIZE_MAX / 4 >> (sizeof(size_t) > 4 ? 16 : 0)) /* the largest buffer: 2^46 bytes, or 2^30 */
typedef struct {
    ad__memory *memory;
    void *free[AD__POOL_CLASSES];
} ad__pool;

/* A buffer of at least size bytes, not initialised; NULL if memory is short. */
void *ad__pool_take(ad__pool *p, size_t size);
/* Puts a buffer on its free list. size is that given to ad__pool_take; buffer is not NULL. */
void ad__pool_give(ad__pool *p, void *buffer, size_t size);
/* Moves the contents to a buffer of new_size bytes. Returns NULL, and leaves buffer as it is, if memory is short. */
void *ad__pool_resize(ad__pool *p, void *buffer, size_t old_size, size_t new_size);
/* Gives the buffers on the free lists back to the allocator. */
void ad__pool_free(ad__pool *p);

#endif
