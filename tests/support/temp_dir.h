/* A directory of a test's own below $TMPDIR or /tmp, with files but no directories in it. */
#ifndef TESTS_SUPPORT_TEMP_DIR_H
#define TESTS_SUPPORT_TEMP_DIR_H

struct temp_dir {
    char path[512];
};

/* Makes it, empty, mode 0700. */
void temp_dir_init(struct temp_dir *d);
/* Removes what is in it. */
void temp_dir_clear(const struct temp_dir *d);
void temp_dir_deinit(struct temp_dir *d);
#endif
