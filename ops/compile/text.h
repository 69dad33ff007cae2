/* text.h: C source as a text that grows; private to this folder. */
#ifndef OPS_COMPILE_TEXT_H
#define OPS_COMPILE_TEXT_H

#include "ops/compile/emit.h"

typedef struct {
    ad_graph *g;
    char *at;
    int64_t n, capacity;
} ad__text;

/* Appends. Short of memory, the text stays as it is and the graph has the error. */
void ad__text_add(ad__text *t, const char *s, int64_t n);
void ad__text_put(ad__text *t, const char *format, ...) AD_PRINTF(2, 3);
/* The number x as a C constant with all its bits: "0x1.8p+1", "(double)(1.0 / 0.0)". */
void ad__text_number(ad__text *t, ad_dtype dtype, double x);

/* Writes the expression for name i of a formula. */
typedef void ad__name_writer(ad__text *t, void *context, int i);
/* Writes a formula as C, with its names as `write` writes them. In loops over arrays, calls are to the names that a
   compiler may vectorise: v_exp for exp. Marks the macros that it needs in the set of bits *macros. */
void ad__form_write(ad__text *t, const ad__form *f, bool vector, uint64_t *macros, ad__name_writer *write,
                    void *context);
/* Writes the functions of a set; its macros, as functions of a dtype, for instructions or for loops over arrays. */
void ad__functions_write(ad__text *t, uint64_t macros);
void ad__macros_write(ad__text *t, uint64_t macros, ad_dtype dtype, bool vector);

/* macros.c: the macros of ops/kernels/base/formula.h as text, with the names of math.h. An entry comes after those that
   it uses. Functions, whose bodies are statements, are of doubles for both dtypes, as in the library. */
typedef struct {
    const char *name, *parameters, *body;
    bool is_function;
    const char *needs; /* a function that a function calls */
} ad__macro;
extern const ad__macro ad__macro_list[];
extern const int ad__n_macros;

static inline const char *ad__c_type(ad_dtype t) { return t == AD_F32 ? "float" : "double"; }
static inline const char *ad__c_suffix(ad_dtype t) { return t == AD_F32 ? "f32" : "f64"; }

#endif
