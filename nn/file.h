/* file.h: a network's parameters in files; included by nn.h. */
#ifndef NN_FILE_H
#define NN_FILE_H

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Files are safetensors (https://github.com/huggingface/safetensors), which Python and Rust read and write:
   arrays by name, little-endian and row-major. A file is written as PATH.tmp, forced to the disk and renamed, so
   that a crash leaves the old file or the new one, whole. All calls return 0 or an AD_E code and leave a sentence
   in the graph: AD_EIO for a file that cannot be read, written or made sense of, AD_ESHAPE and AD_EDTYPE for one
   that does not fit, AD_EABSENT in a build without jansson. */
AD_API int nn_save(const nn_module *m, const char *path);
/* Fills every parameter and buffer of m from the file, whose names and shapes must be m's, or none where anything is amiss.
   The file's f16, bf16, f32 and f64 numbers become the parameter's dtype, and a count (i64, no axes) does. A
   num_batches_tracked that m has not is passed over. */
AD_API int nn_load(nn_module *m, const char *path);

#ifdef __cplusplus
}
#endif
#endif
