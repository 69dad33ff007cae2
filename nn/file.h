/* file.h: files of parameters (safetensors) and of arrays (IDX, NumPy); included by nn.h.

   Calls that return a code return 0 or an AD_E... code, those that return a Var a constant Var or nil; in both cases
   the graph has the error. AD_EIO: the file cannot be read or written, or is malformed or damaged. AD_EABSENT: this
   build lacks the library that the call needs. AD_ENOMEM: memory is short. Files are written under a temporary name
   beside PATH, forced to disk and renamed: after a crash there is either the old file or the new one, complete, and so
   there is when several threads or programs save to one path. A new file has the access rights of the one that it
   replaces. Symbolic links are followed. Folders, devices and pipes are refused. */
#ifndef NN_FILE_H
#define NN_FILE_H

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- parameters: safetensors (https://github.com/huggingface/safetensors) ---------------------------- */

/* The format holds named arrays, little-endian and row-major; Python and Rust have libraries for it. Writes the
   parameters and buffers of m. The file begins with a checksum of all its bytes, autodiff.crc32 in __metadata__, which
   other readers pass over: CRC-32, as of zip archives, with 0 for its own eight digits. nn_load refuses a file whose
   bytes have another one. Files of other writers have no checksum and are read without one. */
AD_API int nn_save(const nn_module *m, const char *path);
/* Reads every parameter and buffer of m, or none of them after an error: AD_ESHAPE or AD_EDTYPE for a file that does
   not fit. Names and shapes must be those of m. Values of type F16, BF16, F32 and F64 are converted to the parameter's
   dtype, and so is a scalar of type I64. Ignores arrays named num_batches_tracked that m does not have. */
AD_API int nn_load(nn_module *m, const char *path);

/* Saving under other names. A field that is false or NULL has its default. */
typedef struct {
    bool all_names;     /* an array that several places share is written under each of its names, as programs want
                           that do not know that they are one; by default once, under its first name */
    const char *prefix; /* put before each name: "encoder." */
} nn_save_opts;
AD_API int nn_save_with(const nn_module *m, const char *path, nn_save_opts o);

typedef struct {
    const char *from, *to; /* to NULL: the arrays are left out */
} nn_rename;
/* A field that is false or NULL has its default. */
typedef struct {
    bool partial;            /* arrays that the file lacks, or has in another shape or a type that cannot be read,
                                stay as they are, and those that the module lacks are left out. PyTorch's
                                strict=False, which has errors for shapes. By default all three are errors. A file
                                that has no array of the module is one in either case */
    const char *prefix;      /* takes the arrays whose names begin so, without that beginning, and no others */
    const nn_rename *rename; /* then, of a name that begins with `from`, this beginning becomes `to`; the first rule
                                that fits counts. Ends with a rule whose from is NULL */
} nn_load_opts;
/* The names of what was not loaded, in memory of the innermost scope: arrays of the module that the file lacks, or
   has in another shape or type, and arrays of the file, by their names there, that the module lacks. */
typedef struct {
    int n_loaded, n_missing, n_unfit, n_unused;
    const char *const *missing, *const *unfit, *const *unused;
} nn_load_report;
/* nn_load with options. Sets *report, unless NULL, after errors of names and shapes too. For a part of a module, give
   that part: nn_find_module(m, "encoder").

       nn_load_report r;
       nn_load_with(net, "torch.safetensors", (nn_load_opts){
           .partial = true, .prefix = "model.", .rename = (nn_rename[]){ { "backbone.", "0." }, { "head." }, { 0 } } },
           &r); */
AD_API int nn_load_with(nn_module *m, const char *path, nn_load_opts o, nn_load_report *report);

/* ---- ONNX (https://onnx.ai): networks for other programs to run -------------------------------------------------- */

/* Writes what m computes in evaluation mode, opset 17. x is an example of its input [n, ..]; in the file n is free. To
   find out what depends on n, m is applied to x and to x with one row more. Parameters and buffers have their names and
   dtype; input and output are "x" and "y", or have x's and the result's ad_name. Numbers that ONNX rounds differently
   differ in the last digits. AD_EABSENT for an op that has no form in ONNX, by name, and where the library was built
   without protobuf-c. AD_EVALUE if m computes something else for one row more. */
AD_API int nn_save_onnx(nn_module *m, ad_var *x, const char *path);
/* The same of an expression: ys [n_ys], 1 or more, as functions of xs [n_xs], which may be results of ops. Their sizes
   are fixed. What else the ys depend on is written as constants. Names: ad_name, else "x", or "x0", "x1" .. */
AD_API int nn_save_onnx_vars(const char *path, int n_ys, ad_var *const ys[], int n_xs, ad_var *const xs[]);

/* ---- arrays ------------------------------------------------------------------------------------------ */

/* An IDX file, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or, with zlib, gzipped. Elements are
   multiplied by scale. */
AD_API ad_var *nn_load_idx(ad_graph *g, ad_dtype t, const char *path, double scale);

/* NumPy arrays of numbers or booleans, in C or Fortran order: a file of numpy.save, and one array, by its name, of
   an archive of numpy.savez or, with zlib, numpy.savez_compressed. Archives have a checksum for each array, .npy
   files have none. */
AD_API ad_var *nn_load_npy(ad_graph *g, ad_dtype t, const char *path);
AD_API ad_var *nn_load_npz(ad_graph *g, ad_dtype t, const char *path, const char *name);
/* ---- rows of files that are larger than memory ---------------------------------------------------------- */

/* A .npy or plain IDX file [n, ..], mapped into memory: the system reads the parts that are used and may forget them
   again. In C order, not gzipped. It belongs to the graph's innermost scope. The file must not be changed or cut
   meanwhile. NULL after an error. */
typedef struct nn_rows nn_rows;
AD_API nn_rows *nn_map_npy(ad_graph *g, const char *path);
AD_API nn_rows *nn_map_idx(ad_graph *g, const char *path);
AD_API ad_shape nn_rows_shape(const nn_rows *r); /* [n, ..]; ndim 0 for NULL */
/* These n rows, times scale, as a constant Var [n, ..] of the innermost scope. */
AD_API ad_var *nn_read_rows(const nn_rows *r, ad_dtype t, double scale, int64_t n, const int64_t *rows);

/* Minibatches of such files for nn_fit: an nn_stream_fn, whose data points to an nn_row_stream. Each epoch has an
   order of its own, which is a function of seed and epoch and takes no memory. */
typedef struct {
    const nn_rows *x, *y;    /* required; of as many rows */
    ad_dtype dtype;          /* AD_F32 */
    double x_scale, y_scale; /* 1, 1 */
    int64_t batch;           /* 32 */
    bool in_order, drop_last;
    uint64_t seed;
} nn_row_stream;
AD_API bool nn_stream_rows(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *row_stream);

/* ---- writing arrays ---------------------------------------------------------------------------------------- */

/* Files for numpy.load. */
AD_API int nn_save_npy(const ad_var *x, const char *path);
AD_API int nn_save_npz(const char *path, int n, const char *const names[], ad_var *const vars[]); /* n at least 1 */

#ifdef __cplusplus
}
#endif
#endif
