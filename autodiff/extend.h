/* extend.h: for libraries built on the engine: options, memory, errors, random numbers and threads.

   A graph argument must not be NULL unless the comment allows it. Functions that return memory return NULL, with the
   graph's error AD_ENOMEM, if memory is short. */
#ifndef AUTODIFF_EXTEND_H
#define AUTODIFF_EXTEND_H

#include <stdarg.h>

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options ------------------------------------------------------------------------------------------------ */

/* The value of an option: the default if 0 was given, 0 if AD_ZERO was given. */
static inline double ad_option(double given, double default_value) {
    return given == 0 ? default_value : given == AD_ZERO ? 0 : given;
}
/* The same for int and int64_t fields; exact beyond 2^53. */
static inline int64_t ad_option_int(int64_t given, int64_t default_value) {
    return given == 0 ? default_value : given == AD_ZERO ? 0 : given;
}

/* ---- memory of the innermost open scope: freed when the scope closes, or with the graph ------------------- */

/* Each result is NULL, with the graph's error, if memory is short. If g is NULL, it is NULL or false. */

enum { AD_ALIGNMENT = 64 }; /* bytes; of arrays and buffers */

AD_API void *ad_scope_alloc(ad_graph *g, size_t size);  /* 8-byte aligned, not initialised */
AD_API void *ad_scope_zalloc(ad_graph *g, size_t size); /* the same, zeroed */
AD_API void *ad_scope_array(ad_graph *g, size_t size);  /* 64-byte aligned, not initialised */
/* Memory for something that must be closed, such as a file or a thread: 64-byte aligned, not initialised. close(memory)
   is called when the scope closes, newest first, before the scope's other memory is freed. close may be NULL. The
   memory is a block of its own and goes back to the allocator with the scope, so it also suits large temporary arrays;
   the graph keeps the other memory of a scope for later scopes. */
typedef void ad_close_fn(void *memory);
AD_API void *ad_scope_closing(ad_graph *g, size_t size, ad_close_fn *close);
/* True if memory (a Var, or a result of ad_scope_alloc or ad_scope_zalloc) was allocated before the innermost scope was
   opened, and so outlives it. False if no scope is open. */
AD_API bool ad_scope_is_older(const ad_graph *g, const void *memory);
/* True if memory of ad_scope_alloc or ad_scope_zalloc is in use because its scope is open. Also true if its scope was
   closed and the memory has been handed out again. The call does not read the memory. */
AD_API bool ad_scope_is_open(const ad_graph *g, const void *memory);

/* ---- buffers that the caller gives back; the graph reuses them without calling its allocator --------------- */

AD_API void *ad_buffer_take(ad_graph *g, size_t size); /* 64-byte aligned, not initialised */
/* size is that given to ad_buffer_take. A NULL buffer is ignored. Buffers not given back are leaked. */
AD_API void ad_buffer_give(ad_graph *g, void *buffer, size_t size);

/* ---- errors; see ad_fail in op.h --------------------------------------------------------------------------- */

/* The graph's nil. If g is NULL, a constant nil that belongs to no graph. */
AD_API ad_var *ad_nil(const ad_graph *g);
/* For functions that return a code and were given x, which is nil or NULL. Returns the code of the graph's error. If
   the graph has none, sets AD_EVALUE with a sentence that names the caller. Returns AD_EGRAPH if x has no graph. */
AD_API AD_COLD int ad_refuse_nil(const ad_var *x, const char *caller);
/* Sets the error AD_ENOMEM, "out of memory: N bytes for WHAT", and returns it. */
AD_API AD_COLD int ad_no_memory(ad_graph *g, const char *what, size_t bytes);
/* ad_fail with a va_list. The sentence begins with `where`. */
AD_API int ad_vfail(ad_graph *g, int code, const char *where, const char *format, va_list args);

/* ---- Vars ----------------------------------------------------------------------------------------------------- */

AD_API size_t ad_bytes_of(const ad_var *x); /* bytes of all elements; 0 for NULL */
/* Element i of an array of dtype t, as a double. These test the dtype on each call: hot loops are written per dtype. */
static inline double ad_read_element(ad_dtype t, const void *array, int64_t i) {
    return t == AD_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}
static inline void ad_write_element(ad_dtype t, void *array, int64_t i, double value) {
    if (t == AD_F32) ((float *)array)[i] = (float)value;
    else ((double *)array)[i] = value;
}

/* Begins or ends to watch whether the program reads elements (ad_item, ad_at, ad_data, ad_branch). Returns whether it
   did since the last call; false for a g that is NULL. Only if it did may what was recorded depend on values in C. */
AD_API bool ad_watch_reads(ad_graph *g, bool on);

/* ---- one batch on several processes ----------------------------------------------------------------------------- */

/* Adds up n numbers over the processes, in place. Returns 0 or the code of g's error. */
typedef int ad_sum_fn(ad_graph *g, int64_t n, double *values, void *data);
/* From now on ops that compute statistics of a batch, as ad_batch_norm does in training, call f to add theirs up over
   processes that each have a part of it, in evaluation and in backward. f NULL: this process has all of it. Such ops
   have no second derivatives then. Each process must make the same calls. */
AD_API void ad_sum_over(ad_graph *g, ad_sum_fn *f, void *data);

/* ---- random numbers: these write n numbers of dtype t and advance the state --------------------------------- */

AD_API void ad_random_uniform(ad_random_state *r, ad_dtype t, int64_t n, void *to); /* in [0, 1) */
AD_API void ad_random_normal(ad_random_state *r, ad_dtype t, int64_t n, void *to);  /* mean 0, variance 1 */

/* ---- threads --------------------------------------------------------------------------------------------------- */

AD_API ad_team *ad_team_of(const ad_graph *g); /* NULL if g is NULL or has one thread */
/* Runs one chunk of a loop: the indices from <= i < to. worker is the thread's number in the team, 0 to ad_threads - 1;
   it selects memory that belongs to this thread alone. */
typedef void ad_loop_fn(void *context, int worker, int64_t from, int64_t to);
/* Runs the loop 0 <= i < n in chunks, in any order and on several threads, and returns when all chunks are done. chunk
   is the number of indices per chunk; 0 chooses it by the work. work is the cost of one index, in additions of array
   elements. Loops with little work, and loops started inside a body, run in order on the calling thread, as worker 0;
   so do all loops if team is NULL. How a loop is cut does not depend on the number of threads. So if each chunk writes
   its own elements, results are the same bits for any number. A NULL body is ignored. */
AD_API void ad_parallel(ad_team *team, int64_t n, int64_t chunk, int64_t work, ad_loop_fn *body, void *context);

#ifdef __cplusplus
}
#endif
#endif
