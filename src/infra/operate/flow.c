/* orderly flow: checks the flows that this program runs, and draws them. Needs no data directory. */
#include "commands.h"
#include "frame.h"
#include "orderly/base/check.h"
#include "orderly/flowcheck/flow_check.h"
#include "orderly/flowcheck/flow_draw.h"

enum { FLAG_FLOW, FLAG_FORMAT };

struct flow_format {
    const char *name;
    void (*draw)(const struct flow *f, struct buf *out);
};
static const struct flow_format formats[] = { { "mermaid", flow_draw_mermaid },
                                              { "dot", flow_draw_dot } };

struct flow_state {
    bool draws;
    enum flow_id flow; /* FLOW_NONE: each of them */
    const struct flow_format *format;
};

static bool flow_command_check(struct operate *op)
{
    struct flow_state *s = op->state;
    const char *what = op->args[0], *flow = op->flags[FLAG_FLOW], *format = op->flags[FLAG_FORMAT];

    s->draws = strcmp(what, "draw") == 0;
    if (!s->draws && strcmp(what, "check") != 0) {
        operate_complain("there is no 'flow %s'; 'flow check' and 'flow draw' are those there are",
                         what);
        return false;
    }
    if (flow && !flow_parse(str_of(flow), &s->flow)) {
        operate_complain("there is no flow '%s'; --flow is pay_first or stock_first", flow);
        return false;
    }
    if (format && !s->draws) {
        operate_complain("--format goes with 'flow draw' only");
        return false;
    }
    s->format = &formats[0];
    for (unsigned i = 0; format && i < ARRAY_LEN(formats); i++) {
        if (strcmp(formats[i].name, format) == 0) {
            s->format = &formats[i];
            return true;
        }
    }
    if (format)
        operate_complain("there is no format '%s'; --format is mermaid or dot", format);
    return !format;
}

static int flow_run(struct operate *op)
{
    const struct flow_state *s = op->state;
    bool holds = true, is_first = true;

    for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++) {
        const struct flow *f = flow_of((enum flow_id)id);

        if (s->flow != FLOW_NONE && s->flow != f->id)
            continue;
        if (!is_first)
            buf_printf(&op->out, "\n");
        is_first = false;
        if (s->draws)
            s->format->draw(f, &op->out);
        else
            holds &= flow_check(f, operate_now_us, &op->out);
        if (!operate_flush(op))
            return EX_OK;
    }
    return holds ? EX_OK : OPERATE_EX_NOTHING;
}

static const struct operate_spec flow_spec = {
    .name = "flow",
    .about =
        "check   walks every interleaving of an order's life, by the tables and the decisions that\n"
        "        the server runs, and shows what holds in all of them, or the shortest one that\n"
        "        breaks it. One order of one line, in two worlds:\n"
        "          contexts built in: messages in order, as the bus promises it, each once or twice\n"
        "          contexts outside: messages in any order, and once in an interleaving one is heard\n"
        "          or posted again, or a payment, reservation or shipment comes that nobody expects\n"
        "        In both, payments are approved, declined or wait, stock is reserved or rejected,\n"
        "        people pay, mark-paid (one payment), cancel, ready and complete at any moment, the\n"
        "        carrier dispatches, delivers or cancels, and the payment timeout comes at any\n"
        "        moment at which its timer runs.\n"
        "draw    draws the flows, from the same tables.\n",
    .flags = { { "--flow", "NAME", "pay_first or stock_first; both where nothing is said" },
               { "--format", "FORMAT", "of draw: mermaid (usual) or dot" } },
    .args = { "check|draw" },
    .examples = "  orderly flow check\n"
                "  orderly flow check --flow stock_first\n"
                "  orderly flow draw --flow pay_first --format dot | dot -Tsvg > pay_first.svg\n",
    .exit_codes = "  1   a flow does not hold\n",
    .state_size = sizeof(struct flow_state),
    .check = flow_command_check,
    .has_no_data = true,
    .opens_itself = true,
    .dies_of_a_signal = true,
    .run = flow_run,
};

int operate_flow(unsigned n_args, char *const *args)
{
    return operate_main(&flow_spec, n_args, args);
}
