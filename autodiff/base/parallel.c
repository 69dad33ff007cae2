/* parallel.c: a graph's threads: handing out chunks, sleeping and waking. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, semaphores */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "autodiff/base/parallel.h"

/* ---- sleeping and waking ---------------------------------------------------------------------------------- */

/* How often a thread looks before it sleeps: about 20 us, the time that waking one takes. */
enum { LOOKS = 1000 };

typedef struct {
    atomic_bool asleep; /* whoever sets it to false again rings */
    sem_t bell;
} sleeper;

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Until word is no longer value. Whoever changes it calls wake afterwards. */
static void wait_while(sleeper *s, atomic_uint *word, unsigned value) {
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load(word) != value) return;
        relax();
    }
    while (atomic_load(word) == value) {
        atomic_store(&s->asleep, true);
        if (atomic_load(word) != value && atomic_exchange(&s->asleep, false)) return; /* nobody has rung */
        while (sem_wait(&s->bell) != 0 && errno == EINTR) continue;
    }
}

static void wake(sleeper *s) {
    if (atomic_load(&s->asleep) && atomic_exchange(&s->asleep, false)) sem_post(&s->bell);
}

/* ---- a team ----------------------------------------------------------------------------------------------- */

typedef struct {
    _Alignas(AD__ALIGN) sleeper rest;
    ad_team *team;
    pthread_t thread;
    int number; /* 1 .. size-1; the caller is 0 */
} member;

/* One loop at a time. Its description may be read by a thread that comes too late, while the next one is
   written: what was read counts only if the thread then gets a slab by it, see take. */
struct ad_team {
    _Alignas(AD__ALIGN) atomic_uint_fast64_t left; /* the loop's number << 32 | slabs that nobody has taken */
    _Alignas(AD__ALIGN) atomic_int_fast64_t done;  /* slabs of this loop */
    _Atomic(ad_loop_fn *) body;
    _Atomic(void *) context;
    atomic_int_fast64_t n, slab;
    atomic_uint begun; /* loops */
    atomic_uint ended; /* loops whose last slab was a worker's */
    atomic_bool stop;
    bool inside; /* a loop runs */
    double alone_until; /* in ns, see judge; 0: share the next loop */
    sleeper caller;
    pid_t process; /* where the threads are */
    int size;      /* the caller included */
    member workers[];
};

typedef struct {
    ad_loop_fn *body;
    void *context;
    int64_t n, slab;
} loop;

static int64_t slabs_of(int64_t n, int64_t slab) { return n / slab + (n % slab != 0); }

static void run_slab(const loop *l, int who, int64_t i) {
    int64_t from = i * l->slab, rest = l->n - from;
    l->body(l->context, who, from, from + (rest < l->slab ? rest : l->slab));
}

/* The number of a slab that is now this thread's to do; -1 when none is left. A loop with a slab to do
   does not end, so what was read of it is of one piece. */
static int64_t take(ad_team *t, loop *l) {
    uint_fast64_t left = atomic_load(&t->left);
    do {
        if ((uint32_t)left == 0) return -1;
        *l = (loop){ atomic_load_explicit(&t->body, memory_order_relaxed),
                     atomic_load_explicit(&t->context, memory_order_relaxed),
                     atomic_load_explicit(&t->n, memory_order_relaxed),
                     atomic_load_explicit(&t->slab, memory_order_relaxed) };
    } while (!atomic_compare_exchange_weak(&t->left, &left, left - 1));
    return slabs_of(l->n, l->slab) - (int64_t)(uint32_t)left;
}

/* Does slabs until none is left, and returns how many. */
static int64_t work(ad_team *t, int who, loop *l) {
    int64_t mine = 0;
    for (int64_t i; (i = take(t, l)) >= 0; mine++) run_slab(l, who, i);
    return mine;
}

/* Counts slabs as done; true if the loop's last was among them. */
static bool count(ad_team *t, const loop *l, int64_t mine) {
    return mine > 0 && atomic_fetch_add(&t->done, mine) + mine == slabs_of(l->n, l->slab);
}

static void *live(void *data) {
    member *w = data;
    ad_team *t = w->team;
    for (unsigned seen = 0; !atomic_load(&t->stop);) {
        loop l = { 0 };
        wait_while(&w->rest, &t->begun, seen);
        seen = atomic_load(&t->begun);
        if (!count(t, &l, work(t, w->number, &l))) continue;
        atomic_fetch_add(&t->ended, 1);
        wake(&t->caller);
    }
    return NULL;
}

/* The first slab is the caller's. */
static void begin(ad_team *t, const loop *l, int64_t slabs) {
    t->inside = true;
    atomic_store_explicit(&t->body, l->body, memory_order_relaxed);
    atomic_store_explicit(&t->context, l->context, memory_order_relaxed);
    atomic_store_explicit(&t->n, l->n, memory_order_relaxed);
    atomic_store_explicit(&t->slab, l->slab, memory_order_relaxed);
    atomic_store_explicit(&t->done, 0, memory_order_relaxed);
    unsigned number = atomic_load_explicit(&t->begun, memory_order_relaxed) + 1;
    atomic_store(&t->left, (uint_fast64_t)number << 32 | (uint_fast64_t)(slabs - 1));
    atomic_store(&t->begun, number);
    for (int i = 0; i < t->size - 1 && i < slabs - 1; i++) wake(&t->workers[i].rest);
}

static void wait_for_others(ad_team *t, int64_t slabs) {
    for (;;) {
        unsigned ended = atomic_load(&t->ended);
        if (atomic_load(&t->done) == slabs) return;
        wait_while(&t->caller, &t->ended, ended);
    }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What a loop took, in ns, beside what the caller alone would have taken, judged by its own slabs. A loss is
   a thread that lost its processor to another process in the middle of a slab. Sharing again after so many times
   the loss keeps all losses together below an eighth of the time. */
static void judge(ad_team *t, double took, double alone) {
    enum { TIMES = 8 };
    const double loss = took - alone, least = 1e5; /* below: waking, the noise of the machine */
    t->alone_until = loss > least ? now() + TIMES * loss : 0;
}

static bool is_alone(const ad_team *t) { return t->alone_until > 0 && now() < t->alone_until; }

static void share(ad_team *t, loop *l, int64_t slabs) {
    double start = now();
    begin(t, l, slabs);
    double begun = now();
    run_slab(l, 0, 0);
    int64_t mine = 1 + work(t, 0, l);
    double own = now() - begun;
    if (!count(t, l, mine)) wait_for_others(t, slabs);
    t->inside = false;
    judge(t, now() - start, own / (double)mine * (double)slabs);
}

void ad_parallel(ad_team *t, int64_t n, int64_t slab, int64_t work, ad_loop_fn *body, void *context) {
    double all = (double)n * (double)work;
    if (n <= slab || n <= 1 || (slab == 0 && all <= AD__GRAIN)) { /* one slab */
        if (n > 0) body(context, 0, 0, n);
        return;
    }
    if (slab == 0) slab = work >= AD__GRAIN ? 1 : AD__GRAIN / (work > 0 ? work : 1);
    loop l = { body, context, n, slab };
    int64_t slabs = slabs_of(n, slab);
    bool small = all < AD__SHARED_MIN;
    if (t != NULL && !small && slabs > 1 && slabs <= INT32_MAX && !t->inside && !is_alone(t)) share(t, &l, slabs);
    else
        for (int64_t i = 0; i < slabs; i++) run_slab(&l, 0, i);
}

/* ---- making and closing ------------------------------------------------------------------------------------ */

/* Signals go to the program's own threads. */
static int start(member *w) {
    sigset_t all, were;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &were);
    int rc = pthread_create(&w->thread, NULL, live, w);
    pthread_sigmask(SIG_SETMASK, &were, NULL);
    return rc;
}

static size_t team_bytes(int size) { return sizeof(ad_team) + (size_t)(size - 1) * sizeof(member); }

/* The first n threads end. */
static void stop(ad_team *t, int n) {
    atomic_store(&t->stop, true);
    atomic_fetch_add(&t->begun, 1);
    for (int i = 0; i < n; i++) wake(&t->workers[i].rest);
    for (int i = 0; i < n; i++) pthread_join(t->workers[i].thread, NULL);
}

static void discard(ad__memory *memory, ad_team *t) {
    for (int i = 0; i < t->size - 1; i++) sem_destroy(&t->workers[i].rest.bell);
    sem_destroy(&t->caller.bell);
    ad__memory_give(memory, t, team_bytes(t->size));
}

ad_team *ad__team_new(ad__memory *memory, int size) {
    ad_team *t = ad__memory_take(memory, AD__ALIGN, team_bytes(size));
    if (t == NULL) return NULL;
    memset(t, 0, team_bytes(size));
    t->size = size;
    t->process = getpid();
    sem_init(&t->caller.bell, 0, 0);
    for (int i = 0; i < size - 1; i++) {
        t->workers[i].team = t, t->workers[i].number = i + 1;
        sem_init(&t->workers[i].rest.bell, 0, 0);
    }
    for (int i = 0; i < size - 1; i++)
        if (start(&t->workers[i]) != 0) {
            stop(t, i);
            discard(memory, t);
            return NULL;
        }
    return t;
}

void ad__team_free(ad__memory *memory, ad_team *t) {
    if (t == NULL) return;
    if (t->process == getpid()) stop(t, t->size - 1);
    discard(memory, t);
}

int ad__team_size(const ad_team *t) { return t ? t->size : 1; }

/* ---- shared loops ------------------------------------------------------------------------------------------ */

typedef struct {
    char *to;
    size_t bytes;
} zeros;

enum { LINE = 64, LINE_WORK = 8 }; /* bytes, and the elements of a cheap loop that take as long */

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
