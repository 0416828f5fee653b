#include "orderly/infra/secret/pem_file.h"
#include "orderly/base/mem.h"
#include "orderly/base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEGIN STR("-----BEGIN ")
#define END STR("-----END ")
#define DASHES STR("-----")
#define DER_SEQUENCE 0x30
#define HEAD_MAX 6 /* of a DER value: its tag, and up to five bytes of its length */

/* ---- reading ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static enum err wrong(char *why, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vsnprintf(why, SECRET_FILE_WHY_MAX, format, list);
    va_end(list);
    return ERR_INVALID;
}

static enum err open_file(const char *path, enum pem_kind kind, int *fd, char *why)
{
    struct stat st;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*fd < 0) {
        (void)wrong(why, "it can't be opened: %s", strerror(errno));
        return ERR_IO;
    }
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode))
        (void)wrong(why, "it is no regular file");
    /* A group of those who may use a key is usual, as is a key of root's. */
    else if (kind == PEM_KEY && st.st_mode & 07)
        (void)wrong(why, "its mode is %04o; everybody may use the key, chmod 600 it",
                    (unsigned)(st.st_mode & 07777));
    else
        return ERR_OK;
    (void)close(*fd);
    return ERR_INVALID;
}

static enum err read_open(int fd, char *out, size_t *n, char *why)
{
    for (*n = 0; *n <= PEM_FILE_MAX;) {
        ssize_t got = read(fd, out + *n, PEM_FILE_MAX + 1 - *n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            (void)wrong(why, "it can't be read: %s", strerror(errno));
            return ERR_IO;
        }
        if (got == 0)
            return ERR_OK;
        *n += (size_t)got;
    }
    return wrong(why, "it is larger than %u bytes", PEM_FILE_MAX);
}

static enum err read_file(const char *path, enum pem_kind kind, char *out, struct str *text,
                          char *why)
{
    enum err err;
    int fd;

    text->p = out;
    text->n = 0;
    if (kind == PEM_CREDENTIALS)
        return secret_file_read(path, out, PEM_FILE_MAX, &text->n, why);
    err = open_file(path, kind, &fd, why);
    if (err != ERR_OK)
        return err;
    err = read_open(fd, out, &text->n, why);
    (void)close(fd);
    return err;
}

/* False: there is none left. */
static bool next_line(struct str *text, struct str *line)
{
    const char *end = text->n ? memchr(text->p, '\n', text->n) : NULL;
    size_t n = end ? (size_t)(end - text->p) : text->n;

    if (text->n == 0)
        return false;
    *line = (struct str){ text->p, n };
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    *line = str_trim(*line);
    n += end != NULL;
    text->p += n;
    text->n -= n;
    return true;
}

/* ---- blocks ------------------------------------------------------------------------------------ */

struct base64 {
    uint8_t head[HEAD_MAX];
    size_t n; /* bytes */
    uint32_t bits;
    unsigned n_bits, n_pads;
    bool is_wrong;
};

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void base64_add(struct base64 *b, struct str line)
{
    for (size_t i = 0; i < line.n; i++) {
        int v = sextet(line.p[i]);

        if (line.p[i] == '=') {
            b->n_pads++;
            continue;
        }
        if (v < 0 || b->n_pads)
            b->is_wrong = true;
        b->bits = b->bits << 6 | (uint32_t)(v & 63);
        b->n_bits += 6;
        if (b->n_bits < 8)
            continue;
        b->n_bits -= 8;
        if (b->n < HEAD_MAX)
            b->head[b->n] = (uint8_t)(b->bits >> b->n_bits);
        b->n++;
    }
}

/* One DER sequence, of exactly as many bytes as it says; at least, where something may follow it. */
static bool is_der(const struct base64 *b, bool may_follow)
{
    size_t length = b->head[1], at = 2;

    if (b->is_wrong || b->n_pads > 2 || b->n < 2 || b->head[0] != DER_SEQUENCE)
        return false;
    if (length & 0x80) {
        size_t bytes = length & 0x7f;

        length = 0;
        if (bytes == 0 || bytes > HEAD_MAX - 2 || b->n < 2 + bytes)
            return false;
        while (bytes--)
            length = length << 8 | b->head[at++];
    }
    return may_follow ? b->n >= at + length : b->n == at + length;
}

struct block {
    struct str label;
    bool is_whole, is_der, is_encrypted;
};

static struct str label_of(struct str line, struct str begin)
{
    size_t ends = begin.n + DASHES.n;

    if (line.n <= ends || !str_starts_with(line, begin) ||
        memcmp(line.p + line.n - DASHES.n, DASHES.p, DASHES.n) != 0)
        return STR_NONE;
    return (struct str){ line.p + begin.n, line.n - ends };
}

/* False: there is none left. */
static bool next_block(struct str *text, struct block *out)
{
    struct base64 b = { 0 };
    struct str line;

    *out = (struct block){ 0 };
    while (out->label.n == 0) {
        if (!next_line(text, &line))
            return false;
        out->label = label_of(line, BEGIN);
    }
    while (!out->is_whole && next_line(text, &line)) {
        if (str_starts_with(line, END))
            out->is_whole = str_eq(label_of(line, END), out->label);
        else if (str_starts_with(line, BEGIN))
            break;
        else if (memchr(line.p, ':', line.n))
            out->is_encrypted |= str_starts_with(line, STR("Proc-Type: 4,ENCRYPTED"));
        else
            base64_add(&b, line);
    }
    out->is_encrypted |= str_eq(out->label, STR("ENCRYPTED PRIVATE KEY"));
    out->is_der = out->is_encrypted || is_der(&b, str_eq(out->label, STR("TRUSTED CERTIFICATE")));
    return true;
}

static bool ends_with(struct str s, struct str end)
{
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

static enum err check_blocks(struct str text, struct str label, const char *what, char *why)
{
    struct block b;
    unsigned n = 0;

    while (next_block(&text, &b)) {
        if (!ends_with(b.label, label))
            continue;
        n++;
        if (!b.is_whole)
            return wrong(why, "its %s %u has no end", what, n);
        if (b.is_encrypted)
            return wrong(why, "its %s is encrypted; there is nobody to say the passphrase", what);
        if (!b.is_der)
            return wrong(why, "its %s %u is damaged, or cut short", what, n);
    }
    return n ? ERR_OK : wrong(why, "it holds no %s in PEM", what);
}

/* ---- NATS's credentials ------------------------------------------------------------------------ */

static bool is_dashes(struct str line)
{
    return str_starts_with(line, STR("---")) && ends_with(line, STR("---"));
}

static bool next_section(struct str *text, struct str *out)
{
    struct str line = STR_NONE, before = STR_NONE;
    bool is_in = false;

    while (next_line(text, &line)) {
        if (line.n == 0)
            continue;
        if (is_dashes(line)) {
            if (is_in && before.n)
                break;
            is_in = true;
        } else if (is_in) {
            before = line;
        }
    }
    *out = before;
    return before.n > 0 && is_dashes(line);
}

static enum err check_credentials(struct str text, char *why)
{
    struct str jwt, seed;
    const char *dot;

    if (text.n && memchr(text.p, '\r', text.n))
        return wrong(why, "its lines end with CR and LF, which NATS's client does not read");
    if (!next_section(&text, &jwt) || !next_section(&text, &seed))
        return wrong(why, "it does not hold two texts between lines of dashes, a JWT and a seed");
    dot = memchr(jwt.p, '.', jwt.n);
    if (!dot || !memchr(dot + 1, '.', jwt.n - (size_t)(dot + 1 - jwt.p)))
        return wrong(why, "the first text between dashes is no JWT");
    if (seed.n != 58 || !str_starts_with(seed, STR("SU")))
        return wrong(why, "the second text between dashes is no seed of a user (SU…)");
    return ERR_OK;
}

enum err pem_file_check(const char *path, enum pem_kind kind, char why[SECRET_FILE_WHY_MAX])
{
    char *memory = mem_alloc(PEM_FILE_MAX + 1);
    struct str text;
    enum err err = read_file(path, kind, memory, &text, why);

    if (err == ERR_OK) {
        switch (kind) {
        case PEM_CERTIFICATES:
            err = check_blocks(text, STR("CERTIFICATE"), "certificate", why);
            break;
        case PEM_KEY:
            err = check_blocks(text, STR("PRIVATE KEY"), "private key", why);
            break;
        case PEM_CREDENTIALS:
            err = check_credentials(text, why);
            break;
        }
    }
    explicit_bzero(memory, text.n);
    mem_free(memory);
    return err;
}
