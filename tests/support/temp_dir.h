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
/* Those that follow are made in memory, if the machine has a place for that: for tests that do not
 * ask whether what they write would outlive the power, and would wait for the disk all the time. */
void temp_dirs_in_memory(void);
#endif
