/* The operator's commands of the program, beside `serve`: they look at a data directory, whether a
 * server runs on it or not, and say what is in it. */
#ifndef ORDERLY_INFRA_OPERATE_OPERATE_H
#define ORDERLY_INFRA_OPERATE_OPERATE_H

struct operate_command {
    const char *name, *what; /* what: one line of the list of commands */
    /* args: what follows the name. Returns the exit code. `--help` explains the command.
     * Thread: before there are others in the process, as it forks. */
    int (*run)(unsigned n_args, char *const *args);
};

/* In the order of the list; name NULL ends it. */
extern const struct operate_command operate_commands[];

/* NULL: there is no such command here. */
const struct operate_command *operate_command_find(const char *name);

/* A process that was started without descriptor 0, 1 or 2 would give the number to the first file
 * that it opens, and write its messages into its own database. To be called before anything is
 * opened: fills the holes with what can be neither read nor written. */
void operate_fill_descriptors(void);
#endif
