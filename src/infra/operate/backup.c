/* orderly backup: a copy of the store as it is at one moment, whether a server uses it or not. The
 * engine does it (lmdb_backup.h); here is what stands around it.
 *
 * A copy is in its place only when it is whole and verified; what was cut short before is a file that
 * no server takes for a store. */
#include "commands.h"
#include "frame.h"
#include "orderly/infra/store/lmdb_backup.h"
#include <sys/stat.h>
#include <unistd.h>

struct backup_state {
    bool was_there; /* the directory, before we began */
};

static bool backup_check(struct operate *op)
{
    struct backup_state *s = op->state;

    if (op->args[0][0] == '\0') {
        operate_complain("the directory of the copy must have a name");
        return false;
    }
    s->was_there = access(op->args[0], F_OK) == 0;
    return true;
}

static void backup_tidy(struct operate *op)
{
    const struct backup_state *s = op->state;

    lmdb_backup_tidy(op->args[0]);
    if (!s->was_there)
        (void)rmdir(op->args[0]); /* refused if a store is in it */
}

static int backup_run(struct operate *op)
{
    char hex[2 * sizeof(((struct lmdb_backup *)NULL)->last_sum) + 1];
    struct lmdb_backup done;
    struct lmdb_report report;
    enum err err = lmdb_engine_backup(op->engine, op->args[0], &done, &report);

    if (err != ERR_OK) {
        operate_complain("%s", report.why);
        if (err != ERR_BUSY)
            backup_tidy(op);
        return operate_exit_code(err);
    }
    if (report.warning[0])
        operate_complain("%s", report.warning);
    for (size_t i = 0; i < sizeof(done.last_sum); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", done.last_sum[i]);
    buf_printf(&op->out,
               "backed up to %s: position %llu, the chain ends with %s\n"
               "verified: %llu rows, %llu bytes\n",
               op->args[0], (unsigned long long)done.last_position, hex,
               (unsigned long long)done.rows, (unsigned long long)done.bytes);
    return EX_OK;
}

static const struct operate_spec backup_spec = {
    .name = "backup",
    .about =
        "Copies the store as it is at one moment into a directory of its own, while the server goes\n"
        "on, reads the whole copy again, and says its last position and the checksum of the end of\n"
        "the chain. Until it is done the server's file grows by what is written meanwhile.\n"
        "\n"
        "To restore, start a server on the copy. It begins a new epoch: readers of streams that know\n"
        "positions behind the copy's last one are told so.\n",
    .args = { "DEST" },
    .exit_codes = "  69  also: DEST holds a store already\n",
    .examples = "  orderly backup /backups/2026-11-20\n"
                "  orderly serve --data /backups/2026-11-20\n",
    .dies_of_a_signal = true,
    .state_size = sizeof(struct backup_state),
    .check = backup_check,
    .run = backup_run,
    .tidy = backup_tidy,
};

int operate_backup(unsigned n_args, char *const *args)
{
    return operate_main(&backup_spec, n_args, args);
}
