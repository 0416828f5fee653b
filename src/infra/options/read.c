/* The four ways to an option: flag, variable, line of a file, and silence. */
#include "orderly/base/mem.h"
#include "table.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1u << 20)

/* The stronger source has the higher number. */
enum rank { RANK_NONE, RANK_FILE, RANK_ENV, RANK_FLAG };

struct setting {
    enum rank rank;
    struct str value;
    char *where;  /* "--set payment.timeout", "ORDERLY_DRAIN", "orderly.conf:3: drain" */
    char *joined; /* the value, of a list that came by several flags */
};

struct reader {
    struct options *o;
    struct buf *complaints, *warnings;
    struct setting *settings; /* option_count() of them */
    struct buf file;          /* its text; settings point into it */
    bool flags_bad, others_bad, wants_help;
};

__attribute__((format(printf, 3, 4))) static void complain(struct reader *r, enum rank rank,
                                                           const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    buf_printf(r->complaints, "orderly: %s\n", line);
    if (rank == RANK_FLAG)
        r->flags_bad = true;
    else
        r->others_bad = true;
}

static char *text_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *fmt, ...)
{
    char *text;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    REQUIRE(n >= 0);
    text = mem_alloc((size_t)n + 1);
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return text;
}

/* Takes where. */
static void keep(struct reader *r, unsigned i, enum rank rank, struct str value, char *where)
{
    struct setting *s = &r->settings[i];

    if (rank == RANK_FILE && s->rank == RANK_FILE)
        complain(r, rank, "%s: is set before, at %s", where, s->where);
    if (rank < s->rank) {
        mem_free(where);
        return;
    }
    if (rank == RANK_FLAG && s->rank == RANK_FLAG && option_at(i)->type == OPTION_RELAY_URLS) {
        char *joined = text_of(STR_FMT "," STR_FMT, STR_ARG(s->value), STR_ARG(value));

        mem_free(s->joined);
        s->joined = joined;
        value = str_of(joined);
    }
    mem_free(s->where);
    s->rank = rank;
    s->value = value;
    s->where = where;
}

static void say_unknown(struct reader *r, enum rank rank, const char *where, struct str key,
                        const char *meant)
{
    if (meant)
        complain(r, rank, "%s: there is no option '" STR_FMT "'; did you mean '%s'?", where,
                 STR_ARG(key), meant);
    else
        complain(r, rank, "%s: there is no option '" STR_FMT "'; 'orderly help serve' lists them",
                 where, STR_ARG(key));
}

/* ---- flags */

static void take_assignment(struct reader *r, struct str text)
{
    const char *equals = text.n ? memchr(text.p, '=', text.n) : NULL;
    struct str key, value;
    unsigned i;

    if (!equals) {
        complain(r, RANK_FLAG, "--set " STR_FMT ": must be key=value", STR_ARG(text));
        return;
    }
    key = str_trim((struct str){ text.p, (size_t)(equals - text.p) });
    value = str_trim((struct str){ equals + 1, text.n - (size_t)(equals + 1 - text.p) });
    i = option_find(key);
    if (i == option_count())
        say_unknown(r, RANK_FLAG, "--set", key, option_nearest(key));
    else
        keep(r, i, RANK_FLAG, value, text_of("--set %s", option_at(i)->key));
}

static const char *nearest_flag(struct str name)
{
    const char *offers[32] = { "set", "help" };
    unsigned n = 2;

    for (unsigned i = 0; i < option_count() && n + 1 < ARRAY_LEN(offers); i++)
        if (option_at(i)->has_flag)
            offers[n++] = option_at(i)->key;
    return option_nearest_of(name, offers);
}

static void take_flags(struct reader *r, unsigned n_args, char *const *args)
{
    for (unsigned a = 0; a < n_args; a++) {
        struct str arg = str_of(args[a]), name = arg, value = STR_NONE;
        const char *equals = strchr(args[a], '=');
        bool is_set;
        unsigned i;

        if (str_eq(arg, STR("--help")) || str_eq(arg, STR("-h"))) {
            r->wants_help = true;
            continue;
        }
        if (!str_starts_with(arg, STR("--")) || arg.n == 2) {
            complain(r, RANK_FLAG, "'%s': options start with two dashes, such as --demo", args[a]);
            continue;
        }
        if (equals) {
            name.n = (size_t)(equals - args[a]);
            value = str_of(equals + 1);
        }
        name.p += 2;
        name.n -= 2;
        is_set = str_eq(name, STR("set"));
        i = is_set ? option_count() : option_find(name);
        if (!is_set && (i == option_count() || !option_at(i)->has_flag)) {
            const char *meant = nearest_flag(name);

            if (i != option_count())
                complain(r, RANK_FLAG, "--%s: is set by --set %s=…", option_at(i)->key,
                         option_at(i)->key);
            else if (meant)
                complain(r, RANK_FLAG, "there is no option '--" STR_FMT "'; did you mean '--%s'?",
                         STR_ARG(name), meant);
            else
                say_unknown(r, RANK_FLAG, "command line", (struct str){ name.p - 2, name.n + 2 },
                            NULL);
            /* What stands behind it is most probably its value. */
            if (!equals && a + 1 < n_args && args[a + 1][0] != '-')
                a++;
            continue;
        }
        if (!equals && !is_set && option_at(i)->type == OPTION_SWITCH) {
            value = STR("true");
        } else if (!equals) {
            if (a + 1 == n_args) {
                complain(r, RANK_FLAG, "--" STR_FMT ": a value is missing", STR_ARG(name));
                continue;
            }
            value = str_of(args[++a]);
        }
        if (is_set)
            take_assignment(r, value);
        else
            keep(r, i, RANK_FLAG, value, text_of("--%s", option_at(i)->key));
    }
}

/* ---- environment */

/* A secret that is not in a file but in the environment: by no other way, as others can read these. */
static bool take_secret(struct reader *r, struct str name, struct str value)
{
    for (unsigned i = 0; i < option_count(); i++) {
        const struct option *opt = option_at(i);
        char known[OPTION_ENV_MAX];

        option_secret_name(opt, known);
        if (!known[0] || !str_eq(name, str_of(known)))
            continue;
        if (value.n > RELAY_SECRET_MAX)
            complain(r, RANK_ENV, "%s: must be at most %d bytes", known, RELAY_SECRET_MAX);
        else if (value.n)
            memcpy((char *)r->o + opt->secret_offset, value.p, value.n);
        return true;
    }
    return false;
}

static void take_env(struct reader *r, char *const *env)
{
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        struct str name;
        bool is_known = false;

        if (!equals || !str_starts_with(str_of(*env), STR("ORDERLY_")))
            continue;
        name = (struct str){ *env, (size_t)(equals - *env) };
        is_known = take_secret(r, name, str_of(equals + 1));
        for (unsigned i = 0; i < option_count() && !is_known; i++) {
            char known[OPTION_ENV_MAX];

            option_env_name(option_at(i), known);
            if (!str_eq(name, str_of(known)))
                continue;
            is_known = true;
            keep(r, i, RANK_ENV, str_of(equals + 1), text_of("%s", known));
        }
        if (!is_known)
            buf_printf(r->warnings, "%s" STR_FMT, r->warnings->n ? " " : "", STR_ARG(name));
    }
}

/* ---- file */

/* A '#' at the start or behind a blank begins a comment, but not between quotes. */
static struct str without_comment(struct str line)
{
    bool quoted = false;

    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];

        if (c == '"')
            quoted = !quoted;
        if (c == '#' && !quoted && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
            return (struct str){ line.p, i };
    }
    return line;
}

static void take_line(struct reader *r, const char *path, unsigned number, struct str line)
{
    const char *equals;
    struct str key, value;
    char *where;
    unsigned i;

    line = str_trim(without_comment(line));
    if (line.n && line.p[line.n - 1] == '\r')
        line = str_trim((struct str){ line.p, line.n - 1 });
    if (!line.n)
        return;
    where = text_of("%s:%u", path, number);
    equals = memchr(line.p, '=', line.n);
    if (!equals) {
        complain(r, RANK_FILE, "%s: must be 'key = value'", where);
        mem_free(where);
        return;
    }
    key = str_trim((struct str){ line.p, (size_t)(equals - line.p) });
    value = str_trim((struct str){ equals + 1, line.n - (size_t)(equals + 1 - line.p) });
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
        value = (struct str){ value.p + 1, value.n - 2 };
    i = option_find(key);
    if (i == option_count()) {
        say_unknown(r, RANK_FILE, where, key, option_nearest(key));
    } else if (option_at(i)->not_in_file) {
        complain(r, RANK_FILE, "%s: '%s' can't be set in a file", where, option_at(i)->key);
    } else {
        keep(r, i, RANK_FILE, value, text_of("%s: %s", where, option_at(i)->key));
    }
    mem_free(where);
}

static bool read_whole(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    bool ok = false;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
    } else {
        long n = 0;

        while (out->n <= FILE_BYTES_MAX && (n = read(fd, buf_reserve(out, 4096), 4096)) > 0)
            out->n += (size_t)n;
        ok = n == 0;
        if (out->n > FILE_BYTES_MAX)
            errno = EFBIG;
    }
    (void)close(fd);
    return ok;
}

static void take_file(struct reader *r)
{
    unsigned i = option_find(STR("config"));
    struct setting *s = &r->settings[i];
    char path[OPTIONS_PATH_MAX];
    unsigned number = 0;
    struct str rest;

    if (s->rank == RANK_NONE)
        return;
    if (s->value.n == 0 || s->value.n >= sizeof(path))
        return; /* said when the value is taken over */
    memcpy(path, s->value.p, s->value.n);
    path[s->value.n] = 0;
    if (!read_whole(path, &r->file)) {
        complain(r, RANK_FILE, "%s: can't read '%s': %s", s->where, path, strerror(errno));
        return;
    }
    for (rest = buf_str(&r->file); rest.n;) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;

        take_line(r, path, ++number, (struct str){ rest.p, n });
        rest.p += n + (end != NULL);
        rest.n -= n + (end != NULL);
    }
}

/* ---- all together */

/* An option of one relay, but for its url, is named where it was set. */
static void note_relay(struct options *o, const char *key)
{
    static const char *const prefixes[RELAY_KINDS] = {
#define X(name, text, scheme, tls) [RELAY_##name] = "relay." text ".",
        RELAY_KIND_MAP(X)
#undef X
    };

    for (unsigned k = 0; k < RELAY_KINDS; k++) {
        char *said = o->relays[k].said;
        size_t n = strlen(said), prefix = strlen(prefixes[k]);

        if (strncmp(key, prefixes[k], prefix) != 0 || strcmp(key + prefix, "url") == 0)
            continue;
        (void)snprintf(said + n, sizeof(o->relays[k].said) - n, "%s%s", n ? " " : "", key);
    }
}

/* Values are taken over in the order of the table, because some are read with the help of others
 * (amounts with their currency, one flow's delay after that of both). */
static void take_over(struct reader *r)
{
    struct buf why = { 0 };

    for (unsigned i = 0; i < option_count(); i++) {
        const struct option *opt = option_at(i);
        const struct setting *s = &r->settings[i];

        if (s->rank == RANK_NONE)
            continue;
        if (opt->general && r->settings[option_find(str_of(opt->general))].rank > s->rank)
            continue;
        why.n = 0;
        if (option_set(opt, r->o, s->value, &why))
            note_relay(r->o, opt->key);
        else if (option_is_secret(opt))
            complain(r, s->rank, "%s: " STR_FMT, s->where, STR_ARG(buf_str(&why)));
        else
            complain(r, s->rank, "%s: '" STR_FMT "': " STR_FMT, s->where, STR_ARG(s->value),
                     STR_ARG(buf_str(&why)));
    }
    buf_deinit(&why);
    if (r->o->app.retry_max_ms < r->o->app.retry_base_ms)
        complain(r, r->settings[option_find(STR("bus.retry_max"))].rank,
                 "bus.retry_max must not be less than bus.retry_base");
}

void options_set_defaults(struct options *o)
{
    *o = (struct options){
        .listen = "127.0.0.1:8080",
        .drain_ms = 10000,
        .log_level = LOG_INFO,
        .store = OPTIONS_STORE_LMDB,
        .data = "./orderly-data",
        .cloud_source = CLOUD_SOURCE_DEFAULT,
        .memory_events_max = 5000000,
        .app = app_config_default,
    };
    o->app.simulators = simulators_default;
    for (unsigned k = 0; k < RELAY_KINDS; k++)
        o->relays[k] = relay_options_default;
    http_limits_set_defaults(&o->http);
}

enum options_result options_read(struct options *o, unsigned n_args, char *const *args,
                                 char *const *env, struct buf *complaints, struct buf *warnings)
{
    struct reader r = { .o = o, .complaints = complaints, .warnings = warnings };

    r.settings = mem_zalloc(option_count() * sizeof(*r.settings));
    options_set_defaults(o);
    take_flags(&r, n_args, args);
    take_env(&r, env);
    if (!r.wants_help) {
        take_file(&r);
        take_over(&r);
    }
    for (unsigned i = 0; i < option_count(); i++) {
        mem_free(r.settings[i].where);
        mem_free(r.settings[i].joined);
    }
    mem_free(r.settings);
    buf_deinit(&r.file);
    if (r.flags_bad)
        return OPTIONS_USAGE;
    if (r.wants_help)
        return OPTIONS_HELP;
    return r.others_bad ? OPTIONS_CONFIG : OPTIONS_OK;
}

unsigned options_list(const char *text, struct str *items, unsigned max)
{
    struct str rest = str_of(text);
    unsigned n = 0;

    while (rest.n && n < max) {
        const char *comma = memchr(rest.p, ',', rest.n);
        size_t len = comma ? (size_t)(comma - rest.p) : rest.n;
        struct str item = str_trim((struct str){ rest.p, len });

        if (item.n)
            items[n++] = item;
        rest.p += len + (comma != NULL);
        rest.n -= len + (comma != NULL);
    }
    return n;
}
