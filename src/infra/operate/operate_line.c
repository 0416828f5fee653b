#include "frame.h"
#include "orderly/base/str.h"

static const struct operate_flag data_flag = { "--data", "DIR", "the data directory" };
static const struct operate_flag help_flag = { "--help", NULL, "say this" };

#define HELP_WIDTH 90

/* The flag that the argument names, with or without "=value" behind it. */
static bool is_flag(const struct operate_flag *flag, const char *arg, const char **value)
{
    size_t n = strlen(flag->name);

    if (strncmp(arg, flag->name, n) != 0 || (arg[n] != '\0' && arg[n] != '='))
        return false;
    *value = arg[n] == '=' ? arg + n + 1 : NULL;
    return true;
}

static const struct operate_flag *find_flag(struct operate *op, const char *arg, const char **value,
                                            const char ***place)
{
    const struct operate_spec *spec = op->spec;

    for (unsigned i = 0; i < OPERATE_FLAGS_MAX && spec->flags[i].name; i++) {
        if (is_flag(&spec->flags[i], arg, value)) {
            *place = &op->flags[i];
            return &spec->flags[i];
        }
    }
    *place = &op->data;
    return !spec->has_no_data && is_flag(&data_flag, arg, value) ? &data_flag : NULL;
}

static bool wrong_number(const struct operate *op, unsigned n, struct buf *why)
{
    unsigned wanted = 0;

    while (wanted < OPERATE_ARGS_MAX && op->spec->args[wanted])
        wanted++;
    if (n < wanted)
        buf_printf(why, "%s needs %s", op->spec->name, op->spec->args[n]);
    else if (n > wanted)
        buf_printf(why, "%s takes %s", op->spec->name,
                   wanted ? "one argument only" : "no arguments but flags");
    return n != wanted;
}

enum operate_parse operate_parse(struct operate *op, unsigned n_args, char *const *args,
                                 const char *env_data, struct buf *why)
{
    bool is_flags_end = false;
    unsigned n = 0;

    op->data = env_data ? env_data : OPERATE_DATA_DEFAULT;
    for (unsigned i = 0; i < n_args; i++) {
        const struct operate_flag *flag;
        const char *value, **place;

        if (is_flags_end || args[i][0] != '-' || args[i][1] == '\0') {
            if (n < OPERATE_ARGS_MAX)
                op->args[n] = args[i];
            n++;
            continue;
        }
        if (strcmp(args[i], "--") == 0) {
            is_flags_end = true;
            continue;
        }
        if (strcmp(args[i], help_flag.name) == 0 || strcmp(args[i], "-h") == 0)
            return OPERATE_PARSE_HELP;
        flag = find_flag(op, args[i], &value, &place);
        if (!flag) {
            buf_printf(why, "%s has no flag '%s'", op->spec->name, args[i]);
            return OPERATE_PARSE_WRONG;
        }
        if (!flag->value && value) {
            buf_printf(why, "%s takes no value", flag->name);
            return OPERATE_PARSE_WRONG;
        }
        if (flag->value && !value) {
            if (i + 1 == n_args) {
                buf_printf(why, "%s needs a value: %s %s", flag->name, flag->name, flag->value);
                return OPERATE_PARSE_WRONG;
            }
            value = args[++i];
        }
        *place = flag->value ? value : "";
    }
    if (!op->spec->has_no_data && op->data[0] == '\0') {
        buf_printf(why, "the data directory must have a name");
        return OPERATE_PARSE_WRONG;
    }
    return wrong_number(op, n, why) ? OPERATE_PARSE_WRONG : OPERATE_PARSE_OK;
}

/* ---- help ------------------------------------------------------------------------------------- */

/* Adds a word to the usage, on a new line where it would be too long. */
static void add_usage(struct buf *out, size_t *column, const struct operate_flag *flag)
{
    char word[64];
    int n = snprintf(word, sizeof(word), "[%s%s%s]", flag->name, flag->value ? " " : "",
                     flag->value ? flag->value : "");

    if (*column + 1 + (size_t)n > HELP_WIDTH) {
        buf_printf(out, "\n              ");
        *column = 14;
    }
    buf_printf(out, " %s", word);
    *column += 1 + (size_t)n;
}

static void print_usage(const struct operate_spec *spec, struct buf *out)
{
    size_t begin = out->n;
    size_t column;

    buf_printf(out, "usage: orderly %s", spec->name);
    for (unsigned i = 0; i < OPERATE_ARGS_MAX && spec->args[i]; i++)
        buf_printf(out, " %s", spec->args[i]);
    column = out->n - begin;
    for (unsigned i = 0; i < OPERATE_FLAGS_MAX && spec->flags[i].name; i++)
        add_usage(out, &column, &spec->flags[i]);
    if (!spec->has_no_data)
        add_usage(out, &column, &data_flag);
    buf_printf(out, "\n");
}

static void print_flag(const struct operate_flag *flag, struct buf *out)
{
    char left[64];

    (void)snprintf(left, sizeof(left), "%s%s%s", flag->name, flag->value ? " " : "",
                   flag->value ? flag->value : "");
    buf_printf(out, "  %-22s%s\n", left, flag->what);
}

void operate_print_help(const struct operate_spec *spec, struct buf *out)
{
    print_usage(spec, out);
    buf_printf(out, "\n%s\nFlags\n", spec->about);
    for (unsigned i = 0; i < OPERATE_FLAGS_MAX && spec->flags[i].name; i++)
        print_flag(&spec->flags[i], out);
    if (!spec->has_no_data)
        buf_printf(out, "  %-22s%s; %s, or ORDERLY_DATA\n", "--data DIR", data_flag.what,
                   OPERATE_DATA_DEFAULT);
    print_flag(&help_flag, out);
    buf_printf(out, "\nExamples\n%s", spec->examples);
    buf_printf(out, "\nExit codes\n"
                    "  0   done\n");
    if (spec->exit_codes)
        buf_add_str(out, str_of(spec->exit_codes));
    if (spec->has_no_data)
        buf_printf(out, "  64  wrong command line        74  can't write\n");
    else
        buf_printf(out, "  64  wrong command line        69  in use by another\n"
                        "  65  the data is damaged       74  can't read or write\n"
                        "  66  no directory or no store  78  written by a newer version\n"
                        "  128 and its number: a signal ended it before it was done\n");
}
