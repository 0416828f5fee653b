/* main for a fuzz target without libFuzzer: hands it every file of the folders and files named, each
 * in memory of its own size, so that a sanitizer sees a read beyond the end. */
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"
#include "rig/fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned n_files;

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct buf all = { 0 };
    uint8_t *exact;
    size_t n;

    if (!file)
        fuzz_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    while ((n = fread(buf_reserve(&all, 4096), 1, 4096, file)) > 0)
        all.n += n;
    if (ferror(file))
        fuzz_fail(__FILE__, __LINE__, "%s: can't be read", path);
    (void)fclose(file);
    exact = mem_alloc(all.n ? all.n : 1);
    if (all.n)
        memcpy(exact, all.p, all.n);
    printf("%s\n", path);
    (void)fflush(stdout); /* so that it is known which file it was */
    (void)LLVMFuzzerTestOneInput(exact, all.n);
    mem_free(exact);
    buf_deinit(&all);
    n_files++;
}

static int is_visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static void run_path(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int n;

    if (stat(path, &st) != 0)
        fuzz_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
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
    printf("ok: %u files\n", n_files);
    return n_files == 0;
}
