/* parallel.c: a graph's team of threads: handing out the chunks of a loop, sleeping and waking. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, semaphores */
#include "autodiff/base/parallel.h"
#include "autodiff/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- sleeping and waking ---------------------------------------------------------------------------------- */

/* Polls before a thread sleeps: about 20 us, as long as waking a thread takes. A worker that waited less than patience
   the last time, as between the products of a training step, then polls for about as long, and lets others run. */
enum { SPINS = 1000, YIELDS = 400 };
static const double patience = 160e3; /* ns */

/* One thread's place to sleep. Whoever changes asleep from true to false posts the semaphore. */
typedef struct {
    atomic_bool asleep;
    sem_t semaphore;
} waiter;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline void pause_spinning(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Waits until *word differs from value. Whoever changes *word calls wake afterwards. */
static void wait_while_equal(waiter *w, atomic_uint *word, unsigned value, bool patient) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(word) != value) return;
        pause_spinning();
    }
    for (int i = 0; patient && i < YIELDS; i++) {
        if (atomic_load(word) != value) return;
        sched_yield();
    }
    while (atomic_load(word) == value) {
        atomic_store(&w->asleep, true);
        /* The word may have changed before asleep was set. If asleep is still true, nobody has posted. */
        if (atomic_load(word) != value && atomic_exchange(&w->asleep, false)) return;
        while (sem_wait(&w->semaphore) != 0 && errno == EINTR) continue;
    }
}

static void wake(waiter *w) {
    if (atomic_load(&w->asleep) && atomic_exchange(&w->asleep, false)) sem_post(&w->semaphore);
}

/* ---- a team ----------------------------------------------------------------------------------------------- */

typedef struct {
    _Alignas(AD__ALIGN) waiter waiter;
    ad_team *team;
    pthread_t thread;
    int number; /* 1 to size - 1; the calling thread is 0 */
} team_worker;

/* A team runs one loop at a time. A late worker may read the description of a loop while the next one is being written.
   It uses what it read only if it then gets a chunk of that loop, see take_chunk. */
struct ad_team {
    _Alignas(AD__ALIGN) atomic_uint_fast64_t left; /* the loop's number << 32 | chunks not yet taken */
    _Alignas(AD__ALIGN) atomic_int_fast64_t done;  /* chunks of this loop that are done */
    _Atomic(ad_loop_fn *) body;
    _Atomic(void *) context;
    atomic_int_fast64_t n, chunk;
    atomic_uint begun; /* loops begun */
    atomic_uint ended; /* loops whose last chunk was done by a worker */
    atomic_bool stopping;
    bool in_loop;
    double alone_until; /* time in ns before which the caller runs loops alone, see note_delay; 0: none */
    waiter caller;
    pid_t process; /* the process that has the threads */
    int size;      /* threads, the caller included */
    team_worker workers[];
};

typedef struct {
    ad_loop_fn *body;
    void *context;
    int64_t n, chunk;
} loop;

static int64_t chunks_of(int64_t n, int64_t chunk) { return n / chunk + (n % chunk != 0); }

static void run_chunk(const loop *l, int who, int64_t i) {
    int64_t from = i * l->chunk, rest = l->n - from;
    l->body(l->context, who, from, from + (rest < l->chunk ? rest : l->chunk));
}

/* Takes a chunk of the current loop for this thread and describes the loop in *l. Returns the chunk's number, or -1 if
   none is left. The exchange succeeds only if the loop is still the one that was read: its number is part of the word,
   and a loop with a chunk left cannot end. So the description in *l is consistent. */
static int64_t take_chunk(ad_team *t, loop *l) {
    uint_fast64_t left = atomic_load(&t->left);
    do {
        if ((uint32_t)left == 0) return -1;
        *l = (loop){ atomic_load_explicit(&t->body, memory_order_relaxed),
                     atomic_load_explicit(&t->context, memory_order_relaxed),
                     atomic_load_explicit(&t->n, memory_order_relaxed),
                     atomic_load_explicit(&t->chunk, memory_order_relaxed) };
    } while (!atomic_compare_exchange_weak(&t->left, &left, left - 1));
    return chunks_of(l->n, l->chunk) - (int64_t)(uint32_t)left;
}

/* Runs chunks until none is left; returns how many this thread ran. */
static int64_t run_chunks(ad_team *t, int who, loop *l) {
    int64_t mine = 0;
    for (int64_t i; (i = take_chunk(t, l)) >= 0; mine++) run_chunk(l, who, i);
    return mine;
}

/* Counts chunks as done; true if they include the last one of the loop. */
static bool count_done(ad_team *t, const loop *l, int64_t mine) {
    return mine > 0 && atomic_fetch_add(&t->done, mine) + mine == chunks_of(l->n, l->chunk);
}

static void *worker_main(void *data) {
    team_worker *w = data;
    ad_team *t = w->team;
    bool patient = false;
    for (unsigned seen = 0; !atomic_load(&t->stopping);) {
        loop l = { 0 };
        double start = now_ns();
        wait_while_equal(&w->waiter, &t->begun, seen, patient);
        patient = now_ns() - start < patience;
        seen = atomic_load(&t->begun);
        if (!count_done(t, &l, run_chunks(t, w->number, &l))) continue;
        atomic_fetch_add(&t->ended, 1);
        wake(&t->caller);
    }
    return NULL;
}

/* Publishes a loop and wakes as many workers as it has chunks for. Chunk 0 is the caller's and is not handed out. */
static void begin_loop(ad_team *t, const loop *l, int64_t chunks) {
    t->in_loop = true;
    atomic_store_explicit(&t->body, l->body, memory_order_relaxed);
    atomic_store_explicit(&t->context, l->context, memory_order_relaxed);
    atomic_store_explicit(&t->n, l->n, memory_order_relaxed);
    atomic_store_explicit(&t->chunk, l->chunk, memory_order_relaxed);
    atomic_store_explicit(&t->done, 0, memory_order_relaxed);
    unsigned number = atomic_load_explicit(&t->begun, memory_order_relaxed) + 1;
    atomic_store(&t->left, (uint_fast64_t)number << 32 | (uint_fast64_t)(chunks - 1));
    atomic_store(&t->begun, number);
    for (int i = 0; i < t->size - 1 && i < chunks - 1; i++) wake(&t->workers[i].waiter);
}

static void wait_for_workers(ad_team *t, int64_t chunks) {
    for (;;) {
        unsigned ended = atomic_load(&t->ended);
        if (atomic_load(&t->done) == chunks) return;
        wait_while_equal(&t->caller, &t->ended, ended, false);
    }
}

/* took: the time of a shared loop in ns; alone: what the caller alone would have needed, estimated from its own chunks.
   A loop takes longer than that if a worker lost its processor to another process in the middle of a chunk. Then the
   caller runs loops alone for 8 times the loss, which keeps all losses together below an eighth of the time. A loss
   below 30 us is the cost of waking or noise. */
static void note_delay(ad_team *t, double took, double alone) {
    enum { TIMES = 8 };
    const double loss = took - alone, least = 3e4;
    t->alone_until = loss > least ? now_ns() + TIMES * loss : 0;
}

static bool runs_alone(const ad_team *t) { return t->alone_until > 0 && now_ns() < t->alone_until; }

static void run_shared(ad_team *t, loop *l, int64_t chunks) {
    double start = now_ns();
    begin_loop(t, l, chunks);
    double begun = now_ns();
    run_chunk(l, 0, 0);
    int64_t mine = 1 + run_chunks(t, 0, l);
    double own = now_ns() - begun;
    if (!count_done(t, l, mine)) wait_for_workers(t, chunks);
    t->in_loop = false;
    note_delay(t, now_ns() - start, own / (double)mine * (double)chunks);
}

void ad_parallel(ad_team *t, int64_t n, int64_t chunk, int64_t work, ad_loop_fn *body, void *context) {
    if (body == NULL) return;
    if (chunk < 0) chunk = 0;
    double all = (double)n * (double)work;
    if (n <= chunk || n <= 1 || (chunk == 0 && all <= AD__GRAIN)) { /* one chunk */
        if (n > 0) body(context, 0, 0, n);
        return;
    }
    if (chunk == 0) chunk = work >= AD__GRAIN ? 1 : AD__GRAIN / (work > 0 ? work : 1);
    loop l = { body, context, n, chunk };
    int64_t chunks = chunks_of(n, chunk);
    bool small = all < AD__SHARED_MIN;
    if (t != NULL && !small && chunks > 1 && chunks <= INT32_MAX && !t->in_loop && !runs_alone(t))
        run_shared(t, &l, chunks);
    else
        for (int64_t i = 0; i < chunks; i++) run_chunk(&l, 0, i);
}

/* ---- making and freeing ------------------------------------------------------------------------------------ */

int ad_thread_start(pthread_t *thread, void *(*run)(void *), void *data) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(thread, NULL, run, data);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

static size_t team_bytes(int size) { return sizeof(ad_team) + (size_t)(size - 1) * sizeof(team_worker); }

/* Ends the first n workers. */
static void stop_workers(ad_team *t, int n) {
    atomic_store(&t->stopping, true);
    atomic_fetch_add(&t->begun, 1);
    for (int i = 0; i < n; i++) wake(&t->workers[i].waiter);
    for (int i = 0; i < n; i++) pthread_join(t->workers[i].thread, NULL);
}

static void free_team(ad__memory *memory, ad_team *t) {
    for (int i = 0; i < t->size - 1; i++) sem_destroy(&t->workers[i].waiter.semaphore);
    sem_destroy(&t->caller.semaphore);
    ad__memory_give(memory, t, team_bytes(t->size));
}

ad_team *ad__team_new(ad__memory *memory, int size) {
    ad_team *t = ad__memory_take(memory, AD__ALIGN, team_bytes(size));
    if (t == NULL) return NULL;
    memset(t, 0, team_bytes(size));
    t->size = size;
    t->process = getpid();
    sem_init(&t->caller.semaphore, 0, 0);
    for (int i = 0; i < size - 1; i++) {
        t->workers[i].team = t, t->workers[i].number = i + 1;
        sem_init(&t->workers[i].waiter.semaphore, 0, 0);
    }
    for (int i = 0; i < size - 1; i++)
        if (ad_thread_start(&t->workers[i].thread, worker_main, &t->workers[i]) != 0) {
            stop_workers(t, i);
            free_team(memory, t);
            return NULL;
        }
    return t;
}

void ad__team_free(ad__memory *memory, ad_team *t) {
    if (t == NULL) return;
    if (t->process == getpid()) stop_workers(t, t->size - 1); /* a child after fork() has none to stop */
    free_team(memory, t);
}

int ad__team_size(const ad_team *t) { return t ? t->size : 1; }

/* ---- shared loops ------------------------------------------------------------------------------------------ */

typedef struct {
    char *to;
    size_t bytes;
} zeros;

enum { LINE = 64, LINE_WORK = 8 }; /* bytes of a cache line; its cost in elements of a cheap loop */

static void clear_lines(void *context, int worker, int64_t from, int64_t to) {
    const zeros *z = context;
    size_t at = (size_t)from * LINE, end = (size_t)to * LINE;
    (void)worker;
    memset(z->to + at, 0, (end < z->bytes ? end : z->bytes) - at);
}

void ad__clear(ad_team *team, void *to, size_t bytes) {
    zeros z = { to, bytes };
    ad_parallel(team, (int64_t)((bytes + LINE - 1) / LINE), 0, LINE_WORK, clear_lines, &z);
}
