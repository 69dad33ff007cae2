/* parallel.h: loops cut into chunks that a team of threads shares; private to the library.

   Determinism: each chunk writes its own elements. How a loop is cut depends on its size alone, never on the number of
   threads, unless the bits of an element do not depend on the cut. Results are therefore the same bits for any number
   of threads. A reduction over all chunks stores one partial result per chunk and combines them in order afterwards.

   Scheduling: threads take chunks one at a time, so a thread that starts late is not waited for; the others do its
   share. Only a chunk that has been started must be waited for. If that made a loop slower than the calling thread
   would have been alone, because other processes use the processors, the caller then runs loops alone for a while. Idle
   workers spin for 20 us, or 160 us while loops follow each other that fast, and then sleep.

   fork(): the child has no worker threads. Its graphs run loops on the calling thread, with the same results. */
#ifndef AUTODIFF_BASE_PARALLEL_H
#define AUTODIFF_BASE_PARALLEL_H

#include "autodiff/base/arena.h"
#include "autodiff/extend.h"

enum {
    AD__GRAIN = 16384, /* elements per chunk of a cheap loop, about 5 us; a multiple of the widest vector */
    AD__SHARED_MIN = 8 * AD__GRAIN, /* fewer elements are not shared: waking threads would cost more than it saves */
    AD__MAX_THREADS = 1024
};

/* A team of size threads, 2 or more, the calling one included. NULL if memory or threads are short. */
ad_team *ad__team_new(ad__memory *memory, int size);
/* Ends the threads and frees the team. NULL is ignored. */
void ad__team_free(ad__memory *memory, ad_team *team);
/* Threads of the team, the calling one included; 1 for NULL. */
int ad__team_size(const ad_team *team);

/* ---- loops that the engine and the ops share -------------------------------------------------------------- */

/* Fills bytes with zeros. */
void ad__clear(ad_team *team, void *to, size_t bytes);

#endif
