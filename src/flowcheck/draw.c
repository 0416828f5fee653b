#include "orderly/domain/event.h"
#include "orderly/flowcheck/flow_draw.h"

/* Of those that the table names; the start among them. */
static bool has_status(const struct flow *f, enum order_status s)
{
    bool has = f->start == s;

    for (unsigned i = 0; i < f->n_rows; i++)
        has |= f->rows[i].from == s || f->rows[i].to == s;
    return has;
}

static struct str event_name(const struct flow_row *row)
{
    return event_infos[row->event].type;
}

void flow_draw_mermaid(const struct flow *f, struct buf *out)
{
    const char *comma = "    class ";

    buf_printf(out, "---\ntitle: %s\n---\nstateDiagram-v2\n", f->name);
    buf_printf(out, "    [*] --> " STR_FMT ": OrderPlaced\n", STR_ARG(order_status_name(f->start)));
    for (unsigned i = 0; i < f->n_rows; i++) {
        const struct flow_row *row = &f->rows[i];

        buf_printf(out, "    " STR_FMT " --> " STR_FMT ": %s / " STR_FMT "\n",
                   STR_ARG(order_status_name(row->from)), STR_ARG(order_status_name(row->to)),
                   order_input_name(row->input), STR_ARG(event_name(row)));
    }
    for (unsigned s = ORDER_NONE + 1; s < ORDER_STATUS_COUNT; s++)
        if (has_status(f, (enum order_status)s) && order_status_is_final((enum order_status)s))
            buf_printf(out, "    " STR_FMT " --> [*]\n",
                       STR_ARG(order_status_name((enum order_status)s)));
    buf_printf(out, "    classDef atRest stroke-dasharray:4\n");
    for (unsigned s = ORDER_NONE + 1; s < ORDER_STATUS_COUNT; s++) {
        if (!has_status(f, (enum order_status)s) || !order_status_is_at_rest((enum order_status)s))
            continue;
        buf_printf(out, "%s" STR_FMT, comma, STR_ARG(order_status_name((enum order_status)s)));
        comma = ", ";
    }
    if (comma[0] == ',')
        buf_printf(out, " atRest\n");
}

void flow_draw_dot(const struct flow *f, struct buf *out)
{
    buf_printf(out,
               "digraph %s {\n"
               "    label=\"%s\";\n"
               "    node [shape=box];\n"
               "    placed [shape=point];\n",
               f->name, f->name);
    for (unsigned s = ORDER_NONE + 1; s < ORDER_STATUS_COUNT; s++) {
        enum order_status status = (enum order_status)s;

        if (has_status(f, status))
            buf_printf(out, "    " STR_FMT "%s;\n", STR_ARG(order_status_name(status)),
                       order_status_is_final(status)     ? " [peripheries=2]"
                       : order_status_is_at_rest(status) ? " [style=dashed]"
                                                         : "");
    }
    buf_printf(out, "    placed -> " STR_FMT " [label=\"OrderPlaced\"];\n",
               STR_ARG(order_status_name(f->start)));
    for (unsigned i = 0; i < f->n_rows; i++) {
        const struct flow_row *row = &f->rows[i];

        buf_printf(out, "    " STR_FMT " -> " STR_FMT " [label=\"%s / " STR_FMT "\"];\n",
                   STR_ARG(order_status_name(row->from)), STR_ARG(order_status_name(row->to)),
                   order_input_name(row->input), STR_ARG(event_name(row)));
    }
    buf_printf(out, "}\n");
}
