/* parallel.h: loops cut into slabs that a graph's threads take one by one; private to the library.

   How a loop is cut depends on its size alone, never on the number of threads, and each slab writes
   places of its own: so results are the same bits for any number of threads. A sum over all slabs keeps
   one partial sum for each and adds these in order, afterwards.

   Other processes want the processors too. A thread that has not come yet is not waited for: what it would
   have done, those that are there do. A slab that was begun has to be; where that took longer than the whole
   loop would have taken alone, the caller works alone for a while. Threads with nothing to do look for work
   for some microseconds only and then sleep.

   After fork() the child has no threads but its own; the graph works there, alone, with the same results. */
#ifndef AUTODIFF_BASE_PARALLEL_H
#define AUTODIFF_BASE_PARALLEL_H

#include "autodiff/base/arena.h"
#include "autodiff/extend.h"

enum {
    AD__GRAIN = 16384, /* elements of a cheap loop that make a slab, some 5 us; a multiple of the widest vector */
    AD__SHARED_MIN = 8 * AD__GRAIN, /* below this many, waking threads costs more than they save */
    AD__MAX_THREADS = 1024
};

/* size threads, the caller's included: 2 or more. NULL where memory or threads are short. */
ad_team *ad__team_new(ad__memory *memory, int size);
void ad__team_free(ad__memory *memory, ad_team *team); /* NULL is let pass */
int ad__team_size(const ad_team *team);

/* ---- loops that the engine and the ops share -------------------------------------------------------------- */

void ad__clear(ad_team *team, void *to, size_t bytes); /* zeros */

#endif
