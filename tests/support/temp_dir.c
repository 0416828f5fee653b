#include "support/temp_dir.h"
#include "orderly/base/check.h"
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

void temp_dir_init(struct temp_dir *d)
{
    const char *below = getenv("TMPDIR");
    int n = snprintf(d->path, sizeof(d->path), "%s/orderly-test-XXXXXX", below ? below : "/tmp");
    char *made;

    REQUIRE(n > 0 && n < (int)sizeof(d->path));
    made = mkdtemp(d->path);
    ENSURE(made != NULL);
}

void temp_dir_clear(const struct temp_dir *d)
{
    DIR *dir = opendir(d->path);
    struct dirent *entry;

    REQUIRE(dir != NULL);
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    (void)closedir(dir);
}

void temp_dir_deinit(struct temp_dir *d)
{
    int rc;

    temp_dir_clear(d);
    rc = rmdir(d->path);
    ENSURE(rc == 0);
}

void temp_dirs_in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
}
