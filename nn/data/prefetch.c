/* prefetch.c: a thread that makes a sequence of items ahead of time, in a ring of buffers.

   The lock protects all fields that change. An item is made without holding it: its buffer belongs to the thread until
   `made` counts the item, and to the caller from then on until it asks for a later one. */
#define _POSIX_C_SOURCE 200809L
#include "nn/data/prefetch.h"

#include <pthread.h>
#include <unistd.h>

#include "autodiff/extend.h"
#include "autodiff/thread.h"

struct nn__prefetch {
    nn__make_fn *make;
    const void *maker;
    size_t size;    /* bytes of a buffer */
    int64_t slots;  /* buffers: one per item ahead, and one for the item that the caller has */
    char *buffers;  /* [slots, size] */
    int64_t first;  /* the last item that was asked for; buffers of earlier items are free */
    int64_t made;   /* items 0 .. made-1 are complete */
    int64_t end;    /* items 0 .. end-1 are wanted */
    bool busy;      /* an item is being made */
    bool closing;   /* the thread must end */
    bool closed;    /* used by the caller only */
    pid_t process;  /* of the thread */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work; /* there may be an item to make */
    pthread_cond_t done; /* an item was made */
};

static bool has_thread(const nn__prefetch *p) { return p != NULL && !p->closed && p->process == getpid(); }

static char *buffer_of(const nn__prefetch *p, int64_t item) { return p->buffers + (size_t)(item % p->slots) * p->size; }

/* ---- the thread -------------------------------------------------------------------------------------- */

/* Called with the lock held, which it releases while it makes the item. */
static void make_one(nn__prefetch *p) {
    int64_t item = p->made;
    p->busy = true;
    pthread_mutex_unlock(&p->lock);
    p->make(p->maker, item, buffer_of(p, item));
    pthread_mutex_lock(&p->lock);
    p->busy = false;
    p->made++;
    pthread_cond_signal(&p->done);
}

static void *run(void *prefetch) {
    nn__prefetch *p = prefetch;
    pthread_mutex_lock(&p->lock);
    while (!p->closing) {
        bool wanted = p->made < p->end, has_buffer = p->made < p->first + p->slots;
        if (wanted && has_buffer) make_one(p);
        else pthread_cond_wait(&p->work, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- the caller -------------------------------------------------------------------------------------- */

static void finish(nn__prefetch *p) {
    p->closed = true;
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
}

static void close_with_scope(void *memory) { nn__prefetch_close(memory); }

nn__prefetch *nn__prefetch_new(ad_graph *g, int64_t ahead, size_t size, nn__make_fn *make, const void *maker) {
    size_t head = (sizeof(nn__prefetch) + AD_ALIGNMENT - 1) / AD_ALIGNMENT * AD_ALIGNMENT;
    nn__prefetch *p = ad_scope_closing(g, head + (size_t)(ahead + 1) * size, close_with_scope);
    if (p == NULL) return NULL;
    *p = (nn__prefetch){ .make = make, .maker = maker, .size = size, .slots = ahead + 1, .process = getpid() };
    p->buffers = (char *)p + head;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    if (ad_thread_start(&p->thread, run, p) == 0) return p;
    finish(p);
    return NULL;
}

void nn__prefetch_pause(nn__prefetch *p) {
    if (!has_thread(p)) return;
    pthread_mutex_lock(&p->lock);
    p->end = 0;
    while (p->busy) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void nn__prefetch_start(nn__prefetch *p, int64_t n) {
    if (!has_thread(p)) return;
    pthread_mutex_lock(&p->lock);
    p->first = p->made = 0;
    p->end = n;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

const void *nn__prefetch_get(nn__prefetch *p, int64_t item) {
    if (!has_thread(p)) return NULL;
    pthread_mutex_lock(&p->lock);
    p->first = item;
    pthread_cond_signal(&p->work);
    while (p->made <= item) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return buffer_of(p, item);
}

void nn__prefetch_close(nn__prefetch *p) {
    if (!has_thread(p)) return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    finish(p);
}
