/* name.h: the list of names of Vars; private to the library. */
#ifndef AUTODIFF_GRAPH_NAME_H
#define AUTODIFF_GRAPH_NAME_H

#include "autodiff/graph/node.h"

/* Takes Vars of scopes of this depth and deeper off the list. */
void ad__names_drop(ad_graph *g, int depth);

#endif
