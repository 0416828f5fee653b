/* main for a fuzz target without libFuzzer: hands it every line of the corpora (NAME.txt, see pack.py)
 * and every file of the folders that are named, each in memory of its own size, so that a sanitizer
 * sees a read beyond the end. */
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"
#include "rig/fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned n_inputs;

static void read_whole(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    size_t n;

    if (!file)
        fuzz_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    while ((n = fread(buf_reserve(out, 4096), 1, 4096, file)) > 0)
        out->n += n;
    if (ferror(file))
        fuzz_fail(__FILE__, __LINE__, "%s: can't be read", path);
    (void)fclose(file);
}

static void run_input(const struct buf *input)
{
    uint8_t *exact = mem_alloc(input->n ? input->n : 1);

    if (input->n)
        memcpy(exact, input->p, input->n);
    (void)LLVMFuzzerTestOneInput(exact, input->n);
    mem_free(exact);
    n_inputs++;
}

static void run_file(const char *path)
{
    struct buf all = { 0 };

    printf("%s\n", path);
    (void)fflush(stdout); /* so that it is known which one it was */
    read_whole(path, &all);
    run_input(&all);
    buf_deinit(&all);
}

static unsigned hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

    if (!at)
        fuzz_fail(__FILE__, __LINE__, "'%c' is no hexadecimal digit", c);
    return (unsigned)(at - digits);
}

/* Takes one character of a line of a corpus. */
static char take_escaped(struct str *line)
{
    char c = *line->p;
    size_t n = 1;

    if (c == '\\' && line->n > 1) {
        c = line->p[1];
        n = 2;
        if (c == 'x' && line->n > 3) {
            c = (char)(hex_digit(line->p[2]) * 16 + hex_digit(line->p[3]));
            n = 4;
        } else if (c != '\\') {
            c = c == 'n' ? '\n' : '\r';
        }
    }
    line->p += n;
    line->n -= n;
    return c;
}

static void run_corpus(const char *path)
{
    struct buf all = { 0 };
    struct str rest;

    read_whole(path, &all);
    rest = buf_str(&all);
    for (unsigned number = 1; rest.n; number++) {
        struct str line = fuzz_take_line(&rest);
        struct buf input = { 0 };

        printf("%s:%u\n", path, number);
        (void)fflush(stdout);
        while (line.n) {
            char c = take_escaped(&line);

            buf_add(&input, &c, 1);
        }
        run_input(&input);
        buf_deinit(&input);
    }
    buf_deinit(&all);
}

static int is_visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static bool is_corpus(const char *path)
{
    size_t n = strlen(path);

    return n > 4 && strcmp(path + n - 4, ".txt") == 0;
}

static void run_path(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int n;

    if (stat(path, &st) != 0)
        fuzz_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        if (is_corpus(path))
            run_corpus(path);
        else
            run_file(path);
        return;
    }
    n = scandir(path, &entries, is_visible, alphasort);
    if (n < 0)
        fuzz_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct buf name = { 0 };

        buf_printf(&name, "%s/%s", path, entries[i]->d_name);
        buf_add(&name, "", 1);
        run_file(name.p);
        buf_deinit(&name);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    /* What libFuzzer tries first, too. */
    (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    printf("ok: %u inputs\n", n_inputs);
    return n_inputs == 0;
}
