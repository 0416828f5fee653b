/* A flow as a drawing, from the table that the code runs: one line for each of its rows, in the
 * table's order, and where an order begins and ends. Deterministic; the flow's name is its title. */
#ifndef ORDERLY_FLOWCHECK_FLOW_DRAW_H
#define ORDERLY_FLOWCHECK_FLOW_DRAW_H
#include "orderly/base/buf.h"
#include "orderly/domain/flow.h"

/* A stateDiagram-v2 of Mermaid. Adds to out. */
void flow_draw_mermaid(const struct flow *f, struct buf *out);
/* A digraph for Graphviz. Adds to out. */
void flow_draw_dot(const struct flow *f, struct buf *out);
#endif
