/* thread.h: starting a POSIX thread that blocks all signals; for libraries built on the engine. */
#ifndef AUTODIFF_THREAD_H
#define AUTODIFF_THREAD_H

#include <pthread.h>

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As pthread_create without attributes. The new thread blocks all signals, so that the program's own threads receive
   them. Returns 0, or the errno of pthread_create. */
AD_API int ad_thread_start(pthread_t *thread, void *(*run)(void *), void *data);

#ifdef __cplusplus
}
#endif
#endif
