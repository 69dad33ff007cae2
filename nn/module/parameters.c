/* parameters.c: the parameters and buffers of a module as one list. */
#include "nn/module/module_private.h"

int nn__array_count(const nn_module *m) { return nn_parameter_count(m) + nn_buffer_count(m); }

nn_parameter nn__array_at(const nn_module *m, int i) {
    int n = nn_parameter_count(m);
    return i < n ? nn_parameter_at(m, i) : nn_buffer_at(m, i - n);
}
