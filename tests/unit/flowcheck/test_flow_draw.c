/* The drawings are of precisely the tables' rows, and as they were when somebody last looked. */
#include "broken_flow.h"
#include "orderly/flowcheck/flow_draw.h"
#include <stdio.h>

struct format {
    const char *suffix, *arrow;
    void (*draw)(const struct flow *f, struct buf *out);
    /* The line of a row, and that of the start. */
    void (*row)(struct buf *out, const char *from, const char *to, const char *input,
                const char *event);
    void (*begin)(struct buf *out, const char *start);
    bool draws_ends;
};

static void mermaid_row(struct buf *out, const char *from, const char *to, const char *input,
                        const char *event)
{
    buf_printf(out, "    %s --> %s: %s / %s\n", from, to, input, event);
}

static void mermaid_begin(struct buf *out, const char *start)
{
    buf_printf(out, "    [*] --> %s: OrderPlaced\n", start);
}

static void dot_row(struct buf *out, const char *from, const char *to, const char *input,
                    const char *event)
{
    buf_printf(out, "    %s -> %s [label=\"%s / %s\"];\n", from, to, input, event);
}

static void dot_begin(struct buf *out, const char *start)
{
    buf_printf(out, "    placed -> %s [label=\"OrderPlaced\"];\n", start);
}

static const struct format formats[] = {
    { "mermaid", " --> ", flow_draw_mermaid, mermaid_row, mermaid_begin, true },
    { "dot", " -> ", flow_draw_dot, dot_row, dot_begin, false },
};

static unsigned count_of(const char *text, const char *part)
{
    unsigned n = 0;

    while ((text = strstr(text, part))) {
        text += strlen(part);
        n++;
    }
    return n;
}

static unsigned n_ends_of(const struct flow *f)
{
    uint32_t ends = 0;

    for (unsigned i = 0; i < f->n_rows; i++)
        if (order_status_is_final(f->rows[i].to))
            ends |= 1u << f->rows[i].to;
    return (unsigned)__builtin_popcount(ends);
}

static void check_line(const char *drawing, struct buf *line)
{
    buf_add(line, "", 1);
    if (count_of(drawing, line->p) != 1)
        fail_msg("not once in the drawing: %s", line->p);
    buf_deinit(line);
    *line = (struct buf){ 0 };
}

/* Each row once, and no arrow beside them but where orders begin and end. */
static void check_rows(const struct flow *f, const struct format *format)
{
    struct buf out = { 0 }, line = { 0 };

    format->draw(f, &out);
    buf_add(&out, "", 1);
    for (unsigned i = 0; i < f->n_rows; i++) {
        const struct flow_row *r = &f->rows[i];

        format->row(&line, order_status_name(r->from).p, order_status_name(r->to).p,
                    order_input_name(r->input), event_infos[r->event].type.p);
        check_line(out.p, &line);
    }
    format->begin(&line, order_status_name(f->start).p);
    check_line(out.p, &line);
    assert_int_equal(count_of(out.p, format->arrow),
                     f->n_rows + 1 + (format->draws_ends ? n_ends_of(f) : 0));
    buf_deinit(&out);
}

static void drawing__has_precisely_the_rows_of_the_table(void **state)
{
    struct broken_flow b;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++)
            check_rows(flow_of((enum flow_id)id), &formats[i]);
        /* It is made from the table that it is handed, not from what flows are known to be. */
        copy_flow(&b, FLOW_PAY_FIRST);
        remove_row(&b, ORDER_PAID, ORDER_INPUT_CANCEL);
        add_row(&b, ORDER_READY, ORDER_INPUT_PAY, ORDER_REJECTED, EVENT_ORDER_REJECTED);
        check_rows(&b.flow, &formats[i]);
    }
}

static void check_golden(const struct flow *f, const struct format *format)
{
    char here[] = __FILE__, path[1024], text[8192];
    struct buf out = { 0 };
    FILE *file;
    size_t n;

    *strstr(here, "unit/flowcheck/") = '\0';
    (void)snprintf(path, sizeof(path), "%sgolden/flow_%s.%s", here, f->name, format->suffix);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("can't read %s", path);
    n = fread(text, 1, sizeof(text), file);
    (void)fclose(file);
    assert_true(n < sizeof(text));
    format->draw(f, &out);
    if (n != out.n || memcmp(text, out.p, n) != 0)
        fail_msg("%s is not the drawing any more, which is\n%.*s", path, (int)out.n, out.p);
    buf_deinit(&out);
}

static void drawing__is_the_golden_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++)
        for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++)
            check_golden(flow_of((enum flow_id)id), &formats[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawing__has_precisely_the_rows_of_the_table),
        cmocka_unit_test(drawing__is_the_golden_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
