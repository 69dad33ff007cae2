/* safetensors.h: named arrays and short texts in safetensors files; private to nn. */
#ifndef NN_FILE_SAFETENSORS_H
#define NN_FILE_SAFETENSORS_H

#include "nn/module.h"

typedef struct {
    const char *name, *text;
} nn__note;

/* The object of the header that has notes, which are texts. Our files begin with it, so that the checksum of the file
   has a place of its own: {"__metadata__":{"autodiff.crc32":"89abcdef". It is that of all bytes of the file with 0 for
   its eight digits. */
#define NN__NOTES "__metadata__"
#define NN__CHECKSUM "autodiff.crc32"
#define NN__BEFORE_CHECKSUM "{\"" NN__NOTES "\":{\"" NN__CHECKSUM "\":\""
enum { NN__LENGTH = 8, NN__DIGITS = 8 }; /* bytes of the header's length, and of the checksum */

/* Writes arrays, notes and a checksum completely or not at all. Messages name caller. */
int nn__write_tensors(ad_graph *g, const char *caller, const char *path, int n, const nn_parameter *arrays,
                      int n_notes, const nn__note *notes);

/* A file in memory that is completely checked, with its checksum if it has one. It belongs to the graph's innermost
   scope. */
typedef struct nn__tensor_file nn__tensor_file;
int nn__open_tensors(ad_graph *g, const char *caller, const char *path, nn__tensor_file **f);
/* Whether the file has an array for x: 0, or an error that names the fault. */
int nn__check_tensor(const nn__tensor_file *f, const char *name, const ad_var *x);
/* The same without an error. */
bool nn__tensor_fits(const nn__tensor_file *f, const char *name, const ad_var *x);
/* Fills x from an array that nn__check_tensor has accepted. */
void nn__read_tensor(const nn__tensor_file *f, const char *name, ad_var *x);
int nn__tensor_count(const nn__tensor_file *f);
const char *nn__tensor_name(const nn__tensor_file *f, int i);
const char *nn__note_text(const nn__tensor_file *f, const char *name); /* NULL where there is none */

#endif
