/* Flags are shown as they are typed, settings as lines of a file that say what holds already. */
#include "table.h"

#define FLAG_COLUMN 36
#define SETTING_COLUMN 50

static void start_help(struct buf *out, size_t start, unsigned column)
{
    size_t width = str_utf8_len((struct str){ out->p + start, out->n - start });

    if (width + 1 > column) {
        buf_printf(out, "\n");
        width = 0;
    }
    buf_printf(out, "%*s", (int)(column - width), "");
}

static void print_flag(const struct option *opt, const struct options *o, struct buf *out)
{
    size_t start = out->n;

    buf_printf(out, "  --%s", opt->key);
    if (opt->choices || opt->what[0])
        buf_printf(out, " %s", opt->choices ? opt->choices : opt->what);
    start_help(out, start, FLAG_COLUMN);
    buf_printf(out, "%s", opt->help);
    if (opt->type != OPTION_SWITCH) {
        size_t before = out->n;

        buf_printf(out, " [");
        option_print(opt, o, out);
        if (out->n == before + 2)
            out->n = before;
        else
            buf_printf(out, "]");
    }
    buf_printf(out, "\n");
}

static void print_setting(const struct option *opt, const struct options *o, struct buf *out)
{
    size_t start = out->n;

    buf_printf(out, "  %s = ", opt->help_key ? opt->help_key : opt->key);
    if (!opt->offset_2)
        option_print(opt, o, out);
    start_help(out, start, SETTING_COLUMN);
    if (opt->choices) {
        buf_printf(out, "%s: ", opt->help);
        for (const char *p = opt->choices; *p; p++)
            buf_add_str(out, *p == '|' ? STR(", ") : (struct str){ p, 1 });
    } else if (opt->is_limit) {
        buf_printf(out, "%s; beyond: %s", opt->what, opt->help);
    } else {
        buf_printf(out, "%s", opt->help);
    }
    buf_printf(out, "\n");
}

void options_print_help(struct buf *out)
{
    struct options o;

    options_set_defaults(&o);
    for (unsigned g = 0; g < option_groups_len; g++) {
        buf_printf(out, "\n%s\n", option_groups[g].title);
        for (unsigned i = 0; i < option_groups[g].len; i++) {
            const struct option *opt = &option_groups[g].options[i];

            if (opt->help_key && !opt->help_key[0])
                continue;
            if (opt->has_flag)
                print_flag(opt, &o, out);
            else
                print_setting(opt, &o, out);
        }
    }
}
