/* name.h: names of Vars; private to the library. */
#ifndef AUTODIFF_GRAPH_NAME_H
#define AUTODIFF_GRAPH_NAME_H

#include "autodiff/graph/node.h"

/* Takes the Vars of the scopes from depth on inwards off the list. */
void ad__names_drop(ad_graph *g, int depth);

#endif
