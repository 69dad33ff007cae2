/* extend.h: for libraries built on the engine: options, memory of scopes, errors, random numbers and threads.

   nn/ uses these calls and no others of the engine's inside. Calls that return memory return NULL, with the
   graph's error, where memory is short. */
#ifndef AUTODIFF_EXTEND_H
#define AUTODIFF_EXTEND_H

#include <stdarg.h>

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options: the value of a field of which 0 means `otherwise` -------------------------------------------- */

/* 0: otherwise. AD_ZERO: 0. Any other value: itself. */
static inline double ad_option(double given, double otherwise) {
    return given == 0 ? otherwise : given == AD_ZERO ? 0 : given;
}
/* The same for int and int64_t fields: exact beyond 2^53. */
static inline int64_t ad_option_int(int64_t given, int64_t otherwise) {
    return given == 0 ? otherwise : given == AD_ZERO ? 0 : given;
}

/* ---- memory of the innermost open scope: it goes when the scope closes, or the graph is freed ------------- */

enum { AD_ALIGNMENT = 64 }; /* bytes; of arrays and buffers */

AD_API void *ad_scope_alloc(ad_graph *g, size_t size);  /* 8-byte aligned, not initialised */
AD_API void *ad_scope_zalloc(ad_graph *g, size_t size); /* the same, zeroed */
AD_API void *ad_scope_array(ad_graph *g, size_t size);  /* 64-byte aligned, not initialised */
/* The same for memory that must be closed, such as a file or a thread: close(memory) is called before anything of the
   scope goes; NULL calls nothing. The memory is a block of its own, which goes back to the allocator with the scope, so
   it also suits a large temporary array: the graph keeps the other memory of a scope for later ones. */
typedef void ad_close_fn(void *memory);
AD_API void *ad_scope_closing(ad_graph *g, size_t size, ad_close_fn *close);
/* Whether memory is of a scope outside the innermost one, and so outlives what is allocated now. */
AD_API bool ad_scope_is_older(const ad_graph *g, const void *memory);
/* Whether memory of ad_scope_alloc or ad_scope_zalloc is in use, because its scope is open. Memory of a closed scope that
   was handed out again is in use too. Programs under address sanitizer may ask this, but must not read such memory. */
AD_API bool ad_scope_is_open(const ad_graph *g, const void *memory);

/* ---- buffers lent: 64-byte aligned, not initialised; a size given back is lent again without the allocator -- */

AD_API void *ad_buffer_take(ad_graph *g, size_t size);
AD_API void ad_buffer_give(ad_graph *g, void *buffer, size_t size); /* of the size that was asked for */

/* ---- errors; see ad_fail in op.h --------------------------------------------------------------------------- */

/* The graph's nil; for no graph (NULL) a constant in its place. */
AD_API ad_var *ad_nil(const ad_graph *g);
/* For calls that return a code and were given nil: the code of the graph's error, or a new error that names the
   caller. */
AD_API AD_COLD int ad_refuse_nil(const ad_var *x, const char *caller);
/* "out of memory: N bytes for WHAT". */
AD_API AD_COLD int ad_no_memory(ad_graph *g, const char *what, size_t bytes);
/* ad_fail with a list of arguments; the sentence begins with where. */
AD_API int ad_vfail(ad_graph *g, int code, const char *where, const char *format, va_list args);

/* ---- Vars ----------------------------------------------------------------------------------------------------- */

AD_API size_t ad_bytes_of(const ad_var *x); /* of its elements */
/* Element i of an array of dtype t, for code that reads or writes single elements of either dtype. */
static inline double ad_read_element(ad_dtype t, const void *array, int64_t i) {
    return t == AD_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}
static inline void ad_write_element(ad_dtype t, void *array, int64_t i, double value) {
    if (t == AD_F32) ((float *)array)[i] = (float)value;
    else ((double *)array)[i] = value;
}

/* ---- random numbers: n of dtype t by a state, which moves on -------------------------------------------------- */

AD_API void ad_random_uniform(ad_random_state *r, ad_dtype t, int64_t n, void *to); /* in [0, 1) */
AD_API void ad_random_normal(ad_random_state *r, ad_dtype t, int64_t n, void *to);  /* mean 0, variance 1 */

/* ---- threads --------------------------------------------------------------------------------------------------- */

AD_API ad_team *ad_team_of(const ad_graph *g);
/* One chunk of a loop: indices from .. to. worker is the thread's number in the team, below ad_threads, for memory of
   its own. */
typedef void ad_loop_fn(void *context, int worker, int64_t from, int64_t to);
/* Calls body for 0 .. chunk, chunk .. 2 chunk, ... up to n, in any order, and returns when all are done. One index is
   as much work as `work` additions of elements; chunk 0 is as many indices as are worth handing to a thread. How a loop
   is cut does not depend on the number of threads, so a body that writes places of its own gives the same bits for
   any number. Small loops, and loops inside a body, run in order on the calling thread, as worker 0. */
AD_API void ad_parallel(ad_team *team, int64_t n, int64_t chunk, int64_t work, ad_loop_fn *body, void *context);

#ifdef __cplusplus
}
#endif
#endif
