/* model.c: makes the messages of an ONNX model, and writes them. */
#include "nn/onnx/model.h"

#include <stdio.h>
#include <string.h>

#include "autodiff/base/durable.h"
#include "nn/file/fault.h"
#include <onnx.pb-c.h>

/* Tables are in memory of the scope, which is freed as a whole. An entry that finds no memory is left out. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad_scope_alloc(m->g, size)
#define uthash_free(p, size) ((void)(p), (void)(size))
#include <uthash.h>

/* A list of pointers. */
typedef struct {
    void **at;
    size_t n, capacity;
} list;

typedef struct {
    const void *key; /* a Var, or the text of a name */
    char *name;
    int64_t uses; /* of a name that others wanted too */
    bool needed;
    UT_hash_handle hh;
} entry;

struct nn__model {
    ad_graph *g;
    ad_dtype dtype;
    list nodes, attributes, constants, inputs, outputs; /* attributes are those of the last node */
    entry *names, *vars;
    nn__value batch_of; /* NULL: sizes are fixed */
    nn__count batch;
    nn__value rows; /* [1]: the number of rows, once a node computes it */
};

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void append(const nn__model *m, list *l, void *p) {
    if (l->n == l->capacity) {
        size_t more = l->capacity ? 2 * l->capacity : 8;
        void **at = ad_scope_alloc(m->g, more * sizeof *at);
        if (at == NULL) return;
        if (l->n > 0) memcpy(at, l->at, l->n * sizeof *at);
        l->at = at, l->capacity = more;
    }
    if (p != NULL) l->at[l->n++] = p;
}

static void *copy_of(const nn__model *m, const void *bytes, size_t size) {
    void *to = ad_scope_alloc(m->g, size + 1);
    return to && size ? memcpy(to, bytes, size) : to;
}
static char *text_of(const nn__model *m, const char *text) { return copy_of(m, text, strlen(text) + 1); }

nn__model *nn__model_new(ad_graph *g) {
    nn__model *m = ad_scope_zalloc(g, sizeof *m);
    if (m != NULL) m->g = g;
    return m;
}

ad_dtype nn__model_dtype(const nn__model *m) { return m->dtype; }
void nn__model_set_dtype(nn__model *m, ad_dtype t) { m->dtype = t; }

void nn__model_set_batch(nn__model *m, nn__value x, nn__count batch) { m->batch_of = x, m->batch = batch; }

/* ---- names ------------------------------------------------------------------------------------------------------- */

static entry *find_name(const nn__model *m, const char *name) {
    entry *found = NULL;
    HASH_FIND_STR(m->names, name, found);
    return found;
}

static entry *take_name(nn__model *m, const char *name) {
    entry *e = ad_scope_zalloc(m->g, sizeof *e);
    if (e == NULL || (e->name = text_of(m, name)) == NULL) return NULL;
    HASH_ADD_KEYPTR(hh, m->names, e->name, strlen(e->name), e);
    return e;
}

nn__value nn__new_name(nn__model *m, const char *wanted) {
    char numbered[160];
    entry *taken = find_name(m, wanted), *e;
    while (taken != NULL) {
        snprintf(numbered, sizeof numbered, "%.120s_%lld", wanted, (long long)++taken->uses);
        if (find_name(m, numbered) == NULL) break;
    }
    e = take_name(m, taken ? numbered : wanted);
    return e ? e->name : "";
}

nn__value nn__find_value(const nn__model *m, const ad_var *x) {
    entry *found = NULL;
    HASH_FIND_PTR(m->vars, &x, found);
    return found ? found->name : NULL;
}

void nn__set_value(nn__model *m, const ad_var *x, nn__value v) {
    entry *e = ad_scope_zalloc(m->g, sizeof *e);
    if (e == NULL || (e->name = text_of(m, v)) == NULL) return;
    e->key = x;
    HASH_ADD_PTR(m->vars, key, e);
}

/* ---- inputs and outputs ------------------------------------------------------------------------------------------ */

static int element_type(ad_dtype t) { return t == AD_F32 ? NN__FLOAT : NN__DOUBLE; }

static Onnx__TensorShapeProto__Dimension *dimension(const nn__model *m, nn__count size) {
    Onnx__TensorShapeProto__Dimension d = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT;
    bool is_batch = m->batch_of && memcmp(&size, &m->batch, sizeof size) == 0;
    if (size.at[0] == size.at[1]) {
        d.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        d.dim_value = size.at[0];
    } else if (is_batch) {
        d.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        d.dim_param = text_of(m, "batch");
    }
    return copy_of(m, &d, sizeof d);
}

static Onnx__ValueInfoProto *described(nn__model *m, nn__value name, ad_dtype t, int ndim, const nn__count *size) {
    list dims = { 0 };
    append(m, &dims, NULL);
    for (int i = 0; i < ndim; i++) append(m, &dims, dimension(m, size[i]));
    Onnx__TensorShapeProto shape = ONNX__TENSOR_SHAPE_PROTO__INIT;
    shape.n_dim = dims.n, shape.dim = (Onnx__TensorShapeProto__Dimension **)(void *)dims.at;
    Onnx__TypeProto__Tensor tensor = ONNX__TYPE_PROTO__TENSOR__INIT;
    tensor.has_elem_type = true, tensor.elem_type = element_type(t);
    tensor.shape = copy_of(m, &shape, sizeof shape);
    Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT;
    type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type.tensor_type = copy_of(m, &tensor, sizeof tensor);
    Onnx__ValueInfoProto info = ONNX__VALUE_INFO_PROTO__INIT;
    info.name = text_of(m, name), info.type = copy_of(m, &type, sizeof type);
    return copy_of(m, &info, sizeof info);
}

void nn__add_input(nn__model *m, nn__value name, ad_dtype t, int ndim, const nn__count *size) {
    append(m, &m->inputs, described(m, name, t, ndim, size));
}
void nn__add_output(nn__model *m, nn__value name, ad_dtype t, int ndim, const nn__count *size) {
    append(m, &m->outputs, described(m, name, t, ndim, size));
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

static nn__value constant(nn__model *m, const char *wanted, int type, int ndim, const int64_t *dim, const void *bytes,
                          size_t size) {
    Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
    nn__value name = nn__new_name(m, wanted);
    t.n_dims = (size_t)ndim, t.dims = copy_of(m, dim, (size_t)ndim * sizeof *dim);
    t.has_data_type = true, t.data_type = type;
    t.name = text_of(m, name);
    t.has_raw_data = true, t.raw_data = (ProtobufCBinaryData){ size, (uint8_t *)(uintptr_t)bytes };
    append(m, &m->constants, copy_of(m, &t, sizeof t));
    return name;
}

nn__value nn__add_array(nn__model *m, const char *wanted, const ad_var *x) {
    ad_shape s = ad_shape_of(x);
    return constant(m, wanted, element_type(ad_dtype_of(x)), s.ndim, s.dim, ad_data(x), ad_bytes_of(x));
}

nn__value nn__number(nn__model *m, double v) {
    const float narrow = (float)v;
    bool single = m->dtype == AD_F32;
    size_t size = single ? sizeof narrow : sizeof v;
    const void *bytes = copy_of(m, single ? (const void *)&narrow : (const void *)&v, size);
    return constant(m, "number", element_type(m->dtype), 0, NULL, bytes, bytes ? size : 0);
}

nn__value nn__integers(nn__model *m, int n, const int64_t *v) {
    size_t size = (size_t)n * sizeof *v;
    const void *bytes = copy_of(m, v, size);
    return constant(m, "integers", NN__INT64, 1, (int64_t[]){ n }, bytes, bytes ? size : 0);
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

static nn__value rows_of(nn__model *m) {
    if (m->rows == NULL) {
        m->rows = NN__NODE(m, "Shape", m->batch_of);
        nn__int(m, "start", 0);
        nn__int(m, "end", 1);
    }
    return m->rows;
}

/* [1]: slope rows + offset */
static nn__value line(nn__model *m, nn__count c) {
    int64_t slope = (c.at[1] - c.at[0]) / (m->batch.at[1] - m->batch.at[0]), offset = c.at[0] - slope * m->batch.at[0];
    nn__value v = rows_of(m);
    if (slope != 1) v = NN__NODE(m, "Mul", v, nn__integers(m, 1, &slope));
    return offset == 0 ? v : NN__NODE(m, "Add", v, nn__integers(m, 1, &offset));
}

static bool is_fixed(nn__count c) { return c.at[0] == c.at[1]; }

nn__value nn__counts(nn__model *m, int n, const nn__count *v) {
    int64_t fixed[AD_MAX_NDIM];
    nn__value parts[AD_MAX_NDIM];
    int n_fixed = 0;
    for (int i = 0; i < n; i++) {
        fixed[i] = v[i].at[0];
        n_fixed += is_fixed(v[i]);
    }
    if (n_fixed == n) return nn__integers(m, n, fixed);
    for (int i = 0; i < n; i++) parts[i] = is_fixed(v[i]) ? nn__integers(m, 1, &fixed[i]) : line(m, v[i]);
    if (n == 1) return parts[0];
    nn__value all = nn__node(m, "Concat", n, parts);
    nn__int(m, "axis", 0);
    return all;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static Onnx__NodeProto *last_node(const nn__model *m) { return m->nodes.n ? m->nodes.at[m->nodes.n - 1] : NULL; }

static char **texts(const nn__model *m, int n, const nn__value *in) {
    char **to = ad_scope_alloc(m->g, (size_t)(n + 1) * sizeof *to);
    for (int i = 0; to && i < n; i++)
        if ((to[i] = text_of(m, in[i] ? in[i] : "")) == NULL) return NULL;
    return to;
}

static void lower_case(char *to, size_t size, const char *from) {
    size_t i = 0;
    for (; from[i] != '\0' && i + 1 < size; i++)
        to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] - 'A' + 'a') : from[i];
    to[i] = '\0';
}

static nn__value new_node(nn__model *m, const char *wanted, const char *type, int n, const nn__value *in) {
    Onnx__NodeProto node = ONNX__NODE_PROTO__INIT;
    nn__value y = nn__new_name(m, wanted);
    node.n_input = (size_t)n, node.input = texts(m, n, in);
    node.n_output = 1, node.output = texts(m, 1, &y);
    node.op_type = text_of(m, type), node.name = node.output ? node.output[0] : NULL;
    if (!node.input || !node.output || !node.op_type) return "";
    m->attributes = (list){ 0 };
    append(m, &m->nodes, copy_of(m, &node, sizeof node));
    return y;
}

nn__value nn__third(nn__model *m) {
    Onnx__NodeProto *node = last_node(m);
    if (node == NULL) return "";
    nn__value all[] = { node->output[0], "", nn__new_name(m, "state") };
    char **to = texts(m, 3, all);
    if (to == NULL) return "";
    node->n_output = 3, node->output = to;
    return all[2];
}

nn__value nn__node(nn__model *m, const char *type, int n, const nn__value *in) {
    char wanted[40];
    lower_case(wanted, sizeof wanted, type);
    return new_node(m, wanted, type, n, in);
}

nn__value nn__node_called(nn__model *m, const char *wanted, nn__value x) {
    return new_node(m, wanted, "Identity", 1, &x);
}

static Onnx__AttributeProto *attribute(nn__model *m, const char *name, int type) {
    Onnx__NodeProto *node = last_node(m);
    Onnx__AttributeProto begin = ONNX__ATTRIBUTE_PROTO__INIT, *a = copy_of(m, &begin, sizeof begin);
    if (a == NULL || node == NULL) return NULL;
    a->name = text_of(m, name), a->has_type = true, a->type = type;
    append(m, &m->attributes, a);
    node->n_attribute = m->attributes.n, node->attribute = (Onnx__AttributeProto **)(void *)m->attributes.at;
    return a;
}

void nn__int(nn__model *m, const char *name, int64_t v) {
    Onnx__AttributeProto *a = attribute(m, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (a != NULL) a->has_i = true, a->i = v;
}
void nn__float(nn__model *m, const char *name, double v) {
    Onnx__AttributeProto *a = attribute(m, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (a != NULL) a->has_f = true, a->f = (float)v;
}
void nn__ints(nn__model *m, const char *name, int n, const int64_t *v) {
    Onnx__AttributeProto *a = attribute(m, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (a != NULL && (a->ints = copy_of(m, v, (size_t)n * sizeof *v)) != NULL) a->n_ints = (size_t)n;
}
void nn__text(nn__model *m, const char *name, const char *v) {
    Onnx__AttributeProto *a = attribute(m, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (a == NULL) return;
    a->has_s = true, a->s = (ProtobufCBinaryData){ strlen(v), copy_of(m, v, strlen(v)) };
}
void nn__texts(nn__model *m, const char *name, const char *v) {
    Onnx__AttributeProto *a = attribute(m, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
    const ProtobufCBinaryData text = { strlen(v), copy_of(m, v, strlen(v)) };
    if (a != NULL && (a->strings = copy_of(m, &text, sizeof text)) != NULL) a->n_strings = 1;
}

/* ---- what is needed ---------------------------------------------------------------------------------------------- */

static void need(const nn__model *m, const char *name) {
    entry *e = find_name(m, name);
    if (e != NULL) e->needed = true;
}
static bool is_needed(const nn__model *m, const char *name) {
    const entry *e = find_name(m, name);
    return e != NULL && e->needed;
}
static bool is_useful(const nn__model *m, const Onnx__NodeProto *node) {
    return is_needed(m, node->output[0]) || (node->n_output > 1 && is_needed(m, node->output[node->n_output - 1]));
}

/* Operands come before the nodes that use them, so one walk from the end finds all that is needed. */
static void leave_out_unused(nn__model *m) {
    list nodes = { 0 }, constants = { 0 };
    for (size_t i = 0; i < m->outputs.n; i++) need(m, ((Onnx__ValueInfoProto *)m->outputs.at[i])->name);
    for (size_t i = m->nodes.n; i-- > 0;) {
        const Onnx__NodeProto *node = m->nodes.at[i];
        for (size_t k = 0; is_useful(m, node) && k < node->n_input; k++) need(m, node->input[k]);
    }
    for (size_t i = 0; i < m->nodes.n; i++)
        if (is_useful(m, m->nodes.at[i])) append(m, &nodes, m->nodes.at[i]);
    for (size_t i = 0; i < m->constants.n; i++)
        if (is_needed(m, ((Onnx__TensorProto *)m->constants.at[i])->name)) append(m, &constants, m->constants.at[i]);
    m->nodes = nodes, m->constants = constants;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

typedef struct {
    ProtobufCBuffer base;
    FILE *to;
} file;

static void write_bytes(ProtobufCBuffer *b, size_t n, const uint8_t *bytes) { fwrite(bytes, 1, n, ((file *)b)->to); }

static Onnx__GraphProto graph_of(const nn__model *m) {
    Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
    g.name = text_of(m, "autodiff");
    g.n_node = m->nodes.n, g.node = (Onnx__NodeProto **)(void *)m->nodes.at;
    g.n_initializer = m->constants.n, g.initializer = (Onnx__TensorProto **)(void *)m->constants.at;
    g.n_input = m->inputs.n, g.input = (Onnx__ValueInfoProto **)(void *)m->inputs.at;
    g.n_output = m->outputs.n, g.output = (Onnx__ValueInfoProto **)(void *)m->outputs.at;
    return g;
}

static const char *write_file(const nn__model *m, const char *path) {
    enum { IR_VERSION = 8 }; /* the first for opset 17 */
    Onnx__GraphProto graph = graph_of(m);
    Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets[] = { &set };
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    set.domain = text_of(m, ""), set.has_version = true, set.version = NN__OPSET;
    model.has_ir_version = true, model.ir_version = IR_VERSION;
    model.producer_name = text_of(m, "autodiff");
    model.graph = &graph, model.n_opset_import = 1, model.opset_import = sets;
    ad__durable d;
    const char *fault = ad__durable_open(&d, path);
    if (fault != NULL) return fault;
    file f = { { write_bytes }, d.to };
    protobuf_c_message_pack_to_buffer(&model.base, &f.base);
    return ad__durable_close(&d);
}

int nn__write_model(nn__model *m, const char *caller, const char *path) {
    if (ad_ok(m->g)) leave_out_unused(m);
    if (!ad_ok(m->g)) return ad_error_code(m->g);
    const char *fault = write_file(m, path);
    return fault ? ad_fail(m->g, nn__fault_code(fault), "%s: %s: %s", caller, path, fault) : AD_OK;
}
