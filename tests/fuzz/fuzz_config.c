/* What an operator writes: command line, environment, configuration file, token file; and what of it
 * is said about relays, which is taken apart later.
 *
 * input = counts(1) lines
 *   counts  bits 0-2: so many lines are arguments; bits 3-5: so many are variables; the rest is the
 *           configuration file, which is not there with bit 6; bit 7: the whole is a token file and,
 *           behind a line that says "--", values of Authorization fields */
#include "../../src/infra/api/access.h"
#include "../../src/infra/options/table.h"
#include "orderly/base/mem.h"
#include "orderly/infra/relay/relays.h"
#include "rig/fuzz.h"
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX 12
#define PATH_ROOM 64

struct words {
    unsigned n;
    char *at[WORDS_MAX + 1];
};

static void words_add(struct words *w, const char *before, struct str text)
{
    struct buf b = { 0 };

    FUZZ_EXPECT(w->n < WORDS_MAX, "too many words");
    buf_add_str(&b, str_of(before));
    buf_add_str(&b, text);
    buf_add(&b, "", 1);
    w->at[w->n++] = b.p;
    w->at[w->n] = NULL;
}

static void words_deinit(struct words *w)
{
    for (unsigned i = 0; i < w->n; i++)
        mem_free(w->at[i]);
}

static void check_lines(struct str complaints)
{
    while (complaints.n) {
        FUZZ_EXPECT(complaints.p[complaints.n - 1] == '\n', "a line has no end");
        FUZZ_EXPECT(str_starts_with(fuzz_take_line(&complaints), STR("orderly: ")), "an odd line");
    }
}

/* Each complaint is one line, and there is one if something is wrong, and only then. */
static void check_complaints(enum options_result result, struct str complaints)
{
    bool is_bad = result == OPTIONS_USAGE || result == OPTIONS_CONFIG;

    FUZZ_EXPECT(is_bad == (complaints.n > 0) || result == OPTIONS_HELP, "%d: " STR_FMT, result,
                STR_ARG(complaints));
    check_lines(complaints);
}

/* What was read is what may be set: each option takes its own value again, and has it then. */
static void check_values(struct options *o)
{
    for (unsigned i = 0; i < option_count(); i++) {
        const struct option *opt = option_at(i);
        struct buf first = { 0 }, second = { 0 }, why = { 0 };

        option_print(opt, o, &first);
        if (first.n) {
            FUZZ_EXPECT(option_set(opt, o, buf_str(&first), &why), "%s: '" STR_FMT "' is refused",
                        opt->key, STR_ARG(buf_str(&first)));
            option_print(opt, o, &second);
            FUZZ_EXPECT(str_eq(buf_str(&first), buf_str(&second)), "%s: another value", opt->key);
        }
        buf_deinit(&first);
        buf_deinit(&second);
        buf_deinit(&why);
    }
}

/* A file that only we may read; path: as it may be opened. */
static int file_of(struct str text, char path[PATH_ROOM])
{
    int fd = memfd_create("config", MFD_CLOEXEC);

    FUZZ_EXPECT(fd >= 0 && fchmod(fd, 0600) == 0, "no file");
    FUZZ_EXPECT(write(fd, text.p, text.n) == (ssize_t)text.n, "no file");
    FUZZ_EXPECT(lseek(fd, 0, SEEK_SET) == 0, "no file");
    (void)snprintf(path, PATH_ROOM, "/proc/self/fd/%d", fd);
    return fd;
}

/* No adapter is loaded, whatever was found good. path: what stands for all files with secrets. */
static void try_relays(struct options *o, const char *path)
{
    struct relays_config config = {
        .urls = o->relay, .options = o->relays, .modules = "/dev/null", .group = STR("orderly")
    };
    struct buf complaints = { 0 };
    struct relays *r = NULL;
    enum err e;

    for (unsigned k = 0; k < RELAY_KINDS; k++) {
        if (o->relays[k].password_file[0])
            (void)snprintf(o->relays[k].password_file, PATH_ROOM, "%s", path);
        if (o->relays[k].token_file[0])
            (void)snprintf(o->relays[k].token_file, PATH_ROOM, "%s", path);
    }
    e = relays_create(&config, &r, &complaints);
    FUZZ_EXPECT((e == ERR_OK) == (complaints.n == 0), "%d: " STR_FMT, e,
                STR_ARG(buf_str(&complaints)));
    check_lines(buf_str(&complaints));
    relays_destroy(r);
    buf_deinit(&complaints);
}

static void try_options(unsigned counts, struct str in)
{
    struct options *o = mem_zalloc(sizeof(*o));
    struct words args = { 0 }, env = { 0 };
    struct buf complaints = { 0 }, warnings = { 0 };
    char path[PATH_ROOM];
    int fd = -1;
    enum options_result result;

    for (unsigned i = 0; i < (counts & 7); i++)
        words_add(&args, "", fuzz_take_line(&in));
    for (unsigned i = 0; i < (counts >> 3 & 7); i++)
        words_add(&env, "ORDERLY_", fuzz_take_line(&in));
    if (!(counts & 0x40)) {
        fd = file_of(in, path);
        words_add(&args, "--config=", str_of(path));
    }
    result = options_read(o, args.n, args.at, env.at, &complaints, &warnings);
    check_complaints(result, buf_str(&complaints));
    if (result == OPTIONS_OK) {
        check_values(o);
        try_relays(o, fd >= 0 ? path : "/dev/null");
    }
    if (fd >= 0)
        (void)close(fd);
    words_deinit(&args);
    words_deinit(&env);
    buf_deinit(&complaints);
    buf_deinit(&warnings);
    mem_free(o);
}

static void try_tokens(struct str in)
{
    const char *end = memmem(in.p, in.n, "\n--\n", 4);
    struct str text = { in.p, end ? (size_t)(end - in.p) : in.n };
    struct access *a = mem_zalloc(sizeof(*a));
    char why[ACCESS_WHY_MAX] = "", path[PATH_ROOM];
    int fd = file_of(text, path);
    enum role role;
    struct text_id caller;

    if (access_load(a, path, why) == ERR_OK)
        FUZZ_EXPECT(a->is_on && a->n_tokens > 0 && a->n_tokens <= ACCESS_TOKENS_MAX, "no tokens");
    else
        FUZZ_EXPECT(!a->is_on && a->n_tokens == 0 && why[0], "half a file, or no word about it");
    in.p += text.n;
    in.n -= text.n;
    for (unsigned i = 0; in.n > 0; i++) {
        static const char *const origins[] = { "http://a", "https://b:1" };
        const struct str allowed[] = { str_of(origins[0]), str_of(origins[1]) };
        struct str value = fuzz_take_line(&in);
        enum access_result result = access_check(a, value, i & 7, &role, &caller);

        FUZZ_EXPECT(a->is_on || result == ACCESS_FINE, "refused without tokens");
        (void)access_origin_is_fine(value, STR("a"), allowed, ARRAY_LEN(allowed));
        (void)access_count_failure(a, result == ACCESS_FINE ? ACCESS_NO_TOKEN : result, i * 300);
    }
    (void)close(fd);
    mem_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    unsigned counts = fuzz_take_u8(&in);

    if (in.n == 0)
        in.p = "";
    if (counts & 0x80)
        try_tokens(in);
    else
        try_options(counts, in);
    return 0;
}
